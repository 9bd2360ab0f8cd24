// Package probetest is the contract of probe.Prober, executed: Run puts a
// prober before servers that work, refuse, lie, stall and flood, and checks
// what it reports, what it sends and what it leaves behind. It is imported by
// tests only.
package probetest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"dialtone/internal/egress"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

// What a Suite's server accepts.
const (
	User     = "dialtone"
	Password = "p/w+ö%41 \"q\"'"
	Database = "dt_login"
)

// Suite is what the contract needs to know of a protocol.
type Suite struct {
	Engine probe.Engine
	Prober probe.Prober

	// Accept serves one connection as a server that works: it accepts User,
	// Password and Database, refuses everything else as the product does, and
	// calls s.Login when credentials have come. It offers TLS if config is
	// not nil.
	Accept func(s *Server, conn net.Conn, config *tls.Config)
	// SpeaksFirst: the server opens the talk; else it waits for the client.
	SpeaksFirst bool
	// Opening is a server's whole first message, without TLS.
	Opening []byte
	// Upgrade serves a connection up to the point where TLS begins; nil where
	// TLS begins with the first byte.
	Upgrade func(conn net.Conn) error
	// Huge is the header of a message that announces the greatest length.
	Huge []byte
	// Endless serves messages that are right, each of them, without end.
	// EndlessPhase is the phase in which the client loses patience.
	Endless      func(conn net.Conn)
	EndlessPhase probe.Phase
	// Busy refuses a connection before the login because all are taken; nil
	// where the protocol has no word for it.
	Busy func(conn net.Conn)

	// AsksAgain: a server that hangs up without a word is asked over a second
	// connection what it would rather hear.
	AsksAgain bool

	// Prepare completes the target of every test, nil if nothing is missing.
	Prepare func(*probe.Target)
	// Verdicts replaces what is expected of single cases, by their names, where
	// the protocol makes a difference. An empty Code leaves the case out. Say
	// why beside each.
	Verdicts map[string]Want
}

// Want is what a report must say.
type Want struct {
	Code  probe.Code
	Phase probe.Phase
	// Looks is the product whose bytes are recognised, if one is.
	Looks string
}

// Timeout is that of every test here. Two seconds: a busy machine needs one for
// a handshake.
const Timeout = 2 * time.Second

// Policy allows loopback, and with it the servers of a test.
func Policy(tb testing.TB) *egress.Policy {
	tb.Helper()
	p, err := egress.New(egress.Config{Open: true, Local: true})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// Only allows these loopback addresses and no other, to prove that what a
// server redirects to or advertises is not dialled.
func Only(tb testing.TB, addrs ...netip.AddrPort) *egress.Policy {
	tb.Helper()
	cfg := egress.Config{Local: true}
	for _, a := range addrs {
		cfg.Rules = append(cfg.Rules, egress.Rule{
			Prefix: netip.PrefixFrom(a.Addr(), a.Addr().BitLen()), Ports: []egress.PortRange{{First: a.Port(), Last: a.Port()}},
		})
	}
	p, err := egress.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// Runner makes a runner for one prober.
func Runner(tb testing.TB, p probe.Prober, timeout time.Duration) *probe.Runner {
	tb.Helper()
	return newRunner(tb, Policy(tb), p, timeout)
}

func newRunner(tb testing.TB, policy *egress.Policy, p probe.Prober, timeout time.Duration) *probe.Runner {
	tb.Helper()
	r, err := probe.NewRunner(policy, []probe.Prober{p}, probe.RunnerConfig{
		Timeout: timeout,
		OnPanic: func(_ probe.Engine, stack []byte) { tb.Logf("a panic was caught:\n%s", stack) },
	})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// Run executes the contract. Call it from a test that is not parallel: it
// looks for goroutines left behind.
func Run(t *testing.T, s Suite) {
	t.Helper()
	// The system's roots are read once, which takes half a second on a busy
	// machine under the race detector: no case should have to pay for that.
	_, _ = x509.SystemCertPool()
	t.Run("memory", s.memory)
	t.Run("cases", func(t *testing.T) {
		t.Run("network", s.network)
		t.Run("hostile", s.hostile)
		t.Run("tls", s.tls)
		t.Run("login", s.login)
		t.Run("hook", s.hook)
	})
	t.Run("leaks", s.leaks)
	noGoroutines(t)
}

// target is one endpoint of the suite's engine.
func (s *Suite) target(addr netip.AddrPort) probe.Target {
	return probe.Target{
		Engine: s.Engine, Network: "eip", User: User, Password: secret.New(Password), Database: Database,
		Addresses: []probe.Address{{Host: addr.Addr().String(), Port: addr.Port()}},
	}
}

// expected is what the case of that name must end with; false: there is no
// such case in this protocol.
func (s *Suite) expected(name string, usual Want) (Want, bool) {
	if w, special := s.Verdicts[name]; special {
		return w, w.Code != ""
	}
	return usual, true
}

// run tests a target with the suite's prober.
func (s *Suite) run(ctx context.Context, tb testing.TB, policy *egress.Policy, target probe.Target, timeout time.Duration) (probe.Report, error) {
	tb.Helper()
	if s.Prepare != nil {
		s.Prepare(&target)
	}
	return newRunner(tb, policy, s.Prober, timeout).Run(ctx, target)
}

// check runs a test and holds the report against every rule that all obey.
func (s *Suite) check(t *testing.T, target probe.Target, w Want) probe.Report {
	t.Helper()
	start := time.Now()
	r, err := s.run(t.Context(), t, Policy(t), target, Timeout)
	if err != nil {
		t.Fatalf("Run() error = %v", err)
	}
	if took := time.Since(start); took > Timeout+time.Second {
		t.Errorf("the test took %s", took)
	}
	if r.Code != w.Code || r.Phase != w.Phase || r.Evidence.LooksLike != w.Looks {
		t.Errorf("Run() = %s in phase %q, looks like %q; want %s in phase %q, looks like %q\n%s",
			r.Code, r.Phase, r.Evidence.LooksLike, w.Code, w.Phase, w.Looks, inJSON(t, r))
	}
	WellFormed(t, r)
	silent(t, Password, inJSON(t, r))
	return r
}

// WellFormed checks what every report must fulfil.
func WellFormed(tb testing.TB, r probe.Report) {
	tb.Helper()
	if !r.Code.Known() {
		tb.Errorf("the code %q is not in the table", r.Code)
	}
	if len(r.Phases) != len(probe.Phases()) {
		tb.Fatalf("the report has %d phases, want all", len(r.Phases))
	}
	for i, p := range probe.Phases() {
		row := r.Phases[i]
		switch {
		case row.Phase != p:
			tb.Errorf("phase %d is %s, want %s", i, row.Phase, p)
		case (row.State == probe.Failed) != (p == r.Phase):
			tb.Errorf("phase %s is %s in a report that failed in %q", p, row.State, r.Phase)
		case row.StartMS < 0 || row.DurationMS < 0:
			tb.Errorf("phase %s has negative times: %+v", p, row)
		}
	}
	if r.StartedAt.IsZero() || r.StartedAt.Location() != time.UTC {
		tb.Errorf("started at %v, want a time in UTC", r.StartedAt)
	}
	if r.OK() != (r.Phase == "") {
		tb.Errorf("code %s with phase %q", r.Code, r.Phase)
	}
}

func inJSON(tb testing.TB, r probe.Report) string {
	tb.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// silent fails if text holds the password in any form.
func silent(tb testing.TB, password, text string) {
	tb.Helper()
	quoted, _ := json.Marshal(password)
	for _, form := range []string{
		password, url.QueryEscape(password), url.PathEscape(password), string(quoted[1 : len(quoted)-1]),
		base64.StdEncoding.EncodeToString([]byte(password)), base64.URLEncoding.EncodeToString([]byte(password)),
	} {
		if strings.Contains(text, form) {
			tb.Errorf("the password is in %s", text)
		}
	}
}

// noGoroutines waits until no goroutine of a prober or a driver is left.
func noGoroutines(t *testing.T) {
	t.Helper()
	var left string
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		if left = foreignGoroutine(); left == "" {
			return
		}
		runtime.Gosched()
		select {
		case <-t.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Errorf("a goroutine was left behind:\n%s", left)
}

// foreign matches what a prober or a driver runs: a package of ours below
// probe, or a library. Tests and their servers are in packages named …test.
var foreign = regexp.MustCompile(`go-sql-driver/mysql\.|pgx/v5/pgconn|dialtone/internal/egress\.|dialtone/internal/probe(/[a-z0-9]+)?\.`)

// foreignGoroutine finds one that runs or was started by prober or driver.
func foreignGoroutine() string {
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		if strings.Contains(stack, "testing.tRunner") {
			continue // a test, perhaps one that waits for its turn
		}
		for _, name := range foreign.FindAllString(stack, -1) {
			if !strings.HasSuffix(name, "test.") {
				return stack
			}
		}
	}
	return ""
}

var errNo = errors.New("the hook says no")
