package oracletest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
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
)

const (
	headerSize = 8
	// flagRenegotiate in a RESEND asks for another TLS handshake.
	flagRenegotiate = 0x08
	// flagRedirected in a CONNECT: the client was sent here.
	flagRedirected = 0x04
	// flagSplit in a REDIRECT: the address is followed by new connect data.
	flagSplit = 0x02
	// The flags of a DATA packet.
	dataEnd           = 0x0040
	dataEndOfResponse = 0x2000

	markerBreak = 1
	markerReset = 2

	// versionLarge is the first TNS version whose packets have lengths of four
	// bytes, from the ACCEPT on.
	versionLarge = 315
	versionFlags = 318
)

var errGoodbye = errors.New("the client said goodbye")

// packet is one TNS packet without its length.
type packet struct {
	kind, flags byte
	body        []byte
}

// wire reads and writes packets. The first error stays, and ends everything.
type wire struct {
	conn  net.Conn
	large bool
	sdu   int
	err   error

	bigChunks bool // the pieces of long values have numbers for lengths

	in  []byte // what is left of the DATA packet under way
	out []byte // the message under way
}

func (w *wire) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *wire) readPacket() packet {
	if w.err != nil {
		return packet{}
	}
	head := make([]byte, headerSize)
	if _, err := io.ReadFull(w.conn, head); err != nil {
		w.fail(err)
		return packet{}
	}
	size := int(binary.BigEndian.Uint16(head))
	if w.large {
		size = int(binary.BigEndian.Uint32(head))
	}
	const most = 1 << 20
	if size < headerSize || size > most {
		w.fail(fmt.Errorf("a packet of %d bytes", size))
		return packet{}
	}
	body := make([]byte, size-headerSize)
	if _, err := io.ReadFull(w.conn, body); err != nil {
		w.fail(err)
	}
	return packet{kind: head[4], flags: head[5], body: body}
}

func (w *wire) writePacket(p packet) {
	if w.err != nil {
		return
	}
	if _, err := w.conn.Write(encode(p, w.large)); err != nil {
		w.fail(err)
	}
}

func encode(p packet, large bool) []byte {
	size := headerSize + len(p.body)
	b := make([]byte, headerSize, size)
	if large {
		binary.BigEndian.PutUint32(b, uint32(size))
	} else {
		binary.BigEndian.PutUint16(b, uint16(size))
	}
	b[4], b[5] = p.kind, p.flags
	return append(b, p.body...)
}

func (w *wire) marker(kind byte) {
	w.writePacket(packet{kind: packetMarker, body: []byte{1, 0, kind}})
}

// reset does what both sides do when a call ends in an error: the server
// breaks, the client asks for a reset, the server confirms it.
func (w *wire) reset() {
	w.marker(markerBreak)
	for w.err == nil {
		if p := w.readPacket(); p.kind == packetMarker && len(p.body) == 3 && p.body[2] == markerReset {
			break
		}
	}
	w.marker(markerReset)
}

// fill gets the next DATA packet.
func (w *wire) fill() {
	for w.err == nil && len(w.in) == 0 {
		p := w.readPacket()
		switch {
		case w.err != nil:
		case p.kind == packetMarker: // an interrupt of what is over already
		case p.kind != packetData || len(p.body) < 2:
			w.fail(fmt.Errorf("packet of type %d where data was due", p.kind))
		case binary.BigEndian.Uint16(p.body)&dataEnd != 0:
			w.fail(errGoodbye)
		default:
			w.in = p.body[2:]
		}
	}
}

// flush sends the message under way in packets no larger than was agreed.
func (w *wire) flush(lastFlags uint16) {
	room := w.sdu - headerSize - 2
	for first := true; first || len(w.out) > 0; first = false {
		n := min(room, len(w.out))
		flags := uint16(0)
		if n == len(w.out) {
			flags = lastFlags
		}
		body := append(binary.BigEndian.AppendUint16(nil, flags), w.out[:n]...)
		w.writePacket(packet{kind: packetData, body: body})
		w.out = w.out[n:]
	}
	w.out = nil
}
