package system

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Gate stands before a server that speaks first, as MySQL does, and knows
// where each connection is: before the greeting, or past the first thing that
// the client says, which in plain text is its login.
type Gate struct {
	Addr string

	mu sync.Mutex
	// opened, waiting and logins count all connections, those that were not
	// greeted, and those that have sent a login.
	opened, waiting, logins int
	// holds are how many connections are still to be held.
	holdGreetings, holdLogins int
	release                   chan struct{}
}

// NewGate opens a gate before the server until the test ends.
func NewGate(t *testing.T, to string) *Gate {
	t.Helper()
	g := &Gate{release: make(chan struct{})}
	g.Addr = Serve(t, func(c net.Conn) { g.pass(c, to) })
	t.Cleanup(g.Release) // before Serve waits for them
	return g
}

// HoldGreetings keeps the greeting from the next n connections, until Release.
func (g *Gate) HoldGreetings(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holdGreetings = n
}

// HoldLogins keeps the next n logins from the server, until Release.
func (g *Gate) HoldLogins(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holdLogins = n
}

// Release lets go of everything that is held.
func (g *Gate) Release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.release)
	g.release = make(chan struct{})
}

// Waiting counts the connections that were not greeted.
func (g *Gate) Waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting
}

// Opened counts all connections.
func (g *Gate) Opened() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.opened
}

// Logins counts the connections on which a client has said something.
func (g *Gate) Logins() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.logins
}

// greet says when this connection may be greeted, and is told when it was.
func (g *Gate) greet() (when <-chan struct{}, done func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened++
	g.waiting++
	done = func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.waiting--
	}
	if g.holdGreetings == 0 {
		return closed(), done
	}
	g.holdGreetings--
	return g.release, done
}

// login says when this login may go on.
func (g *Gate) login() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.logins++
	if g.holdLogins == 0 {
		return closed()
	}
	g.holdLogins--
	return g.release
}

func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func (g *Gate) pass(in net.Conn, to string) {
	held, greeted := g.greet()
	<-held
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	greeting := make([]byte, 4096)
	n, err := out.Read(greeting)
	if err != nil {
		return
	}
	if _, err := in.Write(greeting[:n]); err != nil {
		return
	}
	greeted()
	var back sync.WaitGroup
	back.Go(func() {
		defer out.Close()
		first := make([]byte, 4096)
		n, err := in.Read(first)
		if n == 0 || err != nil {
			return
		}
		<-g.login()
		if _, err := out.Write(first[:n]); err == nil {
			_, _ = io.Copy(out, in)
		}
	})
	_, _ = io.Copy(in, out)
	_ = in.Close()
	back.Wait()
}
