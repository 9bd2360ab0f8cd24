package cassandra

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"dialtone/internal/probe"
)

// The numbers are those of doc/native_protocol_v3.spec to _v5.spec in Apache
// Cassandra.
const (
	v3 = 3
	v4 = 4
	v5 = 5
	// highest is the version of a header that is still believed.
	highest = 6

	// fromServer is set in the version byte of what a server sends.
	fromServer = 0x80
	headerSize = 9
	// maxBody bounds one message of the server's. The protocol allows 256 MB;
	// what is asked for here comes in some kilobytes.
	maxBody = 256 << 10
)

type opcode byte

const (
	opError         opcode = 0x00
	opStartup       opcode = 0x01
	opReady         opcode = 0x02
	opAuthenticate  opcode = 0x03
	opOptions       opcode = 0x05
	opSupported     opcode = 0x06
	opQuery         opcode = 0x07
	opResult        opcode = 0x08
	opEvent         opcode = 0x0C
	opAuthChallenge opcode = 0x0E
	opAuthResponse  opcode = 0x0F
	opAuthSuccess   opcode = 0x10
)

// What the flags of a header say of its body.
const (
	flagCompressed    = 0x01
	flagTracing       = 0x02
	flagCustomPayload = 0x04
	flagWarning       = 0x08
)

// frame is one message, called envelope since version 5.
type frame struct {
	version byte // without fromServer
	flags   byte
	op      opcode
	body    []byte
}

// appendFrame makes the message that a client sends. There is never more than
// one request under way, so all go by stream 0.
func appendFrame(to []byte, version byte, op opcode, body []byte) []byte {
	to = append(to, version, 0, 0, 0, byte(op))
	to = binary.BigEndian.AppendUint32(to, uint32(len(body))) //nolint:gosec // some hundred bytes
	return append(to, body...)
}

// readFrame reads one message of a server, and believes its header before it
// makes room for what the header announces.
func readFrame(r io.Reader) (frame, error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(r, h[:1]); err != nil {
		return frame{}, err
	}
	f := frame{version: h[0] &^ fromServer}
	switch {
	case h[0]&fromServer == 0, f.version == 0, f.version > highest:
		return frame{}, probe.Fail(probe.CodeProtocolMismatch, fmt.Errorf("message begins with byte %#x", h[0]))
	case f.version < v3: // its header is shorter, too
		return frame{}, probe.Fail(probe.CodeVersionUnsupported, fmt.Errorf("the server speaks version %d of the protocol", f.version))
	}
	if _, err := io.ReadFull(r, h[1:]); err != nil {
		return frame{}, unexpected(err)
	}
	f.flags, f.op = h[1], opcode(h[4])
	size := binary.BigEndian.Uint32(h[5:])
	switch {
	case size > maxBody:
		return frame{}, probe.Fail(probe.CodeProtocolMismatch, fmt.Errorf("message of %d bytes", size))
	case f.flags&flagCompressed != 0:
		return frame{}, probe.Fail(probe.CodeProtocolMismatch, errors.New("compressed message, which nobody asked for"))
	}
	f.body = make([]byte, size)
	if _, err := io.ReadFull(r, f.body); err != nil {
		return frame{}, unexpected(err)
	}
	if err := f.skipExtras(); err != nil {
		return frame{}, err
	}
	return f, nil
}

// unexpected says that an end in the middle of a message is none.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// skipExtras cuts off what the flags say stands before the message itself.
func (f *frame) skipExtras() error {
	b := body{rest: f.body}
	if f.flags&flagTracing != 0 {
		b.take(16)
	}
	if f.flags&flagWarning != 0 {
		for range b.short() {
			b.text()
		}
	}
	if f.flags&flagCustomPayload != 0 {
		for range b.short() {
			b.text()
			b.value()
		}
	}
	f.body = b.rest
	return b.check()
}
