package system

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// JobID is shaped like one of the contract's own.
const JobID = "140b5236-88ad-43c8-811c-1268453jb101"

// WaitForServers is how long a test waits for something that should be quick.
const WaitForServers = 10 * time.Second

// Target makes a valid entry for an engine at an address of scripts/services.
func Target(t *testing.T, engine, addrVar, user, database string) Entry {
	t.Helper()
	host, port := split(t, Need(t, addrVar))
	return Entry{
		"id": JobID, "net_type": "eip", "db_type": engine, "ip": host, "db_port": port, "db_user": user,
		"db_password": Need(t, "DIALTONE_TEST_PASSWORD"), "db_name": database, "end_point_type": "so",
	}
}

// MariaDB is an entry for the MariaDB of scripts/services that works for dt_native.
func MariaDB(t *testing.T, user string) Entry {
	t.Helper()
	return Target(t, "mysql", "DIALTONE_TEST_MARIADB_ADDR", user, "dt_login")
}

// Postgres is an entry for the PostgreSQL of scripts/services.
func Postgres(t *testing.T, user string) Entry {
	t.Helper()
	return Target(t, "postgresql", "DIALTONE_TEST_POSTGRES_ADDR", user, "dt_login")
}

// With copies the entry with fields changed; nil removes one.
func (e Entry) With(fields Entry) Entry {
	c := Entry{}
	maps.Copy(c, e)
	for k, v := range fields {
		if v == nil {
			delete(c, k)
			continue
		}
		c[k] = v
	}
	return c
}

// TLS asks for an encrypted connection that trusts the named authority.
func (e Entry) TLS(t *testing.T, authority string) Entry {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(Need(t, "DIALTONE_TEST_PKI"), authority))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(raw)
	return e.With(Entry{
		"ssl_link": true, "ssl_cert_key": base64.StdEncoding.EncodeToString(raw), "ssl_cert_name": authority,
		"ssl_cert_check_sum": hex.EncodeToString(sum[:]),
	})
}

// At points the entry to another address.
func (e Entry) At(t *testing.T, addr string) Entry {
	t.Helper()
	host, port := split(t, addr)
	return e.With(Entry{"ip": host, "db_port": port})
}

// Elsewhere gives the entry an address of its own of the same server, which
// makes it another endpoint.
func (e Entry) Elsewhere(t *testing.T) Entry {
	t.Helper()
	host, _ := e["ip"].(string)
	port, _ := e["db_port"].(int)
	return e.At(t, NewForward(t, net.JoinHostPort(host, strconv.Itoa(port))).Addr)
}

func split(t *testing.T, addr string) (string, int) {
	t.Helper()
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

// Tarpit accepts and never says a word.
func Tarpit(t *testing.T) string {
	t.Helper()
	return NewPit(t).Addr
}

// Pit accepts and never says a word, and counts who is in it.
type Pit struct {
	Addr string

	mu         sync.Mutex
	open, ever int
}

// NewPit opens a Pit until the test ends.
func NewPit(t *testing.T) *Pit {
	t.Helper()
	p := &Pit{}
	p.Addr = Serve(t, func(c net.Conn) {
		p.count(1)
		defer p.count(-1)
		_, _ = io.Copy(io.Discard, c)
	})
	return p
}

func (p *Pit) count(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open += n
	p.ever += max(n, 0)
}

// Open counts the connections in it.
func (p *Pit) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

// Ever counts all connections that there were.
func (p *Pit) Ever() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ever
}

// Serve calls handle with each connection, and closes all at the end of the
// test.
func Serve(t *testing.T, handle func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var ended bool
	open := map[net.Conn]struct{}{}
	enter := func(c net.Conn) bool {
		mu.Lock()
		defer mu.Unlock()
		open[c] = struct{}{}
		return !ended
	}
	leave := func(c net.Conn) {
		mu.Lock()
		defer mu.Unlock()
		delete(open, c)
		_ = c.Close()
	}
	var handling sync.WaitGroup
	handling.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			handling.Go(func() {
				defer leave(c)
				if enter(c) {
					handle(c)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		ended = true
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		handling.Wait()
	})
	return l.Addr().String()
}

// BlackHole is an address whose SYNs are never answered: a listener whose
// queue of one is full and never emptied.
func BlackHole(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	bound, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		t.Fatal("not an IPv4 socket")
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(bound.Port))
	for range 8 { // more than the kernel's queue of zero plus its one extra
		go func() {
			if c, err := net.Dial("tcp", addr); err == nil {
				t.Cleanup(func() { _ = c.Close() })
			}
		}()
	}
	Eventually(t, WaitForServers, "the accept queue is full", func() bool {
		c, err := net.DialTimeout("tcp", addr, 200*time.Millisecond)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	return addr
}
