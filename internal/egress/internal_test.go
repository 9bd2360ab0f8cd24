package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The look-up's check never lets a forbidden address through; this is the
// second check, alone.
func TestTheKernelsAddressIsJudgedAgain(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	accepted := make(chan net.Conn, 1)
	go func() {
		if conn, err := l.Accept(); err == nil {
			accepted <- conn
		}
		close(accepted)
	}()
	p, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	e := p.Open(t.Context(), Scope{Network: networkEIP}, Limits{})
	_, err = e.connect(t.Context(), "tcp", "", netip.MustParseAddrPort(l.Addr().String()))
	if denied, ok := errors.AsType[*DeniedError](err); !ok || denied.Class != ClassLoopback {
		t.Errorf("connect() = %v, want %s", err, ClassLoopback)
	}
	if dials := e.Evidence().Dials; len(dials) != 1 || dials[0].Err == nil {
		t.Errorf("dials = %+v", dials)
	}
	_ = l.Close()
	if conn, ok := <-accepted; ok {
		_ = conn.Close()
		t.Error("a connection was made")
	}
	if err := e.atKernel("", "no address"); err == nil {
		t.Error("what cannot be read is allowed")
	}
	_ = e.Close()
}

// The probe's deadline may be noticed before that of the dial, which is a little
// earlier: then, too, it has timed out, and was not cancelled.
func TestADialThatTheDeadlineEnds(t *testing.T) {
	t.Parallel()
	p, err := New(Config{Open: true})
	if err != nil {
		t.Fatal(err)
	}
	for why, want := range map[error]bool{context.DeadlineExceeded: true, context.Canceled: false} {
		e := p.Open(t.Context(), Scope{}, Limits{})
		e.end(why)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := e.connect(ended, "tcp", "", netip.MustParseAddrPort("127.0.0.1:1"))
		if failed, ok := errors.AsType[*DialError](err); !ok || failed.Timeout() != want {
			t.Errorf("connect() after %v = %v; want a time-out: %v", why, err, want)
		}
		_ = e.Close()
	}
}

func TestDialsEndBeforeTheirDeadline(t *testing.T) {
	t.Parallel()
	p, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	soon, later := time.Now().Add(time.Minute), time.Now().Add(time.Hour)
	for _, tc := range []struct {
		name           string
		probe, dial    time.Time
		want           time.Time
		wantNoDeadline bool
	}{
		{"that of the probe", soon, later, soon.Add(-dialMargin), false},
		{"that of the driver", later, soon, soon.Add(-dialMargin), false},
		{"only the probe has one", soon, time.Time{}, soon.Add(-dialMargin), false},
		{"only the driver has one", time.Time{}, soon, soon.Add(-dialMargin), false},
		{"none", time.Time{}, time.Time{}, time.Time{}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			e := p.Open(until(t, tc.probe), Scope{}, Limits{})
			ctx, end, err := e.begin(until(t, tc.dial))
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := ctx.Deadline(); !got.Equal(tc.want) || ok == tc.wantNoDeadline {
				t.Errorf("deadline = %v, %v; want %v", got, ok, tc.want)
			}
			end()
			_ = e.Close()
		})
	}
}

func until(t *testing.T, deadline time.Time) context.Context {
	t.Helper()
	if deadline.IsZero() {
		return t.Context()
	}
	ctx, cancel := context.WithDeadline(t.Context(), deadline)
	t.Cleanup(cancel)
	return ctx
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	const head = "Address Block,Name,Globally Reachable\n"
	r, err := parseRegistry(head + "10.0.0.0/8 [1],a,False [2]\n\"10.1.0.0/16, 10.2.0.0/16\",b,True\n10.1.1.0/24,c,N/A [3]\n10.1.4.0/24,ended,\n")
	if err != nil {
		t.Fatal(err)
	}
	for a, want := range map[string]bool{
		"10.0.0.1": false, "10.1.0.1": true, "10.2.255.255": true, "10.1.1.1": false, "10.1.4.1": false, "10.1.2.0": true, "10.3.0.0": false, "11.0.0.0": true,
	} {
		if got := r.global(netip.MustParseAddr(a)); got != want {
			t.Errorf("global(%s) = %v, want %v", a, got, want)
		}
	}
	for _, bad := range []string{
		"", head, "Name\nx\n", head + "10.0.0.0/8,a\n", head + "10.0.0.0/33,a,True\n", head + "10.0.0.1/8,a,True\n",
		head + "10.0.0.0/8,a,Maybe\n", head + ",a,True\n", head + "10.0.0.0/8,\"a,True\n",
	} {
		if _, err := parseRegistry(bad); err == nil {
			t.Errorf("parseRegistry(%q) accepted it", bad)
		}
	}
	// A line of the files is a block, but for one with two.
	if r, err := parseRegistry(ianaIPv4); err != nil || len(r) != strings.Count(ianaIPv4, "\n") {
		t.Errorf("IPv4 registry: %d blocks, %v", len(r), err)
	}
	if r, err := parseRegistry(ianaIPv6); err != nil || len(r) != strings.Count(ianaIPv6, "\n")-1 {
		t.Errorf("IPv6 registry: %d blocks, %v", len(r), err)
	}
}

func TestMachineAddresses(t *testing.T) {
	t.Parallel()
	calls := 0
	listing := func(err error) *machine {
		return &machine{list: func() ([]net.Addr, error) {
			calls++
			return []net.Addr{
				&net.IPNet{IP: net.IPv4(10, 0, 0, 5), Mask: net.CIDRMask(24, 32)},
				&net.IPNet{IP: net.ParseIP("fd00::5"), Mask: net.CIDRMask(64, 128)},
			}, err
		}}
	}
	m := listing(nil)
	for a, want := range map[string]bool{"10.0.0.5": true, "10.0.0.6": false, "fd00::5": true, "fd00::6": false, "127.0.0.1": true, "::1": true} {
		if got := m.has(netip.MustParseAddr(a)); got != want {
			t.Errorf("has(%s) = %v, want %v", a, got, want)
		}
	}
	if calls != 1 {
		t.Errorf("addresses were listed %d times, want once", calls)
	}
	if !listing(errors.New("no")).has(netip.MustParseAddr("10.9.9.9")) {
		t.Error("an address passes for foreign although ours are unknown")
	}

	// A socket of ours on all addresses is ours on each.
	o := newOwn([]netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:5432"), netip.MustParseAddrPort("10.0.0.5:6379")})
	o.here = m
	for pair, want := range map[string]bool{
		"10.0.0.5:5432": true, "[fd00::5]:5432": true, "10.0.0.6:5432": false, "127.0.0.1:6379": true, "10.0.0.6:6379": false, "10.0.0.5:1": false,
	} {
		ap := netip.MustParseAddrPort(pair)
		if got := o.has(ap.Addr(), ap.Port()); got != want {
			t.Errorf("has(%s) = %v, want %v", pair, got, want)
		}
	}
}

func TestTheClearerFailureIsTold(t *testing.T) {
	t.Parallel()
	refused, silent := &DialError{Err: syscall.ECONNREFUSED}, &DialError{Err: context.DeadlineExceeded}
	noRoute, noNetwork := &DialError{Err: syscall.EHOSTUNREACH}, &DialError{Err: syscall.ENETUNREACH}
	order := []error{refused, silent, noRoute, noNetwork}
	for i, better := range order {
		for _, worse := range order[i+1:] {
			if got := clearer(better, worse); !errors.Is(got, better) {
				t.Errorf("of %v and %v: %v", better, worse, got)
			}
			if got := clearer(worse, better); !errors.Is(got, better) {
				t.Errorf("of %v and %v: %v", worse, better, got)
			}
		}
	}
	if got := clearer(nil, noNetwork); !errors.Is(got, noNetwork) {
		t.Errorf("of nothing and %v: %v", noNetwork, got)
	}
}
