package cassandra

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"dialtone/internal/probe"
)

// conn is one connection: a question, an answer, and no second question
// before that.
type conn struct {
	net.Conn
	buffer  *bufio.Reader
	version byte
	// framed is set when both sides have gone over to segments.
	framed *segments
	events int
	// hangUp is what it means when the server closes the connection before it
	// has answered anything, if that is known.
	hangUp probe.Code
}

// dial connects and encrypts.
func dial(ctx context.Context, s *probe.Session) (*conn, error) {
	raw, err := s.Dial(ctx, "tcp", s.Address.String())
	if err != nil {
		return nil, err
	}
	config := s.TLSConfig()
	if config == nil {
		return newConn(raw), nil
	}
	s.Enter(probe.PhaseTLS)
	hangUp := judgeHangUp(config)
	secured := tls.Client(raw, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, answeredInPlain(err)
	}
	c := newConn(secured)
	c.hangUp = *hangUp
	return c, nil
}

// judgeHangUp finds out what a hang-up after the handshake means. In TLS 1.3 it
// is over for a client before the server looks at the client's certificate; and
// Cassandra has the connection reset, by which its alert is lost half the time.
func judgeHangUp(config *tls.Config) *probe.Code {
	var code probe.Code
	present := config.GetClientCertificate
	config.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		certificate, err := present(r)
		code = probe.CodeTLSClientCertRejected
		if err == nil && len(certificate.Certificate) == 0 {
			code = probe.CodeTLSClientCertRequired
		}
		return certificate, err
	}
	return &code
}

func newConn(c net.Conn) *conn {
	return &conn{Conn: c, buffer: bufio.NewReader(c)}
}

// answeredInPlain finds the server that took the handshake for a message of
// its own protocol, in a version that it does not know, and says so.
func answeredInPlain(err error) error {
	if plain, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		h := plain.RecordHeader
		if version := h[0] &^ fromServer; h[0]&fromServer != 0 && version > 0 && version <= highest && opcode(h[4]) == opError {
			return probe.Fail(probe.CodeTLSNotSupported, errors.New("the server answers the TLS handshake in its own protocol"))
		}
	}
	return err
}

// frameUp goes over to segments, where the version has them.
func (c *conn) frameUp() {
	if c.version >= v5 {
		c.framed = &segments{r: c.buffer}
	}
}

// ask sends one message and waits for its answer.
func (c *conn) ask(op opcode, body []byte) (frame, error) {
	message := appendFrame(nil, c.version, op, body)
	if c.framed != nil {
		wrapped, err := wrap(message)
		if err != nil {
			return frame{}, err
		}
		message = wrapped
	}
	if _, err := c.Write(message); err != nil {
		return frame{}, err
	}
	return c.answer()
}

// maxEvents is how many events may come that nobody registered for.
const maxEvents = 16

func (c *conn) answer() (frame, error) {
	for {
		f, err := c.receive()
		if err != nil || f.op != opEvent {
			return f, err
		}
		if c.events++; c.events > maxEvents {
			return frame{}, probe.Fail(probe.CodePeerAbusive, errors.New("events without end"))
		}
	}
}

func (c *conn) receive() (frame, error) {
	if c.framed != nil {
		return readFrame(c.framed)
	}
	if c.alerted() {
		return frame{}, probe.Fail(probe.CodeTLSRequired, errors.New("the server answers with a TLS alert"))
	}
	return readFrame(c.buffer)
}

// alerted says whether the server answers a plain message in TLS.
func (c *conn) alerted() bool {
	const alert, major = 0x15, 0x03
	if _, encrypted := c.Conn.(*tls.Conn); encrypted {
		return false
	}
	if first, err := c.buffer.Peek(1); err != nil || first[0] != alert {
		return false
	}
	first, err := c.buffer.Peek(2)
	return err == nil && first[1] == major
}

// unexpectedAnswer is the verdict on a message that has no place here.
func unexpectedAnswer(f frame) error {
	return probe.Fail(probe.CodeProtocolMismatch, fmt.Errorf("message of type 0x%02X, which was not due", byte(f.op)))
}
