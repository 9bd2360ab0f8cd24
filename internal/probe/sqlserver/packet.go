package sqlserver

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
)

// Types of packets, and the bit of the status that ends a message
// (MS-TDS 2.2.3.1).
const (
	packetBatch    = 0x01
	packetReply    = 0x04
	packetLogin7   = 0x10
	packetPrelogin = 0x12

	statusEnd = 0x01
)

const (
	headerLen = 8
	// packetLen is how long ours are: what every server takes before the two
	// sides have agreed on anything, and what we ask for.
	packetLen = 4096
	// longestPacket is the longest of the protocol's.
	longestPacket = 32767
)

// errForeign is what no SQL Server would send; the Runner says what did.
var errForeign = errors.New("not what a SQL Server sends")

// socket is a connection of which more may have been read than was asked for.
// Everything reads through it, so that nothing is lost when TLS takes over from
// packets, or packets from TLS.
type socket struct {
	net.Conn
	buffer *bufio.Reader
}

func newSocket(conn net.Conn) *socket {
	return &socket{Conn: conn, buffer: bufio.NewReaderSize(conn, packetLen)}
}

func (s *socket) Read(p []byte) (int, error) { return s.buffer.Read(p) }

// wire sends and reads messages, which are made of packets. It keeps nothing of
// what it reads: a message may be as long as the edge lets it.
type wire struct {
	stream io.ReadWriter
	kind   byte
	left   int  // what is still to come of a packet
	more   bool // another packet of the message follows it
}

// send writes one message.
func (w *wire) send(kind byte, payload []byte) error {
	_, err := w.stream.Write(packets(kind, payload))
	return err
}

// packets makes a message of a payload.
func packets(kind byte, payload []byte) []byte {
	const most = packetLen - headerLen
	out := make([]byte, 0, len(payload)+headerLen*(1+len(payload)/most))
	for number := byte(1); ; number++ {
		part := payload[:min(len(payload), most)]
		payload = payload[len(part):]
		status := byte(0)
		if len(payload) == 0 {
			status = statusEnd
		}
		out = append(out, kind, status)
		out = binary.BigEndian.AppendUint16(out, uint16(headerLen+len(part))) //nolint:gosec // at most packetLen
		out = append(out, 0, 0, number, 0)                                    // process, number, window
		out = append(out, part...)
		if len(payload) == 0 {
			return out
		}
	}
}

// begin reads up to the payload of the next message, which must be of one of
// the kinds.
func (w *wire) begin(kinds ...byte) error {
	w.kind = 0
	if err := w.header(); err != nil {
		return err
	}
	if slices.Contains(kinds, w.kind) {
		return nil
	}
	return fmt.Errorf("%w: a packet of type %#x", errForeign, w.kind)
}

func (w *wire) header() error {
	var h [headerLen]byte
	if _, err := io.ReadFull(w.stream, h[:]); err != nil {
		return cut(err)
	}
	size := int(binary.BigEndian.Uint16(h[2:]))
	if size < headerLen || size > longestPacket || w.kind != 0 && h[0] != w.kind {
		return fmt.Errorf("%w: a packet of type %#x and length %d", errForeign, h[0], size)
	}
	w.kind, w.left, w.more = h[0], size-headerLen, h[1]&statusEnd == 0
	return nil
}

// Read reads the payload of the message that begin found; io.EOF is its end.
func (w *wire) Read(p []byte) (int, error) {
	for w.left == 0 {
		if !w.more {
			return 0, io.EOF
		}
		if err := w.header(); err != nil {
			return 0, err
		}
	}
	n, err := w.stream.Read(p[:min(len(p), w.left)])
	w.left -= n
	return n, cut(err)
}

// whole reads the rest of a message that may not be long.
func (w *wire) whole(most int64) ([]byte, error) {
	payload, err := io.ReadAll(io.LimitReader(w, most+1))
	if err == nil && int64(len(payload)) > most {
		err = fmt.Errorf("%w: a message of more than %d bytes", errForeign, most)
	}
	return payload, err
}

// cut keeps the end of a connection apart from that of a message.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
