package oracle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"dialtone/internal/probe"
)

// Types of TNS packets.
const (
	packetConnect  = 1
	packetAccept   = 2
	packetRefuse   = 4
	packetRedirect = 5
	packetData     = 6
	packetResend   = 11
	packetMarker   = 12
	packetControl  = 14
)

const (
	headerSize = 8
	// maxPacket is the session data unit that is offered: no packet is larger.
	maxPacket = 8192
	minPacket = 512 // Oracle's own least

	flagRedirected  = 0x04 // in a CONNECT: the client was sent here
	flagRenegotiate = 0x08 // in a RESEND: with another TLS handshake

	dataEnd = 0x0040 // in a DATA packet: the client goes

	markerReset = 2
)

// packet is one TNS packet.
type packet struct {
	kind, flags byte
	body        []byte
}

// wire is a connection that carries packets.
type wire struct {
	conn net.Conn
	// large packets have lengths of four bytes: since TNS version 315, from the
	// ACCEPT on.
	large bool
	// room is how large a packet may be that we send.
	room int
	// accepted: the listener let us through.
	accepted bool
}

// mismatch is the verdict on bytes that are not the protocol's.
func mismatch(format string, args ...any) error {
	return probe.Fail(probe.CodeProtocolMismatch, fmt.Errorf(format, args...))
}

// parseHeader reads the eight bytes before a packet and says how many follow.
func parseHeader(head [headerSize]byte, large bool) (kind, flags byte, size int, err error) {
	length := int(binary.BigEndian.Uint16(head[:]))
	rest := binary.BigEndian.Uint16(head[2:]) // a checksum that is not in use
	if large {
		length, rest = int(binary.BigEndian.Uint32(head[:])), 0
	}
	kind = head[4]
	switch kind {
	case packetAccept, packetRefuse, packetRedirect, packetData, packetResend, packetMarker, packetControl:
	default:
		return 0, 0, 0, mismatch("packet of type %d", kind)
	}
	if length < headerSize || length > maxPacket || rest != 0 {
		return 0, 0, 0, mismatch("packet of %d bytes", length)
	}
	return kind, head[5], length - headerSize, nil
}

// alert is how TLS begins to say that it does not understand.
const alert = 0x15

// read gets one packet.
func (w *wire) read() (packet, error) {
	var head [headerSize]byte
	_, err := io.ReadFull(w.conn, head[:]) // an alert is shorter
	if !w.accepted && head[0] == alert && head[1] == 3 {
		return packet{}, probe.Fail(probe.CodeTLSRequired, errors.New("the answer is an alert of TLS"))
	}
	if err != nil {
		return packet{}, err
	}
	kind, flags, size, err := parseHeader(head, w.large)
	if err != nil {
		return packet{}, err
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(w.conn, body); err != nil {
		return packet{}, err
	}
	return packet{kind: kind, flags: flags, body: body}, nil
}

// write sends one packet.
func (w *wire) write(p packet) error {
	size := headerSize + len(p.body)
	b := make([]byte, headerSize, size)
	if w.large {
		binary.BigEndian.PutUint32(b, uint32(size)) //nolint:gosec // room bounds it
	} else {
		binary.BigEndian.PutUint16(b, uint16(size)) //nolint:gosec // room bounds it
	}
	b[4], b[5] = p.kind, p.flags
	_, err := w.conn.Write(append(b, p.body...))
	return err
}

// data sends a message in as many DATA packets as it takes.
func (w *wire) data(message []byte) error {
	for {
		n := min(len(message), w.room-headerSize-2)
		if err := w.write(packet{kind: packetData, body: append([]byte{0, 0}, message[:n]...)}); err != nil {
			return err
		}
		if message = message[n:]; len(message) == 0 {
			return nil
		}
	}
}

// errInterrupted: the server broke off its answer; after a reset comes another.
var errInterrupted = errors.New("interrupted by a marker")

// next gets the content of the next DATA packet.
func (w *wire) next() ([]byte, error) {
	for {
		p, err := w.read()
		switch {
		case err != nil:
			return nil, err
		case p.kind == packetControl: // notices of the server's own
		case p.kind == packetMarker:
			return nil, errInterrupted
		case p.kind != packetData || len(p.body) < 2:
			return nil, mismatch("packet of type %d where data was due", p.kind)
		case binary.BigEndian.Uint16(p.body)&dataEnd != 0 && len(p.body) == 2:
			return nil, io.EOF
		default:
			return p.body[2:], nil
		}
	}
}

// reset answers an interruption: it asks for a reset, and waits for the
// server's.
func (w *wire) reset() error {
	if err := w.write(packet{kind: packetMarker, body: []byte{1, 0, markerReset}}); err != nil {
		return err
	}
	for {
		p, err := w.read()
		if err != nil {
			return err
		}
		if p.kind == packetMarker && len(p.body) == 3 && p.body[2] == markerReset {
			return nil
		}
	}
}

// goodbye tells the server that the client goes.
func (w *wire) goodbye() {
	if w.accepted {
		_ = w.write(packet{kind: packetData, body: binary.BigEndian.AppendUint16(nil, dataEnd)})
	}
}
