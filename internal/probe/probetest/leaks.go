package probetest

import (
	"math/rand/v2"
	"net"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dialtone/internal/probe"
)

const (
	// sessions is how many hostile servers one prober is sent to.
	sessions = 500
	// patience is the time-out of each: most of them wait it out.
	patience = 300 * time.Millisecond
)

// leaks sends the prober to servers that work up to some byte, each up to
// another one, and then stall, hang up, reset, drip or talk nonsense. Whatever
// it was in the middle of, nothing may stay behind: no goroutine, no
// connection, no memory; and none of them is ok.
func (s *Suite) leaks(t *testing.T) {
	whole := s.answerLength(t)
	var turn, fine atomic.Int64
	server := Serve(t, func(srv *Server, conn net.Conn) {
		n := int(turn.Add(1)-1) % sessions // a prober may come twice
		c := &turncoat{Conn: conn, left: n * whole / sessions, fault: fault(n % int(faults))}
		if c.fault == nonsense {
			// The last bytes of an answer may be anything, as a status is.
			c.left = max(0, min(c.left, whole-32))
		}
		s.Accept(srv, c, nil)
	})
	before, began := heap(), time.Now()
	peak := watchHeap()
	var testers sync.WaitGroup
	for range 50 {
		testers.Go(func() {
			for range sessions / 50 {
				r, err := s.run(t.Context(), t, Policy(t), s.target(server.Addr), patience)
				if err != nil {
					t.Errorf("Run() error = %v", err)
				}
				if r.OK() {
					fine.Add(1)
				}
				WellFormed(t, r)
			}
		})
	}
	testers.Wait()
	took, most := time.Since(began), peak()-before
	server.Wait(t)
	noGoroutines(t)
	if n := fine.Load(); n != 0 {
		t.Errorf("%d of %d hostile servers were called ok", n, sessions)
	}
	const allowed = 8 << 20
	grown := heap() - before
	if grown > allowed {
		t.Errorf("%d bytes more are in use after %d sessions, want at most %d", grown, sessions, allowed)
	}
	// The servers are in the same process, and in these numbers.
	t.Logf("%s: %d hostile sessions, 50 at a time, in %s: %.1f MiB more at the peak, %.1f MiB after",
		s.Engine, sessions, took.Round(time.Millisecond), float64(most)/(1<<20), float64(grown)/(1<<20))
}

// watchHeap looks at the heap, garbage and all, until it is asked for the most
// that it has seen.
func watchHeap() (peak func() int64) {
	stop, seen := make(chan struct{}), make(chan int64)
	go func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		var most uint64
		for {
			metrics.Read(sample)
			most = max(most, sample[0].Value.Uint64())
			select {
			case <-stop:
				seen <- int64(most)
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return func() int64 {
		close(stop)
		return <-seen
	}
}

// answerLength is how many bytes a server sends in a test that passes.
func (s *Suite) answerLength(t *testing.T) int {
	t.Helper()
	var sent atomic.Int64
	server := Serve(t, func(srv *Server, conn net.Conn) { s.Accept(srv, &counting{Conn: conn, sent: &sent}, nil) })
	s.check(t, s.target(server.Addr), Want{Code: probe.CodeOK})
	server.Wait(t)
	return int(sent.Load())
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

type counting struct {
	net.Conn

	sent *atomic.Int64
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// fault is what a turncoat does when its time has come.
type fault int

const (
	stall fault = iota
	hangUp
	resets
	drips
	nonsense
	faults
)

// turncoat is a server's end of a connection that works for so many bytes.
type turncoat struct {
	net.Conn

	left   int
	fault  fault
	turned bool
}

func (c *turncoat) Write(p []byte) (int, error) {
	if c.turned {
		return 0, net.ErrClosed
	}
	if len(p) <= c.left {
		c.left -= len(p)
		return c.Conn.Write(p)
	}
	_, _ = c.Conn.Write(p[:c.left])
	rest := p[c.left:]
	c.turned = true
	switch c.fault {
	case stall:
		drain(c.Conn)
	case hangUp:
	case resets:
		reset(c.Conn)
	case drips:
		drip(c.Conn, rest[:len(rest)-1]) // never the last one, which might complete the answer
	default:
		garbage := make([]byte, 4096)
		_, _ = rand.NewChaCha8([32]byte{byte(len(rest))}).Read(garbage)
		_, _ = c.Conn.Write(garbage)
		drain(c.Conn)
	}
	_ = c.Close()
	return 0, net.ErrClosed
}
