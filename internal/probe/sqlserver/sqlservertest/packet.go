package sqlservertest

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// Packet types and the status bit that ends a message (MS-TDS 2.2.3.1).
const (
	typeBatch    = 0x01
	typeReply    = 0x04
	typeLogin7   = 0x10
	typePrelogin = 0x12

	statusEnd = 0x01

	headerLen = 8
	packetLen = 4096
	// A login and a statement of a test fit into this easily.
	messageLen = 1 << 16
	// session is the SPID in every packet that the server sends.
	session = 51
)

var errMessage = errors.New("the message is none of TDS")

// readMessage reads the packets of one message.
func readMessage(r io.Reader) (kind byte, payload []byte, err error) {
	for {
		header := make([]byte, headerLen)
		if _, err := io.ReadFull(r, header); err != nil {
			return 0, nil, err
		}
		size := int(binary.BigEndian.Uint16(header[2:]))
		if size < headerLen || len(payload)+size > messageLen || payload != nil && header[0] != kind {
			return 0, nil, errMessage
		}
		kind = header[0]
		body := make([]byte, size-headerLen)
		if _, err := io.ReadFull(r, body); err != nil {
			return 0, nil, err
		}
		payload = append(payload, body...)
		if header[1]&statusEnd != 0 {
			return kind, payload, nil
		}
	}
}

// expect reads a message of one kind.
func expect(r io.Reader, want byte) ([]byte, error) {
	kind, payload, err := readMessage(r)
	if err == nil && kind != want {
		err = fmt.Errorf("%w: type %#x, want %#x", errMessage, kind, want)
	}
	return payload, err
}

// Packets makes the packets of one message.
func Packets(kind byte, payload []byte) []byte {
	var out []byte
	for number := byte(1); ; number++ {
		part := payload[:min(len(payload), packetLen-headerLen)]
		payload = payload[len(part):]
		header := []byte{kind, 0, 0, 0, 0, session, number, 0}
		if len(payload) == 0 {
			header[1] = statusEnd
		}
		binary.BigEndian.PutUint16(header[2:], uint16(headerLen+len(part)))
		out = append(append(out, header...), part...)
		if len(payload) == 0 {
			return out
		}
	}
}

// handshake carries the records of a TLS handshake in PRELOGIN messages, and
// nothing but records once it is over (MS-TDS 3.2.5.2).
type handshake struct {
	net.Conn
	rest []byte
	over bool
}

func (c *handshake) Read(p []byte) (int, error) {
	if c.over && len(c.rest) == 0 {
		return c.Conn.Read(p)
	}
	for len(c.rest) == 0 {
		payload, err := expect(c.Conn, typePrelogin)
		if err != nil {
			return 0, err
		}
		c.rest = payload
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *handshake) Write(p []byte) (int, error) {
	if c.over {
		return c.Conn.Write(p)
	}
	if _, err := c.Conn.Write(Packets(typePrelogin, p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// secure makes the TLS handshake. It knows TLS 1.2 at most, as SQL Server does
// inside of TDS: what 1.3 sends after its handshake has no place there.
func secure(conn net.Conn, config *tls.Config) (*tls.Conn, error) {
	config = config.Clone()
	if config.MaxVersion == 0 || config.MaxVersion > tls.VersionTLS12 {
		config.MaxVersion = tls.VersionTLS12
	}
	wrapped := &handshake{Conn: conn}
	secured := tls.Server(wrapped, config)
	if err := secured.Handshake(); err != nil {
		return nil, err
	}
	wrapped.over = true
	return secured, nil
}
