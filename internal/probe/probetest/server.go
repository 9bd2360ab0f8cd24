package probetest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Server accepts connections on loopback and gives each to a handler.
type Server struct {
	Addr netip.AddrPort

	listener net.Listener
	accepted atomic.Int64
	logins   atomic.Int64
	handlers sync.WaitGroup
}

// Serve starts a server that ends with the test. The handler owns its
// connection; it should end when the client closes it.
func Serve(tb testing.TB, handle func(s *Server, conn net.Conn)) *Server {
	tb.Helper()
	listener, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{Addr: addrPort(listener.Addr()), listener: listener}
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.accepted.Add(1)
			s.handlers.Go(func() {
				defer func() { _ = conn.Close() }()
				handle(s, conn)
			})
		}
	}()
	tb.Cleanup(func() {
		_ = listener.Close()
		<-accepting
		s.Wait(tb)
	})
	return s
}

// Login counts credentials that have arrived.
func (s *Server) Login() { s.logins.Add(1) }

// Logins is how often credentials have arrived.
func (s *Server) Logins() int { return int(s.logins.Load()) }

// Accepted is how many connections were made.
func (s *Server) Accepted() int { return int(s.accepted.Load()) }

// Wait fails the test if a connection is still open after a while: then the
// client has left it behind.
func (s *Server) Wait(tb testing.TB) {
	tb.Helper()
	done := make(chan struct{})
	go func() { s.handlers.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		tb.Error("a connection was left open")
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(tcp.AddrPort().Addr().Unmap(), tcp.AddrPort().Port())
}

// drain reads until the client has gone.
func drain(conn net.Conn) {
	buf := make([]byte, 4096)
	for {
		if _, err := conn.Read(buf); err != nil {
			return
		}
	}
}

// gone is closed when the client has closed the connection.
func gone(conn net.Conn) <-chan struct{} {
	closed := make(chan struct{})
	go func() { drain(conn); close(closed) }()
	return closed
}

// reset closes a connection so that the client gets a reset.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// drip sends one byte every 250 ms: less in a test's time than the shortest
// message that means something.
func drip(conn net.Conn, b []byte) {
	closed := gone(conn)
	for i := range b {
		if _, err := conn.Write(b[i : i+1]); err != nil {
			break
		}
		select {
		case <-closed:
			return
		case <-time.After(250 * time.Millisecond):
		}
	}
	<-closed
}

// flood sends b again and again until the client has gone.
func flood(conn net.Conn, b []byte) {
	closed := gone(conn)
	for {
		if _, err := conn.Write(b); err != nil {
			break
		}
	}
	<-closed
}

// closedPort is an address on which nothing listens.
func closedPort(tb testing.TB) netip.AddrPort {
	tb.Helper()
	// Bound but not listening: nobody else gets the port, and it refuses.
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = syscall.Close(fd) })
	return bind(tb, fd)
}

func bind(tb testing.TB, fd int) netip.AddrPort {
	tb.Helper()
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		tb.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		tb.Fatal(err)
	}
	in4, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		tb.Fatalf("socket name is a %T", name)
	}
	return netip.AddrPortFrom(netip.AddrFrom4(in4.Addr), uint16(in4.Port))
}

// blackHole is an address that never answers: its queue of connections is
// full, so the kernel drops what comes, as a firewall does.
func blackHole(tb testing.TB) netip.AddrPort {
	tb.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = syscall.Close(fd) })
	addr := bind(tb, fd)
	if err := syscall.Listen(fd, 0); err != nil {
		tb.Fatal(err)
	}
	for range 16 {
		ctx, cancel := context.WithTimeout(tb.Context(), 200*time.Millisecond)
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr.String())
		cancel()
		if errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
			return addr
		}
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = conn.Close() })
	}
	tb.Fatal("the queue of connections does not fill")
	return addr
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
