package system

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Forward is a second address of a server, which can be taken away and given
// back while the server itself runs on for others.
type Forward struct {
	// Addr is where it listens.
	Addr string

	to string

	mu    sync.Mutex
	cut   bool
	open  map[net.Conn]struct{}
	total int
}

// NewForward passes on what connects to Addr until the test ends.
func NewForward(t *testing.T, to string) *Forward {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &Forward{Addr: l.Addr().String(), to: to, open: map[net.Conn]struct{}{}}
	var passing sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		f.Cut()
		passing.Wait()
	})
	passing.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			passing.Go(func() { f.pass(in) })
		}
	})
	return f
}

// Cut ends all connections, and each new one at once.
func (f *Forward) Cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = true
	for c := range f.open {
		reset(c)
	}
}

// Mend lets new connections pass.
func (f *Forward) Mend() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = false
}

// Connections counts those that were ever tried.
func (f *Forward) Connections() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.total
}

// pass copies both ways until either side ends.
func (f *Forward) pass(in net.Conn) {
	if !f.enter(in) {
		return
	}
	defer f.leave(in)
	out, err := net.Dial("tcp", f.to)
	if err != nil {
		return
	}
	defer out.Close()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(out, in)
		_ = out.Close()
	})
	_, _ = io.Copy(in, out)
	_ = in.Close()
	back.Wait()
}

func (f *Forward) enter(in net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.total++
	if f.cut {
		reset(in)
		return false
	}
	f.open[in] = struct{}{}
	return true
}

func (f *Forward) leave(in net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, in)
	_ = in.Close()
}

// reset ends a connection without a farewell, as a crash does.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
