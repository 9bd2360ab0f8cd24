package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"dialtone/internal/probe"
)

// open connects, and encrypts if that was asked for.
func (a *attempt) open(ctx context.Context) error {
	s := a.session
	conn, err := s.Dial(ctx, "tcp", s.Address.String())
	if err != nil {
		return err
	}
	if config := s.TLSConfig(); config != nil {
		s.Enter(probe.PhaseTLS)
		secured := tls.Client(conn, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			if closed(err) && a.speaksPlain(ctx) {
				return probe.Fail(probe.CodeTLSNotSupported, errors.New("the listener talks Kafka without TLS"))
			}
			return err
		}
		conn = secured
	}
	s.Enter(probe.PhaseProtocol)
	a.link = newLink(conn, a.cfg.ProgramName)
	return nil
}

// askPlainly is how long a listener may take to answer without TLS.
const askPlainly = time.Second

// speaksPlain says whether a listener that hung up on TLS answers without: a
// broker takes the handshake for a request of some hundred million bytes and
// ends the connection, as a filter would do. The question is harmless.
func (a *attempt) speaksPlain(ctx context.Context) bool {
	conn, err := a.session.Dial(ctx, "tcp", a.session.Address.String())
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	if conn.SetReadDeadline(time.Now().Add(askPlainly)) != nil {
		return false
	}
	body, err := newLink(conn, a.cfg.ProgramName).ask(kmsg.NewPtrApiVersionsRequest())
	if err != nil {
		return false
	}
	_, _, err = readVersions(body, 0)
	return err == nil
}

// closed says whether the other side ended the connection.
func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
