package kafka

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"

	"dialtone/internal/probe"
)

// link is a connection to a broker, with one question at a time on it.
type link struct {
	conn   net.Conn
	reader *bufio.Reader
	format *kmsg.RequestFormatter
	asked  int32
}

func newLink(conn net.Conn, client string) *link {
	return &link{
		conn: conn, reader: bufio.NewReader(conn),
		format: kmsg.NewRequestFormatter(kmsg.FormatterClientID(client)),
	}
}

func (l *link) close() { _ = l.conn.Close() }

// maxAnswer bounds the answer to a question, well above what real brokers send:
// a broker takes about fifty bytes in the list of a cluster.
func maxAnswer(key kmsg.Key) uint32 {
	if key == kmsg.Metadata {
		return 256 << 10
	}
	return 64 << 10
}

// ask sends a request and gives the body of its answer.
func (l *link) ask(request kmsg.Request) ([]byte, error) {
	l.asked++
	if _, err := l.conn.Write(l.format.AppendRequest(nil, request, l.asked)); err != nil {
		return nil, err
	}
	var header [4]byte
	if _, err := io.ReadFull(l.reader, header[:]); err != nil {
		return nil, err
	}
	key := kmsg.Key(request.Key())
	size := binary.BigEndian.Uint32(header[:])
	switch {
	case header[0] == tlsAlert && header[1] == tlsMajor && !l.encrypted():
		return nil, &probe.Error{Code: probe.CodeTLSRequired, LooksLike: "tls", Err: errors.New("the answer is a TLS alert")}
	case size < 4 || size > maxAnswer(key):
		return nil, probe.Fail(probe.CodeProtocolMismatch, fmt.Errorf("an answer of %d bytes to %s", size, key.Name()))
	}
	frame := make([]byte, size)
	if _, err := io.ReadFull(l.reader, frame); err != nil {
		return nil, err
	}
	return l.open(frame, request)
}

// The first bytes of an alert (RFC 8446, 5.1), which a listener with TLS sends
// to a client that speaks without.
const (
	tlsAlert = 0x15
	tlsMajor = 0x03
)

func (l *link) encrypted() bool {
	_, secured := l.conn.(interface{ NetConn() net.Conn })
	return secured
}

// open takes the header off an answer.
func (l *link) open(frame []byte, request kmsg.Request) ([]byte, error) {
	r := reader{rest: frame}
	if r.int32() != l.asked {
		return nil, probe.Fail(probe.CodeProtocolMismatch, errors.New("an answer to another question"))
	}
	// Only the answer about versions never has tags there (KIP-511), so that
	// any client can read it.
	if request.IsFlexible() && kmsg.Key(request.Key()) != kmsg.ApiVersions {
		r.flexible = true
		r.tags()
	}
	return r.rest, r.err()
}
