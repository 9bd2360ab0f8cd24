package egress_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/egress"
)

// timedOut reads net's error: what a dial says then is either of two.
func timedOut(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

func TestDialTellsFailuresApart(t *testing.T) {
	t.Parallel()
	p := newPolicy(t, egress.Config{Open: true})
	closed := closedPort(t, "127.0.0.1")
	hole := blackHole(t, "127.0.0.1")
	for _, tc := range []struct {
		name   string
		addr   netip.AddrPort
		limits egress.Limits
		is     func(error) bool
		text   string
	}{
		{"refused", closed, egress.Limits{}, func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }, "connection refused"},
		{"black hole", hole, egress.Limits{ConnectTimeout: 50 * time.Millisecond}, timedOut, "timed out"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			e := openEdge(t, p, egress.Scope{}, tc.limits)
			_, err := e.Dial(t.Context(), "tcp", tc.addr.String())
			failed, ok := errors.AsType[*egress.DialError](err)
			if !ok || failed.Addr != tc.addr || !tc.is(err) || failed.Timeout() != timedOut(err) {
				t.Errorf("Dial() = %#v, want a DialError: %s", err, tc.text)
			}
			if want := "dial " + tc.addr.String() + ": " + tc.text; err.Error() != want {
				t.Errorf("error = %q, want %q", err, want)
			}
			seen := e.Evidence()
			if len(seen.Dials) != 1 || seen.Dials[0].Addr != tc.addr || seen.Dials[0].Start.IsZero() || seen.Dials[0].Took <= 0 || !tc.is(seen.Dials[0].Err) {
				t.Errorf("evidence = %+v", seen.Dials)
			}
			if seen.Used.IsValid() {
				t.Errorf("an address was used: %s", seen.Used)
			}
		})
	}
	t.Run("the deadline of the probe", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		e := p.Open(ctx, egress.Scope{}, egress.Limits{})
		defer func() { _ = e.Close() }()
		// The driver brings a context that knows nothing of it.
		_, err := e.Dial(context.Background(), "tcp", hole.String())
		if failed, ok := errors.AsType[*egress.DialError](err); !ok || !failed.Timeout() {
			t.Errorf("Dial() = %#v, want a DialError that timed out", err)
		}
	})
	t.Run("the deadline of the driver", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := openEdge(t, p, egress.Scope{}, egress.Limits{}).Dial(ctx, "tcp", hole.String())
		if failed, ok := errors.AsType[*egress.DialError](err); !ok || !failed.Timeout() {
			t.Errorf("Dial() = %#v, want a DialError that timed out", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		e := p.Open(ctx, egress.Scope{}, egress.Limits{})
		defer func() { _ = e.Close() }()
		_, err := e.Dial(context.Background(), "tcp", hole.String())
		if failed, ok := errors.AsType[*egress.DialError](err); !ok || failed.Timeout() || !errors.Is(err, context.Canceled) {
			t.Errorf("Dial() = %#v, want one that was cancelled", err)
		}
		if _, err := e.Dial(context.Background(), "tcp", closed.String()); !errors.Is(err, context.Canceled) {
			t.Errorf("Dial() afterwards = %v, want %v", err, context.Canceled)
		}
	})
}

func TestAddressesAreTriedInOrder(t *testing.T) {
	t.Parallel()
	good := serve(t, "127.0.0.4:0", silent)
	d := serveDNS(t, func(name string, _ int) reply {
		switch name {
		case "good.example":
			return reply{addrs: []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"}}
		case "bad.example":
			return reply{addrs: []string{"127.0.0.2", "127.0.0.3"}}
		default:
			return reply{addrs: []string{"127.0.0.2", "127.0.0.3", "127.0.0.5", "127.0.0.6", "127.0.0.7", "127.0.0.8"}}
		}
	})
	p := newPolicy(t, egress.Config{Open: true})
	s := d.asking(p, egress.Scope{})
	port := good.addr.Port()
	at := func(host string) string { return fmt.Sprintf("%s:%d", host, port) }
	dialled := func(e *egress.Edge) []string {
		var all []string
		for _, d := range e.Evidence().Dials {
			if d.Host != "" && !strings.HasSuffix(d.Host, ".example") {
				t.Errorf("host of a dial = %q", d.Host)
			}
			all = append(all, d.Addr.String())
		}
		return all
	}

	e := openEdge(t, p, s, egress.Limits{})
	conn, err := e.Dial(t.Context(), "tcp", at("good.example"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{at("127.0.0.2"), at("127.0.0.3"), at("127.0.0.4")}, dialled(e)); diff != "" {
		t.Errorf("dials (-want +got):\n%s", diff)
	}
	seen := e.Evidence()
	if seen.Used != good.addr || seen.Local.String() != conn.LocalAddr().String() || conn.RemoteAddr().String() != good.addr.String() {
		t.Errorf("used %s from %s, want %s from %s", seen.Used, seen.Local, good.addr, conn.LocalAddr())
	}

	// One dial is left of four: the next host gets no further than that, and
	// its refusal is the news. Then the budget is.
	if _, err := e.Dial(t.Context(), "tcp", at("bad.example")); !errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, egress.ErrDialBudget) {
		t.Errorf("Dial() with one left = %v, want a refusal", err)
	}
	if _, err := e.Dial(t.Context(), "tcp", at("127.0.0.4")); !errors.Is(err, egress.ErrDialBudget) {
		t.Errorf("Dial() with none left = %v, want %v", err, egress.ErrDialBudget)
	}
	if n := len(dialled(e)); n != 4 {
		t.Errorf("%d dials, want 4", n)
	}

	many := openEdge(t, p, s, egress.Limits{})
	if _, err := many.Dial(t.Context(), "tcp", at("many.example")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Dial() = %v, want a refusal", err)
	}
	if n := len(dialled(many)); n != 4 {
		t.Errorf("%d dials, want 4", n)
	}
	if _, err := openEdge(t, p, s, egress.Limits{}).Dial(t.Context(), "tcp6", at("good.example")); err == nil {
		t.Error("an IPv4 host was reached over tcp6")
	}
}

// A black hole in the first place costs its connect timeout, no more.
func TestBlackHoleBeforeAGoodAddress(t *testing.T) {
	t.Parallel()
	hole := blackHole(t, "127.0.0.2")
	serve(t, fmt.Sprintf("127.0.0.3:%d", hole.Port()), silent)
	d := serveDNS(t, func(string, int) reply { return reply{addrs: []string{"127.0.0.2", "127.0.0.3"}} })
	p := newPolicy(t, egress.Config{Open: true})
	e := openEdge(t, p, d.asking(p, egress.Scope{}), egress.Limits{ConnectTimeout: 100 * time.Millisecond})
	if _, err := e.Dial(t.Context(), "tcp", fmt.Sprintf("db.example:%d", hole.Port())); err != nil {
		t.Fatal(err)
	}
	dials := e.Evidence().Dials
	if len(dials) != 2 || !timedOut(dials[0].Err) || dials[0].Took < 100*time.Millisecond || dials[1].Err != nil {
		t.Errorf("dials = %+v", dials)
	}
}

func TestForbiddenAddressesGetNoPacket(t *testing.T) {
	t.Parallel()
	target := serve(t, "127.0.0.1:0", silent)
	port := target.addr.Port()
	d := serveDNS(t, func(string, int) reply { return reply{addrs: []string{"127.0.0.1"}} })
	p := newPolicy(t, egress.Config{Local: true}, append(everything, fmt.Sprintf("127.0.0.1 %d * *", d.addr.Port()))...)
	s := d.asking(p, egress.Scope{Network: "eip"})
	for _, host := range []string{"127.0.0.1", "::ffff:127.0.0.1", "::ffff:7f00:1", "a.example", "localhost"} {
		address := net.JoinHostPort(host, strconv.Itoa(int(port)))
		e := openEdge(t, p, s, egress.Limits{})
		if _, err := e.Lookup(t.Context(), host, port); class(t, err) != egress.ClassLoopback {
			t.Errorf("Lookup(%s) = %v, want %s", host, err, egress.ClassLoopback)
		}
		for range 4 {
			if _, err := e.Dial(t.Context(), "tcp", address); class(t, err) != egress.ClassLoopback {
				t.Errorf("Dial(%s) = %v, want %s", address, err, egress.ClassLoopback)
			}
		}
		// Being sent there for ever is abuse.
		if _, err := e.Dial(t.Context(), "tcp", address); !errors.Is(err, egress.ErrDialBudget) {
			t.Errorf("the fifth Dial(%s) = %v, want %v", address, err, egress.ErrDialBudget)
		}
		if dials := e.Evidence().Dials; len(dials) != 4 || class(t, dials[3].Err) != egress.ClassLoopback {
			t.Errorf("dials = %+v", dials)
		}
	}
	if n := target.accepted.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

func TestDialRefusesWhatIsNoTarget(t *testing.T) {
	t.Parallel()
	p := newPolicy(t, egress.Config{Open: true})
	for _, tc := range []struct {
		network, address string
		want             egress.Class
	}{
		{"udp", "127.0.0.1:53", egress.ClassTransport},
		{"unix", "/run/docker.sock", egress.ClassTransport},
		{"ip4:icmp", "127.0.0.1", egress.ClassTransport},
		{"", "127.0.0.1:1", egress.ClassTransport},
		{"tcp", "127.0.0.1:0", egress.ClassPort},
		{"tcp", "127.0.0.1:", egress.ClassPort},
		{"tcp", "127.0.0.1:65536", egress.ClassPort},
		{"tcp", "127.0.0.1:mysql", egress.ClassPort},
		{"tcp", "[fe80::1%lo]:1", egress.ClassLinkLocal},
		{"tcp", "0.0.0.0:1", egress.ClassUnspecified},
	} {
		_, err := openEdge(t, p, egress.Scope{}, egress.Limits{}).Dial(t.Context(), tc.network, tc.address)
		if got := class(t, err); got != tc.want {
			t.Errorf("Dial(%q, %q) = %s, want %s", tc.network, tc.address, got, tc.want)
		}
	}
	for _, address := range []string{"", "127.0.0.1", ":1", "127.0.0.1:1:2", "a b:1"} {
		_, err := openEdge(t, p, egress.Scope{}, egress.Limits{}).Dial(t.Context(), "tcp", address)
		if failed, ok := errors.AsType[*egress.LookupError](err); !ok || !failed.NotFound {
			t.Errorf("Dial(%q) = %v, want a name that is not found", address, err)
		}
	}
}

// A hostile server may name hosts without end; each would cost a look-up.
func TestLookupsHaveABudget(t *testing.T) {
	t.Parallel()
	d := serveDNS(t, func(string, int) reply { return reply{code: 3} })
	p := newPolicy(t, egress.Config{Open: true})
	e := openEdge(t, p, d.asking(p, egress.Scope{}), egress.Limits{Dials: 2})
	for i := range 5 {
		_, err := e.Dial(t.Context(), "tcp", fmt.Sprintf("h%d.example:1", i))
		if spent := errors.Is(err, egress.ErrDialBudget); spent != (i >= 2) {
			t.Errorf("look-up %d: %v", i, err)
		}
	}
}

func TestDeniedIsReportedOncePerEdge(t *testing.T) {
	t.Parallel()
	target := serve(t, "127.0.0.1:0", silent)
	var mu sync.Mutex
	var seen []egress.Decision
	p := newPolicy(t, egress.Config{Local: true, Mode: egress.ModeReport, Report: func(d egress.Decision) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, d)
	}}, fmt.Sprintf("127.0.0.1 %d vpc *", target.addr.Port()), "10.0.0.0/8 1 vpc *")
	s := egress.Scope{Network: "vpc", Project: "p1"}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	e := p.Open(ctx, s, egress.Limits{})
	defer func() { _ = e.Close() }()
	for range 2 {
		_, _ = e.Lookup(ctx, "10.0.0.1", 2)
	}
	// Judged at the look-up, and again on the way to the kernel.
	_, _ = e.Dial(ctx, "tcp", "10.0.0.1:2")
	if _, err := e.Lookup(ctx, "169.254.169.254", 2); err == nil {
		t.Error("metadata is allowed in report mode")
	}
	want := []egress.Decision{
		{Scope: s, Addr: netip.MustParseAddrPort("10.0.0.1:2"), Class: egress.ClassPort},
		{Scope: s, Addr: netip.MustParseAddrPort("169.254.169.254:2"), Class: egress.ClassMetadata, Enforced: true},
	}
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff(want, seen, byValue[netip.Addr](), byValue[netip.AddrPort]()); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}
}

func TestEvidenceOfAConversation(t *testing.T) {
	t.Parallel()
	s := serve(t, "127.0.0.1:0", func(conn net.Conn) {
		_, _ = conn.Write([]byte("0123456"))
		b := make([]byte, 5)
		_, _ = io.ReadFull(conn, b)
		_, _ = conn.Write([]byte("789abcdefghij"))
	})
	p := newPolicy(t, egress.Config{Open: true})
	e := openEdge(t, p, egress.Scope{}, egress.Limits{})
	conn, err := e.Dial(t.Context(), "tcp", s.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(conn)
	if err != nil || string(all) != "0123456789abcdefghij" {
		t.Fatalf("read %q, %v", all, err)
	}
	seen := e.Evidence()
	if string(seen.FirstBytes) != "0123456789abcdef" || seen.BytesIn != 20 || seen.BytesOut != 5 || seen.Capped {
		t.Errorf("evidence = %+v", seen)
	}
	if !errors.Is(seen.ReadErr, io.EOF) || seen.WriteErr != nil {
		t.Errorf("errors = %v, %v; want %v, none", seen.ReadErr, seen.WriteErr, io.EOF)
	}
	// A copy: nobody writes in what was seen.
	seen.FirstBytes[0], seen.Dials[0].Addr = 'x', netip.AddrPort{}
	if again := e.Evidence(); again.FirstBytes[0] != '0' || !again.Dials[0].Addr.IsValid() {
		t.Error("Evidence() gives away its own memory")
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if again := e.Evidence(); again.BytesIn != 20 || again.Used != s.addr {
		t.Errorf("evidence after Close = %+v", again)
	}
}

func TestReadCapIsOverTheEdge(t *testing.T) {
	t.Parallel()
	s := serve(t, "127.0.0.1:0", flood)
	p := newPolicy(t, egress.Config{Open: true})
	e := openEdge(t, p, egress.Scope{}, egress.Limits{ReadBytes: 100_000})
	first, err := e.Dial(t.Context(), "tcp", s.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	second, err := e.Dial(t.Context(), "tcp", s.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.ReadFull(first, make([]byte, 60_000)); err != nil {
		t.Fatal(n, err)
	}
	n, err := io.Copy(io.Discard, second)
	if n != 40_000 || !errors.Is(err, egress.ErrReadCap) {
		t.Errorf("the second connection gave %d bytes, %v; want 40000, %v", n, err, egress.ErrReadCap)
	}
	if n, err := first.Read(make([]byte, 1)); n != 0 || !errors.Is(err, egress.ErrReadCap) {
		t.Errorf("Read() = %d, %v; want %v", n, err, egress.ErrReadCap)
	}
	if seen := e.Evidence(); !seen.Capped || seen.BytesIn != 100_000 || !errors.Is(seen.ReadErr, egress.ErrReadCap) {
		t.Errorf("evidence = capped %v, %d bytes, %v", seen.Capped, seen.BytesIn, seen.ReadErr)
	}
}

// stubborn are the ways in which a driver tries to wait longer than it may.
func TestDeadlineIsForced(t *testing.T) {
	t.Parallel()
	s := serve(t, "127.0.0.1:0", silent)
	p := newPolicy(t, egress.Config{Open: true})
	for name, stubborn := range map[string]func(net.Conn) error{
		"driver sets none":            func(net.Conn) error { return nil },
		"driver sets a later one":     func(c net.Conn) error { return c.SetDeadline(time.Now().Add(time.Hour)) },
		"driver takes it away":        func(c net.Conn) error { return c.SetDeadline(time.Time{}) },
		"driver sets a later to read": func(c net.Conn) error { return c.SetReadDeadline(time.Now().Add(time.Hour)) },
		"driver frees reading":        func(c net.Conn) error { return c.SetReadDeadline(time.Time{}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			e := p.Open(ctx, egress.Scope{}, egress.Limits{})
			defer func() { _ = e.Close() }()
			conn, err := e.Dial(context.Background(), "tcp", s.addr.String())
			if err != nil {
				t.Fatal(err)
			}
			if err := stubborn(conn); err != nil {
				t.Fatal(err)
			}
			_, err = conn.Read(make([]byte, 1))
			if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read() = %v, want a timeout", err)
			}
			if !errors.Is(e.Evidence().ReadErr, os.ErrDeadlineExceeded) {
				t.Errorf("evidence = %v", e.Evidence().ReadErr)
			}
		})
	}
	t.Run("driver sets an earlier one", func(t *testing.T) {
		t.Parallel()
		conn, err := openEdge(t, p, egress.Scope{}, egress.Limits{}).Dial(t.Context(), "tcp", s.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) > 5*time.Second {
			t.Errorf("Read() = %v after %s", err, time.Since(start))
		}
	})
	t.Run("driver writes for ever", func(t *testing.T) {
		t.Parallel()
		deaf := serve(t, "127.0.0.1:0", func(conn net.Conn) { <-t.Context().Done(); _ = conn.Close() })
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		e := p.Open(ctx, egress.Scope{}, egress.Limits{})
		defer func() { _ = e.Close() }()
		conn, err := e.Dial(context.Background(), "tcp", deaf.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetWriteDeadline(time.Time{})
		for err == nil {
			_, err = conn.Write(make([]byte, 1<<20))
		}
		if seen := e.Evidence(); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(seen.WriteErr, os.ErrDeadlineExceeded) || seen.BytesOut == 0 {
			t.Errorf("Write() = %v, evidence %v after %d bytes", err, seen.WriteErr, seen.BytesOut)
		}
	})
}

// soon receives, but does not wait for ever.
func soon[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(5 * time.Second):
		t.Fatalf("not within 5 s: %s", what)
		panic("unreachable")
	}
}

func TestCancelClosesEverySocket(t *testing.T) {
	t.Parallel()
	hungUp := make(chan struct{}, 3)
	s := serve(t, "127.0.0.1:0", func(conn net.Conn) { silent(conn); hungUp <- struct{}{} })
	p := newPolicy(t, egress.Config{Open: true})
	ctx, cancel := context.WithCancel(t.Context())
	e := p.Open(ctx, egress.Scope{}, egress.Limits{})
	defer func() { _ = e.Close() }()
	read := make(chan error, 3)
	for range 3 {
		conn, err := e.Dial(context.Background(), "tcp", s.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_, err := conn.Read(make([]byte, 1))
			read <- err
		}()
	}
	cancel()
	for range 3 {
		if err := soon(t, "a read ends", read); !errors.Is(err, context.Canceled) {
			t.Errorf("Read() = %v, want %v", err, context.Canceled)
		}
		soon(t, "the other side hears of it", hungUp)
	}
}

func TestCloseEndsAllAndIsIdempotent(t *testing.T) {
	t.Parallel()
	hungUp := make(chan struct{}, 2)
	s := serve(t, "127.0.0.1:0", func(conn net.Conn) { silent(conn); hungUp <- struct{}{} })
	hole := blackHole(t, "127.0.0.1")
	p := newPolicy(t, egress.Config{Open: true})
	e := p.Open(t.Context(), egress.Scope{}, egress.Limits{ConnectTimeout: time.Minute})
	var conns []net.Conn
	for range 2 {
		conn, err := e.Dial(t.Context(), "tcp", s.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	dialled := make(chan error, 1)
	go func() {
		_, err := e.Dial(context.Background(), "tcp", hole.String())
		dialled <- err
	}()
	// What its user has closed says so; that is no evidence.
	if err := conns[0].Close(); err != nil {
		t.Errorf("Close() of a connection = %v", err)
	}
	soon(t, "the other side hears of it", hungUp)
	if _, err := conns[0].Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read() after Close = %v", err)
	}
	if err := conns[0].Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the second Close() of a connection = %v", err)
	}
	if seen := e.Evidence(); seen.ReadErr != nil {
		t.Errorf("evidence = %v", seen.ReadErr)
	}
	var closers sync.WaitGroup
	for range 3 {
		closers.Go(func() {
			if err := e.Close(); err != nil {
				t.Errorf("Close() = %v", err)
			}
		})
	}
	closers.Wait()
	select {
	case err := <-dialled:
		if err == nil {
			t.Error("a dial into the black hole succeeded")
		}
	case <-time.After(5 * time.Second):
		t.Error("a dial outlives its edge")
	}
	soon(t, "a socket ends with its edge", hungUp)
	if err := conns[1].Close(); err != nil {
		t.Errorf("Close() of what the edge has closed = %v", err)
	}
	if _, err := e.Dial(t.Context(), "tcp", s.addr.String()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Dial() after Close = %v", err)
	}
	if _, err := e.Lookup(t.Context(), "127.0.0.1", 1); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Lookup() after Close = %v", err)
	}
}

func TestConnShowsNoSocket(t *testing.T) {
	t.Parallel()
	s := serve(t, "127.0.0.1:0", silent)
	conn, err := openEdge(t, newPolicy(t, egress.Config{Open: true}), egress.Scope{}, egress.Limits{}).Dial(t.Context(), "tcp", s.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := conn.(syscall.Conn); ok {
		t.Error("the socket can be had by SyscallConn")
	}
	if _, ok := conn.(interface{ CloseWrite() error }); ok {
		t.Error("the connection can be half closed")
	}
	if _, ok := conn.(io.ReaderFrom); ok {
		t.Error("writes can go past the evidence")
	}
	if _, ok := conn.(io.WriterTo); ok {
		t.Error("reads can go past the cap")
	}
	if _, ok := conn.(interface{ NetConn() net.Conn }); ok {
		t.Error("the socket can be had by NetConn")
	}
}

// Runs alone, since it counts all goroutines of the process.
func TestNothingIsLeft(t *testing.T) { //nolint:paralleltest // see above
	s := serve(t, "127.0.0.1:0", flood)
	hole := blackHole(t, "127.0.0.1")
	d := serveDNS(t, func(name string, _ int) reply { return reply{drop: strings.HasPrefix(name, "silent"), code: 3} })
	p := newPolicy(t, egress.Config{Open: true})
	scope := d.asking(p, egress.Scope{})
	before := runtime.NumGoroutine()
	var probes sync.WaitGroup
	for i := range 50 {
		probes.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			e := p.Open(ctx, scope, egress.Limits{ReadBytes: 1 << 16})
			switch i % 5 {
			case 0:
				_, _ = e.Dial(context.Background(), "tcp", hole.String())
			case 1:
				_, _ = e.Dial(context.Background(), "tcp", "silent.example:1")
			case 2:
				_, _ = e.Dial(context.Background(), "tcp", "missing.example:1")
			default:
				conn, err := e.Dial(context.Background(), "tcp", s.addr.String())
				if err != nil {
					t.Error(err)
					break
				}
				if i%5 == 3 {
					_ = conn.SetDeadline(time.Time{})
				}
				_, _ = io.Copy(io.Discard, conn)
			}
			_ = e.Close()
		})
	}
	probes.Wait()
	eventually(t, fmt.Sprintf("back at %d goroutines", before), func() bool { return runtime.NumGoroutine() <= before })
}

func BenchmarkConn(b *testing.B) {
	echo := func(conn net.Conn) {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			if _, err := conn.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	roundTrips := func(b *testing.B, conn net.Conn) {
		b.Helper()
		out, in := make([]byte, 256), make([]byte, 256)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := conn.Write(out); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(conn, in); err != nil {
				b.Fatal(err)
			}
		}
	}
	s := serve(b, "127.0.0.1:0", echo)
	b.Run("bare", func(b *testing.B) {
		conn, err := net.Dial("tcp", s.addr.String())
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		roundTrips(b, conn)
	})
	b.Run("edge", func(b *testing.B) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		e := newPolicy(b, egress.Config{Open: true}).Open(ctx, egress.Scope{}, egress.Limits{ReadBytes: 1 << 50})
		defer func() { _ = e.Close() }()
		conn, err := e.Dial(ctx, "tcp", s.addr.String())
		if err != nil {
			b.Fatal(err)
		}
		roundTrips(b, conn)
	})
}

func BenchmarkDial(b *testing.B) {
	s := serve(b, "127.0.0.1:0", silent)
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.addr.String())
			if err != nil {
				b.Fatal(err)
			}
			_ = conn.Close()
			cancel()
		}
	})
	p := newPolicy(b, egress.Config{Open: true})
	b.Run("edge", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			e := p.Open(ctx, egress.Scope{}, egress.Limits{})
			if _, err := e.Dial(ctx, "tcp", s.addr.String()); err != nil {
				b.Fatal(err)
			}
			_ = e.Close()
			cancel()
		}
	})
}

func BenchmarkCheckAddr(b *testing.B) {
	var rules []string
	for i := range 1000 {
		rules = append(rules, fmt.Sprintf("10.%d.%d.0/24 5432 vpc p%d", i/250, i%250, i%7))
	}
	p := newPolicy(b, egress.Config{}, rules...)
	s := egress.Scope{Network: "vpc", Project: "p5"}
	worst := netip.MustParseAddrPort("10.3.249.1:5432") // the last rule, the 1000th
	b.ReportAllocs()
	for b.Loop() {
		if err := p.CheckAddr(s, worst); err != nil {
			b.Fatal(err)
		}
	}
}
