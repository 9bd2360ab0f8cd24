package egress

import (
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"

	"dialtone/internal/sabotage"
)

// conn is what a driver gets instead of a socket. It has the methods of
// net.Conn and no others: nothing gets at the socket behind it.
type conn struct {
	raw    net.Conn
	edge   *Edge
	closed atomic.Bool // by its user
}

// Read implements net.Conn, up to the edge's cap.
func (c *conn) Read(b []byte) (int, error) {
	left := sabotage.Swap(sabotage.UncapReads, c.edge.limits.ReadBytes, 1<<26) - c.edge.in.Load()
	if left <= 0 {
		c.edge.capped.Store(true)
		c.edge.failed(&c.edge.seen.ReadErr, ErrReadCap)
		return 0, ErrReadCap
	}
	if int64(len(b)) > left {
		b = b[:left]
	}
	n, err := c.raw.Read(b)
	if n > 0 {
		c.edge.received(b[:n])
	}
	if err != nil {
		return n, c.explain(&c.edge.seen.ReadErr, err)
	}
	return n, nil
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	n, err := c.raw.Write(b)
	c.edge.out.Add(int64(n))
	if err != nil {
		return n, c.explain(&c.edge.seen.WriteErr, err)
	}
	return n, nil
}

// explain keeps an error as evidence. Where the edge has closed the socket
// because its time was up, that is what the driver hears.
func (c *conn) explain(first *error, err error) error {
	if errors.Is(err, net.ErrClosed) {
		if !c.closed.Load() {
			err = c.edge.whyClosed(err)
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
	}
	c.edge.failed(first, err)
	return err
}

// Close implements net.Conn.
func (c *conn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	c.edge.release(c.raw)
	if err := c.raw.Close(); !errors.Is(err, net.ErrClosed) { // by the edge, before
		return err
	}
	return nil
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// SetDeadline implements net.Conn; it cannot go beyond the edge's deadline.
func (c *conn) SetDeadline(t time.Time) error { return c.raw.SetDeadline(c.edge.bound(t)) }

// SetReadDeadline implements net.Conn, bounded as SetDeadline is.
func (c *conn) SetReadDeadline(t time.Time) error { return c.raw.SetReadDeadline(c.edge.bound(t)) }

// SetWriteDeadline implements net.Conn, bounded as SetDeadline is.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.raw.SetWriteDeadline(c.edge.bound(t)) }

// bound shortens a deadline to the edge's own.
func (e *Edge) bound(t time.Time) time.Time {
	if !e.deadline.IsZero() && (t.IsZero() || t.After(e.deadline)) && !sabotage.On(sabotage.FreeDrivers) {
		return e.deadline
	}
	return t
}

// whyClosed is the error of a socket that the edge has closed.
func (e *Edge) whyClosed(err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case errors.Is(e.ended, context.DeadlineExceeded):
		return os.ErrDeadlineExceeded
	case e.ended != nil:
		return e.ended
	default:
		return err
	}
}
