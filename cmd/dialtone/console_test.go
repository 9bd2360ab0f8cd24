package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// said is what a call came to.
type said struct {
	code           int
	stdout, stderr string
}

// call runs the program as main does, but for the process.
func call(t *testing.T, stdin string, env map[string]string, args ...string) said {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c := console{
		getenv: func(name string) string { return env[name] }, stdin: strings.NewReader(stdin), stdout: &stdout, stderr: &stderr,
	}
	code := run(t.Context(), args, c)
	return said{code: code, stdout: stdout.String(), stderr: stderr.String()}
}

// want checks the exit code, and shows what was said if it is another.
func (s said) want(t *testing.T, code int) said {
	t.Helper()
	if s.code != code {
		t.Fatalf("exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", s.code, code, s.stdout, s.stderr)
	}
	return s
}

// hides checks that no secret was said.
func (s said) hides(t *testing.T, secrets ...string) said {
	t.Helper()
	for _, secret := range secrets {
		for name, text := range map[string]string{"stdout": s.stdout, "stderr": s.stderr} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds the secret %q:\n%s", name, secret, text)
			}
		}
	}
	return s
}

// closedPort is an address that nothing listens on.
func closedPort(t *testing.T) string {
	t.Helper()
	l := listen(t)
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return addr
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// serve answers connections with handle until the test ends.
func serve(t *testing.T, handle func(net.Conn)) (addr string) {
	t.Helper()
	l := listen(t)
	var running sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			running.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return l.Addr().String()
}

// trusting is a PostgreSQL that lets everybody in and finds every statement
// empty.
func trusting(t *testing.T) (addr string) {
	t.Helper()
	return serve(t, func(conn net.Conn) {
		const ready = "Z\x00\x00\x00\x05I"
		if skip(conn) != nil {
			return
		}
		answer := "R\x00\x00\x00\x08\x00\x00\x00\x00" + "S\x00\x00\x00\x18server_version\x0016.1\x00" + ready
		for {
			if _, err := io.WriteString(conn, answer); err != nil {
				return
			}
			kind := make([]byte, 1)
			if _, err := io.ReadFull(conn, kind); err != nil || kind[0] != 'Q' || skip(conn) != nil {
				return
			}
			answer = "I\x00\x00\x00\x04" + ready
		}
	})
}

// skip reads a length and what it counts.
func skip(r io.Reader) error {
	var length uint32
	if err := binary.Read(r, binary.BigEndian, &length); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, r, int64(length)-4)
	return err
}

// silent is a server that says nothing.
func silent(t *testing.T) (addr string, reached <-chan struct{}) {
	t.Helper()
	came := make(chan struct{}, 16)
	return serve(t, func(conn net.Conn) {
		came <- struct{}{}
		_, _ = io.Copy(io.Discard, conn)
	}), came
}

// babbling is a server that is no database.
func babbling(t *testing.T) (addr string) {
	t.Helper()
	return serve(t, func(conn net.Conn) {
		if _, err := io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"); err == nil {
			_, _ = io.Copy(io.Discard, conn)
		}
	})
}
