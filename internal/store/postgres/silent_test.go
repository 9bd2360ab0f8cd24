package postgres_test

import (
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// hush passes on what a client and a server say until it is silent.
type hush struct {
	addr   string
	silent atomic.Bool
}

func newHush(t *testing.T, to string) *hush {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hush{addr: l.Addr().String()}
	var passing sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		passing.Wait()
	})
	passing.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			mu.Lock()
			open = append(open, in, out)
			mu.Unlock()
			passing.Go(func() { _, _ = io.Copy(h.to(out), in) })
			passing.Go(func() { _, _ = io.Copy(h.to(in), out) })
		}
	})
	return h
}

// to is a writer that swallows while it is silent.
func (h *hush) to(c net.Conn) io.Writer {
	return writer(func(b []byte) (int, error) {
		if h.silent.Load() {
			return len(b), nil
		}
		return c.Write(b)
	})
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// TestCloseWithASilentServer: one that takes packets and does not answer keeps
// nobody from ending, although statements were under way.
func TestCloseWithASilentServer(t *testing.T) {
	t.Parallel()
	dsn := server(t)
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
	h := newHush(t, address)
	through := strings.Replace(dsn, address, h.addr, 1)
	if through == dsn {
		t.Fatal("the DSN does not name the server as host:port")
	}
	s := open(t, through, newBox(t))
	ask := func(patience time.Duration) {
		var asking sync.WaitGroup
		for range 8 {
			asking.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				_ = s.Ping(ctx) // there may be no tables
			})
		}
		asking.Wait()
	}
	ask(20 * time.Second)
	h.silent.Store(true)
	ask(100 * time.Millisecond) // and given up
	began := time.Now()
	s.Close()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("Close() took %s", took)
	}
}
