package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"time"

	"dialtone/internal/probe"
)

// conn is a connection on which commands are exchanged for replies.
type conn struct {
	net.Conn

	in *reader
}

// do sends a command and reads its reply.
func (c *conn) do(words ...string) (value, error) {
	replies, err := c.all(words)
	if err != nil {
		return value{}, err
	}
	return replies[0], nil
}

// all sends commands in one piece and reads the reply to each.
func (c *conn) all(commands ...[]string) ([]value, error) {
	if c.in.in.Buffered() > 0 {
		return nil, probe.Fail(probe.CodeProtocolMismatch, errUnasked)
	}
	var request []byte
	for _, words := range commands {
		request = appendCommand(request, words...)
	}
	_, failed := c.Write(request)
	// Read even then: a server that is full says so and hangs up before it has
	// heard anything.
	replies := make([]value, 0, len(commands))
	for range commands {
		v, err := c.in.reply()
		if err != nil {
			return nil, errors.Join(failed, err)
		}
		replies = append(replies, v)
	}
	return replies, nil
}

// goodbye is how long the reply to QUIT is waited for.
const goodbye = 250 * time.Millisecond

// quit ends the connection politely: it leaves no reply unread, so that the
// server sees an end and no reset. What comes of it changes no verdict.
func (c *conn) quit() {
	if _, err := c.Write(appendCommand(nil, "QUIT")); err == nil {
		_ = c.SetReadDeadline(time.Now().Add(goodbye))
		_, _ = c.in.reply()
	}
	_ = c.Close()
}

// connect dials the session's address and encrypts, if the target says so.
func (a *attempt) connect(ctx context.Context) (*conn, error) {
	s := a.session
	raw, err := s.Dial(ctx, "tcp", s.Address.String())
	if err != nil {
		return nil, err
	}
	if s.Target.TLS == nil {
		return &conn{Conn: raw, in: newReader(raw)}, nil
	}
	s.Enter(probe.PhaseTLS)
	secured := tls.Client(&suspicious{Conn: raw, until: patience(ctx), ask: func() error { return a.askPlainly(ctx) }}, s.TLSConfig())
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		if header, ok := errors.AsType[tls.RecordHeaderError](err); ok && (header.RecordHeader[0] == errorKind || header.RecordHeader[0] == simpleKind) {
			return nil, probe.Fail(probe.CodeTLSNotSupported, err)
		}
		return nil, err
	}
	return &conn{Conn: secured, in: newReader(secured)}, nil
}

// patience is until when the answer to the first word of a handshake is waited
// for before somebody asks.
func patience(ctx context.Context) time.Time {
	const most = 2 * time.Second
	wait := most
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)/2)
	}
	return time.Now().Add(wait)
}

// suspicious is the socket under a handshake. A Redis without TLS takes a
// ClientHello for the beginning of a command and waits for the rest; so
// silence is looked into, while the handshake goes on waiting.
type suspicious struct {
	net.Conn

	until time.Time
	ask   func() error // its error ends the handshake
	heard bool
}

func (c *suspicious) Read(b []byte) (int, error) {
	if c.heard {
		return c.Conn.Read(b)
	}
	c.heard = true
	_ = c.SetReadDeadline(c.until)
	n, err := c.Conn.Read(b)
	_ = c.SetReadDeadline(time.Time{}) // the edge's own remains
	if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	if err := c.ask(); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

// askPlainly says PING on a second connection, in plain text, and errs if a
// Redis answers there.
func (a *attempt) askPlainly(ctx context.Context) error {
	s := a.session
	defer s.Enter(probe.PhaseTLS)
	ctx, cancel := context.WithDeadline(ctx, patience(ctx))
	defer cancel()
	raw, err := s.Dial(ctx, "tcp", s.Address.String())
	if err != nil {
		return nil // it was a question; the handshake still waits
	}
	defer func() { _ = raw.Close() }()
	_ = raw.SetReadDeadline(patience(ctx))
	c := &conn{Conn: raw, in: newReader(raw)}
	pong, err := c.do("PING")
	if err == nil && (pong.is("PONG") || pong.kind == errorKind) {
		c.quit()
		return probe.Fail(probe.CodeTLSNotSupported, errors.New("the server answers in plain text"))
	}
	return nil
}

// wantsTLS says whether a server that has hung up on a plain PING without a
// word speaks TLS: it asks on a second connection, over which nothing is sent.
func (a *attempt) wantsTLS(ctx context.Context) bool {
	s := a.session
	defer s.Enter(probe.PhaseProtocol)
	raw, err := s.Dial(ctx, "tcp", s.Address.String())
	if err != nil {
		return false
	}
	defer func() { _ = raw.Close() }()
	_ = raw.SetDeadline(patience(ctx))
	err = tls.Client(raw, &tls.Config{ServerName: s.Address.Host, InsecureSkipVerify: true}).HandshakeContext(ctx) //nolint:gosec // no byte of data follows
	alert, ok := errors.AsType[*net.OpError](err)
	return err == nil || ok && alert.Op == "remote error"
}
