package egress_test

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"dialtone/internal/egress"
)

// sleepy is a context that has a deadline and does not notice it, as one does for
// a while on a machine that has no time for it.
type sleepy struct {
	context.Context //nolint:containedctx // it is one

	until time.Time
}

func (s sleepy) Deadline() (time.Time, bool) { return s.until, true }
func (sleepy) Done() <-chan struct{}         { return nil }
func (sleepy) Err() error                    { return nil }

// TestSocketsKeepTheDeadlineThemselves: nothing but the socket's own deadline ends
// the driver's wait, whatever the driver makes of it.
func TestSocketsKeepTheDeadlineThemselves(t *testing.T) {
	t.Parallel()
	s := serve(t, "127.0.0.1:0", silent)
	p := newPolicy(t, egress.Config{Open: true})
	for name, stubborn := range map[string]func(net.Conn) error{
		"driver sets none":      func(net.Conn) error { return nil },
		"driver takes it away":  func(c net.Conn) error { return c.SetDeadline(time.Time{}) },
		"driver frees reading":  func(c net.Conn) error { return c.SetReadDeadline(time.Time{}) },
		"driver puts it off":    func(c net.Conn) error { return c.SetReadDeadline(time.Now().Add(time.Hour)) },
		"driver frees the rest": func(c net.Conn) error { return c.SetWriteDeadline(time.Time{}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := p.Open(sleepy{t.Context(), time.Now().Add(100 * time.Millisecond)}, egress.Scope{}, egress.Limits{})
			defer func() { _ = e.Close() }()
			conn, err := e.Dial(context.Background(), "tcp", s.addr.String())
			if err != nil {
				t.Fatal(err)
			}
			if err := stubborn(conn); err != nil {
				t.Fatal(err)
			}
			read := make(chan error, 1)
			go func() {
				_, err := conn.Read(make([]byte, 1))
				read <- err
			}()
			if err := soon(t, "the socket's deadline ends a read", read); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read() = %v, want %v", err, os.ErrDeadlineExceeded)
			}
		})
	}
}
