package egress_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dialtone/internal/egress"
)

// server is a listener that counts who came.
type server struct {
	addr     netip.AddrPort
	accepted atomic.Int64
}

// serve listens on address and hands each connection to handle.
func serve(tb testing.TB, address string, handle func(net.Conn)) *server {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
	if err != nil {
		tb.Fatal(err)
	}
	return serveOn(tb, l, handle)
}

// serveOn is serve with a listener.
func serveOn(tb testing.TB, l net.Listener, handle func(net.Conn)) *server {
	tb.Helper()
	s := &server{addr: netip.MustParseAddrPort(l.Addr().String())}
	var handlers sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	handlers.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.accepted.Add(1)
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			handlers.Go(func() {
				defer func() { _ = conn.Close() }()
				handle(conn)
			})
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, conn := range conns {
			_ = conn.Close()
		}
		mu.Unlock()
		handlers.Wait()
	})
	return s
}

// silent says nothing until the other side hangs up.
func silent(conn net.Conn) {
	b := make([]byte, 1024)
	for {
		if _, err := conn.Read(b); err != nil {
			return
		}
	}
}

// flood says more than anybody wants to hear.
func flood(conn net.Conn) {
	b := []byte(strings.Repeat("0123456789abcdef", 4096))
	for {
		if _, err := conn.Write(b); err != nil {
			return
		}
	}
}

// blackHole is an address whose SYNs get no answer: the accept queue is full.
func blackHole(tb testing.TB, host string) netip.AddrPort {
	tb.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = syscall.Close(fd) })
	a := netip.MustParseAddr(host)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: a.As4()}); err != nil {
		tb.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		tb.Fatal(err)
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		tb.Fatal(err)
	}
	ap := netip.AddrPortFrom(a, uint16(bound.(*syscall.SockaddrInet4).Port)) //nolint:forcetypeassert // it was bound as such
	for range 16 {
		conn, err := (&net.Dialer{Timeout: 200 * time.Millisecond}).Dial("tcp", ap.String())
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			return ap
		}
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = conn.Close() })
	}
	tb.Fatal("the accept queue does not fill")
	return ap
}

// closedPort is a port on which nobody listens.
func closedPort(tb testing.TB, host string) netip.AddrPort {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", host+":0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return netip.MustParseAddrPort(l.Addr().String())
}

// reply is what the DNS server says to one question.
type reply struct {
	addrs     []string // of both families; those of the asked one are used
	code      byte     // 3: no such name, 2: server failure
	drop      bool     // say nothing
	truncated bool     // over UDP: come again over TCP
}

// dnsServer answers over UDP and TCP on one port.
type dnsServer struct {
	addr    netip.AddrPort
	answer  func(name string, nth int) reply
	mu      sync.Mutex
	asked   map[string]int // by name, questions for A only
	queries atomic.Int64
	streams atomic.Int64
}

// questions is how often the A records of name were asked for.
func (d *dnsServer) questions(name string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[name]
}

// serveDNS starts a DNS server on loopback. nth counts the questions for one
// name and type from 0, so that a second answer can differ from the first.
func serveDNS(tb testing.TB, answer func(name string, nth int) reply) *dnsServer {
	tb.Helper()
	d := &dnsServer{answer: answer, asked: map[string]int{}}
	nths := map[string]int{}
	next := func(key string) int {
		d.mu.Lock()
		defer d.mu.Unlock()
		nths[key]++
		return nths[key] - 1
	}
	packets, streams := sharePort(tb)
	d.addr = netip.MustParseAddrPort(packets.LocalAddr().String())
	serveOn(tb, streams, func(conn net.Conn) {
		d.streams.Add(1)
		b := make([]byte, 2048)
		n, err := conn.Read(b)
		if err != nil || n < 3 {
			return
		}
		out := d.respond(b[2:n], next, false)
		_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...))
		silent(conn)
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 2048)
		for {
			n, from, err := packets.ReadFrom(b)
			if err != nil {
				return
			}
			if out := d.respond(b[:n], next, true); out != nil {
				_, _ = packets.WriteTo(out, from)
			}
		}
	}()
	tb.Cleanup(func() { _ = packets.Close(); <-done })
	return d
}

// sharePort listens over UDP and TCP on one free port.
func sharePort(tb testing.TB) (net.PacketConn, net.Listener) {
	tb.Helper()
	for range 50 {
		packets, err := (&net.ListenConfig{}).ListenPacket(context.Background(), "udp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		streams, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", packets.LocalAddr().String())
		if err == nil {
			return packets, streams
		}
		_ = packets.Close() // somebody has it over TCP
	}
	tb.Fatal("no port is free over both UDP and TCP")
	return nil, nil
}

// respond makes the message that answers one query.
func (d *dnsServer) respond(query []byte, next func(string) int, datagram bool) []byte {
	d.queries.Add(1)
	var labels []string
	at := 12
	for query[at] != 0 {
		n := int(query[at])
		labels = append(labels, string(query[at+1:at+1+n]))
		at += 1 + n
	}
	at++
	kind := binary.BigEndian.Uint16(query[at:])
	at += 4
	name := strings.Join(labels, ".")
	if kind == 1 && datagram {
		d.mu.Lock()
		d.asked[name]++
		d.mu.Unlock()
	}
	r := d.answer(name, next(name+string(rune('0'+kind))))
	if r.drop {
		return nil
	}
	out := append([]byte{}, query[:at]...)
	out[2], out[3] = 0x81, 0x80|r.code
	clear(out[6:12])
	if r.truncated && datagram {
		out[2] |= 2
		return out
	}
	count := 0
	for _, text := range r.addrs {
		a := netip.MustParseAddr(text)
		if a.Is4() != (kind == 1) {
			continue
		}
		count++
		out = append(out, 0xc0, 12, byte(kind>>8), byte(kind), 0, 1, 0, 0, 0, 1)
		out = binary.BigEndian.AppendUint16(out, uint16(a.BitLen()/8))
		out = append(out, a.AsSlice()...)
	}
	binary.BigEndian.PutUint16(out[6:], uint16(count))
	return out
}

// asking is a scope whose names go to d, through a policy that does so.
func (d *dnsServer) asking(p *egress.Policy, s egress.Scope) egress.Scope {
	p.AskAt(d.addr.Port())
	s.DNS = d.addr.Addr()
	return s
}

// openEdge makes an edge that is closed at the end of the test.
func openEdge(tb testing.TB, p *egress.Policy, s egress.Scope, l egress.Limits) *egress.Edge {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	e := p.Open(ctx, s, l)
	tb.Cleanup(func() {
		_ = e.Close()
		cancel()
	})
	return e
}

// eventually polls a condition.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	tb.Errorf("after 5 s: not %s", what)
}
