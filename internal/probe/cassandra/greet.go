package cassandra

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"dialtone/internal/probe"
)

// greet connects and asks the server what it speaks, from the given version on.
// It is harmless: nothing of it is counted or logged by the server.
//
// A server that does not speak that version says so in the one that it would
// rather have. Since 4.0 the question can then be asked again on the same
// connection; before, the server closes it, which costs a second one.
func greet(ctx context.Context, s *probe.Session, version byte) (*conn, error) {
	c, no, err := hello(ctx, s, version)
	if err != nil || no == nil {
		return c, err
	}
	if no.version == version || no.version > v5 {
		_ = c.Close()
		return nil, no.verdict(s)
	}
	c.version = no.version
	again, err := c.offer(s)
	if closed(err) {
		_ = c.Close()
		if c, again, err = hello(ctx, s, no.version); err != nil {
			return nil, err
		}
	}
	if again != nil {
		err = again.verdict(s)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// hello opens one connection and asks once. There is a connection unless there
// is an error.
func hello(ctx context.Context, s *probe.Session, version byte) (*conn, *refusal, error) {
	c, err := dial(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	s.Enter(probe.PhaseProtocol)
	c.version = version
	no, err := c.offer(s)
	if err != nil {
		_ = c.Close()
		if c.hangUp != "" && closed(err) {
			err = probe.Fail(c.hangUp, err)
		}
		return nil, nil, err
	}
	return c, no, nil
}

// closed says whether the server has ended the connection, in any of the ways
// in which that is seen.
func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// refusal is a server's no to a version, and the version in which it says so.
type refusal struct {
	version byte
	err     *serverError
}

func (r *refusal) verdict(s *probe.Session) error {
	return r.err.verdict(s, probe.CodeVersionUnsupported)
}

// offer asks for what the server supports, in the connection's version.
func (c *conn) offer(s *probe.Session) (*refusal, error) {
	f, err := c.ask(opOptions, nil)
	if err != nil {
		return nil, err
	}
	switch f.op {
	case opSupported:
	case opError:
		e, err := readError(f)
		switch {
		case err != nil:
			return nil, err
		case e.code == errProtocol:
			return &refusal{version: f.version, err: e}, nil
		default:
			return nil, e.beforeLogin(s)
		}
	default:
		return nil, unexpectedAnswer(f)
	}
	if f.version != c.version {
		return nil, unexpectedAnswer(f)
	}
	offered, err := readOptions(f)
	if err != nil {
		return nil, err
	}
	s.Fact("protocol_version", strconv.Itoa(int(c.version)))
	if all := offered["PROTOCOL_VERSIONS"]; len(all) > 0 {
		slices.Sort(all)
		s.Fact("protocol_versions", strings.Join(all, ", "))
	}
	return nil, nil //nolint:nilnil // no refusal, and nothing wrong
}
