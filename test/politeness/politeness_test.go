// Package politeness_test proves on real servers that a test leaves nothing
// behind that a DBA would count: what passes costs nothing, what never reached
// the server costs nothing, and what fails at the server costs no more than the
// same mistake made with the client that the database's own people ship.
//
// The servers are those of scripts/services kind polite, of which nobody else
// is a client: every counter that moves was moved here. So nothing in this
// package is parallel.
package politeness_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/probe"
	"dialtone/internal/probe/engines"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/secret"
)

const (
	// tests is how many pass, and how many never get to the server.
	tests = 1000
	// repeats is how often a mistake is made by each of the two clients, which
	// is fewer in all than the 100 after which MariaDB locks an address out.
	repeats = 4
	// patience is for servers on a machine that has much else to do.
	patience = 15 * time.Second
)

// counts is what a server has counted, by the server's own names.
type counts map[string]int

// since gives what has changed, and only that.
func (c counts) since(before counts) counts {
	changed := counts{}
	for name := range c {
		if n := c[name] - before[name]; n != 0 {
			changed[name] = n
		}
	}
	for name, n := range before {
		if _, still := c[name]; !still && n != 0 {
			changed[name] = -n
		}
	}
	return changed
}

func (c counts) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c)) {
		_, _ = fmt.Fprintf(&b, " %s%+d", name, c[name])
	}
	if b.Len() == 0 {
		return " nothing"
	}
	return b.String()
}

// server is one that counts.
type server struct {
	engine probe.Engine
	addr   netip.AddrPort
	// connections is the counter of connections that were made.
	connections string
	// read waits until nobody is connected but the reader, and reads.
	read func() counts
}

// cost is what the server counts while f makes n connections.
func (s *server) cost(t *testing.T, n int, f func()) counts {
	t.Helper()
	before := s.read()
	f()
	after := s.read()
	// A client is content before the server has taken note of it.
	for deadline := time.Now().Add(patience); after[s.connections]-before[s.connections] < n; after = s.read() {
		if time.Now().After(deadline) {
			t.Fatalf("the server has seen%s, want %d connections", after.since(before), n)
		}
	}
	return after.since(before)
}

func (s *server) target(tb testing.TB, user string) probe.Target {
	tb.Helper()
	return probe.Target{
		Engine: s.engine, Network: "vpc", User: user, Password: secret.New(probetest.Need(tb, "PASSWORD")),
		Addresses: []probe.Address{{Host: s.addr.Addr().String(), Port: s.addr.Port()}},
	}
}

// runner tests these addresses and no other, as the service would.
func runner(t *testing.T, allowed ...netip.AddrPort) *probe.Runner {
	t.Helper()
	r, err := probe.NewRunner(probetest.Only(t, allowed...), engines.All(engines.Config{AllowRecoverable: true}),
		probe.RunnerConfig{Timeout: patience, Denial: -1})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// many makes n tests, eight at a time, and wants this of each.
func many(t *testing.T, n int, r *probe.Runner, target probe.Target, want probe.Code) {
	t.Helper()
	var testers sync.WaitGroup
	for i := range 8 {
		testers.Go(func() {
			for range (n + 7 - i) / 8 {
				report, err := r.Run(t.Context(), target)
				if err != nil || report.Code != want {
					t.Errorf("Run() = %s in %q, %v; want %s (server: %s %s)",
						report.Code, report.Phase, err, want, report.Evidence.ServerCode, report.Evidence.ServerText)
					return
				}
			}
		})
	}
	testers.Wait()
}

// passing makes tests that pass, some of them over TLS if there is an
// authority. Beside its connections, the server may count what is allowed for
// each: nothing, as a rule.
func (s *server) passing(t *testing.T, target probe.Target, authority bool, allowed ...string) {
	t.Helper()
	encrypted := 0
	if authority {
		encrypted = tests / 5
	}
	began := time.Now()
	changed := s.cost(t, tests, func() {
		many(t, tests-encrypted, runner(t, s.addr), target, probe.CodeOK)
		target.TLS = &probe.TLS{Verify: probe.VerifyCA, Certificate: certificate(t, authority, "ca.pem")}
		many(t, encrypted, runner(t, s.addr), target, probe.CodeOK)
	})
	want := counts{s.connections: tests}
	for _, name := range allowed {
		want[name] = tests
	}
	if !maps.Equal(changed, want) {
		t.Errorf("the server has counted%s; want%s", changed, want)
	}
	t.Logf("%s: %d tests that pass, %d over TLS, in %s: %s", s.engine, tests, encrypted, time.Since(began).Round(time.Millisecond), changed)
}

func certificate(t *testing.T, wanted bool, file string) secret.Text {
	t.Helper()
	if !wanted {
		return secret.Text{}
	}
	return probetest.Certificate(t, file)
}

// unreached makes tests that fail before anything was sent to the server.
func (s *server) unreached(t *testing.T, target probe.Target) {
	t.Helper()
	each := tests / 4
	changed := s.cost(t, 0, func() {
		closed, silent := target, closedPort(t, s.addr.Addr())
		closed.Addresses = []probe.Address{{Host: silent.Addr().String(), Port: silent.Port()}}
		many(t, each, runner(t, silent), closed, probe.CodeConnectionRefused)

		many(t, each, runner(t, silent), target, probe.CodeTargetNotAllowed)

		odd := target
		odd.TLS = &probe.TLS{Certificate: secret.New("not a certificate")}
		many(t, each, runner(t, s.addr), odd, probe.CodeCertInvalid)

		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for range each {
			if report, err := runner(t, s.addr).Run(gone, target); !errors.Is(err, context.Canceled) {
				t.Fatalf("Run() = %s, %v; want it cancelled", report.Code, err)
			}
		}
	})
	if len(changed) != 0 {
		t.Errorf("%d tests that did not reach the server, which has counted%s", tests, changed)
	}
}

// closedPort is one that refuses: it was given to us and closed again.
func closedPort(t *testing.T, addr netip.Addr) netip.AddrPort {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", netip.AddrPortFrom(addr, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	tcp, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("the listener has a %T", listener.Addr())
	}
	return netip.AddrPortFrom(addr, uint16(tcp.Port))
}

// mistake is one that a caller makes, and how to make it with another client.
type mistake struct {
	name   string
	change func(*probe.Target)
	code   probe.Code
	// official is the command that makes it; secrets are in its environment.
	official []string
	// unseen: the server counts nothing but the connection, whoever calls.
	unseen bool
}

// compare makes the mistake with dialtone and with the official client. The
// counters named may rise by one for each of our tests whatever theirs do.
func (s *server) compare(t *testing.T, target probe.Target, m mistake, environment []string, allowed ...string) {
	t.Helper()
	m.change(&target)
	ours := s.cost(t, repeats, func() { many(t, repeats, runner(t, s.addr), target, m.code) })
	theirs := s.cost(t, repeats, func() {
		for range repeats {
			command := exec.CommandContext(t.Context(), m.official[0], m.official[1:]...)
			command.Env = append(slices.Clone(environment), "PATH="+os.Getenv("PATH"), "LC_ALL=C")
			output, err := command.CombinedOutput()
			if err == nil {
				t.Fatalf("%s succeeds: %s", m.official[0], output)
			}
		}
	})
	for name, n := range ours {
		most := theirs[name]
		if slices.Contains(allowed, name) {
			most = max(most, repeats)
		}
		if n > most {
			t.Errorf("the server has counted %s %+d, and %+d for %s", name, n, theirs[name], m.official[0])
		}
	}
	if seen := len(theirs) > 1; seen == m.unseen {
		t.Errorf("for %s the server counts%s: the comparison says nothing", m.official[0], theirs)
	}
	t.Logf("%s, %s, %d times:%s; %s:%s", s.engine, m.name, repeats, ours, m.official[0], theirs)
}

// split gives host and port as commands want them.
func split(addr netip.AddrPort) (host, port string) {
	return addr.Addr().String(), strconv.Itoa(int(addr.Port()))
}

func wrongPassword(t *probe.Target) { t.Password = secret.New(wrong) }
func unknownUser(t *probe.Target)   { t.User = "dt_nobody" }

const wrong = "certainly-wrong-8"

// untrusted wants a certificate of an authority that did not issue it.
func untrusted(t *testing.T) func(*probe.Target) {
	t.Helper()
	rogue := probetest.Certificate(t, "rogue-ca.pem")
	return func(target *probe.Target) { target.TLS = &probe.TLS{Verify: probe.VerifyCA, Certificate: rogue} }
}

// hangUp calls, listens to the first bytes if the server speaks first, and
// hangs up: what no client of good manners does.
func hangUp(t *testing.T, addr netip.AddrPort) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Read(make([]byte, 1024)); err != nil {
		t.Fatal(err)
	}
}
