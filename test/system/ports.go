package system

import (
	mathrand "math/rand/v2"
	"net"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// lasting are the ports that LastingAddr has given out.
var lasting struct {
	sync.Mutex
	given map[int]bool
}

// LastingAddr gives a loopback address that is free, and stays free while its
// server is away: a port that the kernel gives to nobody who does not ask for it.
func LastingAddr(t *testing.T) string {
	t.Helper()
	lasting.Lock()
	defer lasting.Unlock()
	if lasting.given == nil {
		lasting.given = map[int]bool{}
	}
	const first, last, tries = 15000, 29999, 1000 // below where Linux begins to choose by itself, 32768
	for range tries {
		port := first + mathrand.IntN(last-first)
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		_ = l.Close()
		if !lasting.given[port] {
			lasting.given[port] = true
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}

// FreeAddr gives a loopback address that was free a moment ago.
func FreeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// ClosedAddr is a loopback address that nobody listens on, nor can, until the test ends.
func ClosedAddr(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
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
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(bound.Port))
}
