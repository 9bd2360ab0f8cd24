package egress_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/egress"
)

func TestLookup(t *testing.T) {
	t.Parallel()
	d := serveDNS(t, func(name string, _ int) reply {
		switch name {
		case "one.example":
			return reply{addrs: []string{"10.0.0.1"}}
		case "both.example":
			return reply{addrs: []string{"10.0.0.1", "fd00::1", "169.254.169.254", "::ffff:10.0.0.2", "::1.2.3.4"}}
		case "metadata.example":
			return reply{addrs: []string{"169.254.169.254", "64:ff9b::1"}}
		case "long.example":
			return reply{addrs: []string{"10.0.0.9"}, truncated: true}
		case "nothing.example":
			return reply{}
		case "failing.example":
			return reply{code: 2}
		case "many.example":
			var addrs []string
			for i := range 40 {
				addrs = append(addrs, fmt.Sprintf("10.0.1.%d", i))
			}
			return reply{addrs: addrs, truncated: true}
		default:
			return reply{code: 3}
		}
	})
	p := newPolicy(t, egress.Config{Open: true})
	s := d.asking(p, egress.Scope{})
	for _, tc := range []struct {
		host     string
		want     []string
		resolver string
	}{
		{"one.example", []string{"10.0.0.1"}, d.addr.String()},
		{"ONE.example.", []string{"10.0.0.1"}, d.addr.String()},
		{"long.example", []string{"10.0.0.9"}, d.addr.String()},
		{"both.example", []string{"10.0.0.1", "10.0.0.2", "fd00::1"}, d.addr.String()},
		{"10.7.7.7", []string{"10.7.7.7"}, ""},
		{"::ffff:10.7.7.7", []string{"10.7.7.7"}, ""},
		{"fd00::7", []string{"fd00::7"}, ""},
	} {
		t.Run(tc.host, func(t *testing.T) {
			t.Parallel()
			e := openEdge(t, p, s, egress.Limits{})
			addrs, err := e.Lookup(t.Context(), tc.host, 5432)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range addrs {
				got = append(got, a.String())
			}
			slices.Sort(got) // the resolver has an order of its own
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Lookup() (-want +got):\n%s", diff)
			}
			seen := e.Evidence()
			if seen.Resolver != tc.resolver || !slices.Equal(seen.Addrs, addrs) {
				t.Errorf("evidence = %q, %v; want %q, %v", seen.Resolver, seen.Addrs, tc.resolver, addrs)
			}
		})
	}
	t.Run("forbidden answers", func(t *testing.T) {
		t.Parallel()
		e := openEdge(t, p, s, egress.Limits{})
		_, err := e.Lookup(t.Context(), "metadata.example", 80)
		if got := class(t, err); got != egress.ClassMetadata && got != egress.ClassEmbeddedIPv4 {
			t.Errorf("Lookup() = %s, want %s or %s", got, egress.ClassMetadata, egress.ClassEmbeddedIPv4)
		}
		if seen := e.Evidence(); seen.Addrs != nil {
			t.Errorf("evidence shows %v, where the name points to", seen.Addrs)
		}
	})
	t.Run("many answers", func(t *testing.T) {
		t.Parallel()
		addrs, err := openEdge(t, p, s, egress.Limits{}).Lookup(t.Context(), "many.example", 80)
		if err != nil || len(addrs) != 16 {
			t.Errorf("Lookup() gives %d addresses, %v; want 16", len(addrs), err)
		}
	})
	for host, want := range map[string]egress.LookupError{
		"missing.example": {NotFound: true},
		"nothing.example": {NotFound: true},
		"127.1":           {NotFound: true},
		"failing.example": {Temporary: true},
	} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			e := openEdge(t, p, s, egress.Limits{})
			_, err := e.Lookup(t.Context(), host, 80)
			got, ok := errors.AsType[*egress.LookupError](err)
			if !ok || got.Host != host || got.NotFound != want.NotFound || got.Temporary != want.Temporary || got.Timeout {
				t.Errorf("Lookup() = %#v, want %+v", err, want)
			}
			if seen := e.Evidence().LookupErr; host != "127.1" && !errors.Is(seen, err) {
				t.Errorf("evidence = %v, want %v", seen, err)
			}
		})
	}
}

// A name in the hosts file of this machine does not go to the server, and the
// evidence says so instead of naming it.
func TestLookupSaysWhoAnswered(t *testing.T) {
	t.Parallel()
	d := serveDNS(t, func(string, int) reply { return reply{addrs: []string{"127.0.0.1"}} })
	p := newPolicy(t, egress.Config{Open: true})
	e := openEdge(t, p, d.asking(p, egress.Scope{}), egress.Limits{})
	if _, err := e.Lookup(t.Context(), "localhost", 80); err != nil {
		t.Fatal(err)
	}
	want := "hosts file"
	if d.queries.Load() > 0 {
		want = d.addr.String()
	}
	if got := e.Evidence().Resolver; got != want {
		t.Errorf("resolver = %q after %d queries, want %q", got, d.queries.Load(), want)
	}
	system := openEdge(t, p, egress.Scope{}, egress.Limits{})
	if _, err := system.Lookup(t.Context(), "localhost", 80); err != nil {
		t.Fatal(err)
	}
	if got := system.Evidence().Resolver; got != "hosts file" && got != "system" {
		t.Errorf("resolver = %q", got)
	}
}

func TestLookupMakesNoQueryForDeniedNames(t *testing.T) {
	t.Parallel()
	d := serveDNS(t, func(string, int) reply { return reply{addrs: []string{"10.0.0.1"}} })
	p := newPolicy(t, egress.Config{Local: true},
		fmt.Sprintf("127.0.0.1 %d * *", d.addr.Port()), ".db.example 5432 vpc *")
	s := d.asking(p, egress.Scope{Network: "vpc"})
	e := openEdge(t, p, s, egress.Limits{Dials: 100})
	for _, host := range []string{"elsewhere.example", "db.example", "x.db.example.org"} {
		if _, err := e.Lookup(t.Context(), host, 5432); class(t, err) == "ok" {
			t.Errorf("%s was looked up", host)
		}
		if _, err := e.Dial(t.Context(), "tcp", host+":5432"); class(t, err) == "ok" {
			t.Errorf("%s was dialled", host)
		}
	}
	if _, err := e.Lookup(t.Context(), "x.db.example", 5433); class(t, err) != egress.ClassPort {
		t.Errorf("Lookup() for another port = %v", err)
	}
	if n := d.queries.Load(); n != 0 {
		t.Errorf("%d queries were made", n)
	}
	if dials := e.Evidence().Dials; len(dials) != 3 || dials[0].Host != "elsewhere.example" || dials[0].Addr.IsValid() {
		t.Errorf("dials = %+v", dials)
	}
	// By its name it is allowed, although no range has the address.
	if addrs, err := e.Lookup(t.Context(), "x.db.example", 5432); err != nil || len(addrs) != 1 {
		t.Errorf("Lookup() = %v, %v", addrs, err)
	}
	if err := p.CheckAddr(s, netip.MustParseAddrPort("10.0.0.1:5432")); class(t, err) != egress.ClassPrivate {
		t.Errorf("CheckAddr() = %v, want the address alone to be denied", err)
	}
}

func TestResolverMustPassThePolicy(t *testing.T) {
	t.Parallel()
	d := serveDNS(t, func(string, int) reply { return reply{addrs: []string{"93.184.216.34"}} })
	p := newPolicy(t, egress.Config{Local: true}, "127.0.0.1 53 vpc *")
	for _, dns := range []string{"127.0.0.1", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1%lo"} {
		p.AskAt(d.addr.Port())
		s := egress.Scope{Network: "eip", DNS: netip.MustParseAddr(dns)}
		e := openEdge(t, p, s, egress.Limits{})
		if _, err := e.Lookup(t.Context(), "a.example", 80); class(t, err) != egress.ClassResolver {
			t.Errorf("Lookup() through %s = %v, want %s", dns, err, egress.ClassResolver)
		}
	}
	if n := d.queries.Load() + d.streams.Load(); n != 0 {
		t.Errorf("a forbidden server got %d queries", n)
	}
}

func TestSilentResolver(t *testing.T) {
	t.Parallel()
	d := serveDNS(t, func(string, int) reply { return reply{drop: true} })
	p := newPolicy(t, egress.Config{Open: true})
	s := d.asking(p, egress.Scope{})
	t.Run("times out", func(t *testing.T) {
		t.Parallel()
		e := openEdge(t, p, s, egress.Limits{LookupTimeout: 100 * time.Millisecond})
		start := time.Now()
		_, err := e.Lookup(t.Context(), "a.example", 80)
		if failed, ok := errors.AsType[*egress.LookupError](err); !ok || !failed.Timeout || failed.NotFound {
			t.Errorf("Lookup() = %#v, want a timeout", err)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("Lookup() took %s", took)
		}
	})
	t.Run("is left when the probe is cancelled", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		e := p.Open(ctx, s, egress.Limits{LookupTimeout: time.Minute})
		defer func() { _ = e.Close() }()
		failed := make(chan error, 1)
		go func() {
			_, err := e.Dial(context.Background(), "tcp", "b.example:80")
			failed <- err
		}()
		eventually(t, "asked", func() bool { return d.questions("b.example") > 0 })
		cancel()
		select {
		case err := <-failed:
			if _, ok := errors.AsType[*egress.LookupError](err); !ok {
				t.Errorf("Dial() = %v, want a look-up error", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("the look-up goes on")
		}
	})
	t.Run("gets a second packet", func(t *testing.T) {
		t.Parallel()
		lossy := serveDNS(t, func(_ string, nth int) reply { return reply{addrs: []string{"10.0.0.1"}, drop: nth == 0} })
		p := newPolicy(t, egress.Config{Open: true})
		e := openEdge(t, p, lossy.asking(p, egress.Scope{}), egress.Limits{})
		if _, err := e.Lookup(t.Context(), "a.example", 80); err != nil {
			t.Errorf("Lookup() = %v after one lost packet", err)
		}
	})
}

// The classic trick: a name that is harmless when it is checked and ours when
// it is dialled.
func TestRebinding(t *testing.T) {
	t.Parallel()
	harmless := serve(t, "127.0.0.1:0", silent)
	forbidden := serve(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), harmless.addr.Port()).String(), silent)
	d := serveDNS(t, func(_ string, nth int) reply {
		if nth == 0 {
			return reply{addrs: []string{"127.0.0.1"}}
		}
		return reply{addrs: []string{"127.0.0.2"}}
	})
	p := newPolicy(t, egress.Config{Local: true},
		fmt.Sprintf("127.0.0.1 %d,%d * *", d.addr.Port(), harmless.addr.Port()))
	s := d.asking(p, egress.Scope{Network: "vpc"})
	port := harmless.addr.Port()

	e := openEdge(t, p, s, egress.Limits{Dials: 10})
	for _, host := range []string{"rebind.example", "REBIND.example."} {
		if _, err := e.Lookup(t.Context(), host, port); err != nil {
			t.Fatal(err)
		}
		conn, err := e.Dial(t.Context(), "tcp", net.JoinHostPort(host, strconv.Itoa(int(port))))
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.RemoteAddr().String(); got != harmless.addr.String() {
			t.Errorf("connected to %s, want %s", got, harmless.addr)
		}
	}
	if n := d.questions("rebind.example"); n != 1 {
		t.Errorf("the name was looked up %d times, want once", n)
	}
	// Another probe sees the other answer, and the policy sees it too.
	other := openEdge(t, p, s, egress.Limits{})
	_, err := other.Dial(t.Context(), "tcp", fmt.Sprintf("rebind.example:%d", port))
	if got := class(t, err); got != egress.ClassLoopback {
		t.Errorf("Dial() = %s, want %s", got, egress.ClassLoopback)
	}
	if n := forbidden.accepted.Load(); n != 0 {
		t.Errorf("%d connections reached the forbidden address", n)
	}
}
