package system

import (
	"bytes"
	"net"
	"sync"
	"testing"
)

// Counter passes connections on to a server and counts those in which the
// server says a certain thing.
type Counter struct {
	Addr string

	mark  []byte
	mu    sync.Mutex
	heard int
}

// The words with which servers refuse a login, in plain text.
const (
	MariaDBRefuses  = "#28000Access denied"
	PostgresRefuses = "\x00C28P01\x00"
)

// NewCounter opens a counter before the server until the test ends.
func NewCounter(t *testing.T, to, mark string) *Counter {
	t.Helper()
	c := &Counter{mark: []byte(mark)}
	c.Addr = Serve(t, func(in net.Conn) {
		out, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer out.Close()
		var back sync.WaitGroup
		back.Go(func() {
			defer out.Close()
			_ = pump(out, in, func([]byte) {})
		})
		heard := false
		var said []byte
		_ = pump(in, out, func(b []byte) {
			if said = append(said, b...); !heard && bytes.Contains(said, c.mark) {
				heard = true
				c.count()
			}
		})
		_ = in.Close()
		back.Wait()
	})
	return c
}

// pump copies until either side ends, and shows what it copies before it does.
func pump(to, from net.Conn, show func([]byte)) error {
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		show(buffer[:n])
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

func (c *Counter) count() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard++
}

// Heard counts the connections in which it was said.
func (c *Counter) Heard() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heard
}
