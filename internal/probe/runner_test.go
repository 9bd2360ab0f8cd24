package probe_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/egress"
	"dialtone/internal/probe"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/secret"
)

// scripted is a prober that does what a test says.
type scripted func(ctx context.Context, s *probe.Session) error

func (scripted) Engines() []probe.Engine { return []probe.Engine{"toy"} }

func (f scripted) Probe(ctx context.Context, s *probe.Session) error { return f(ctx, s) }

// talk connects, says who it is, logs in and is done.
func talk(ctx context.Context, s *probe.Session) error {
	conn, err := s.Dial(ctx, "tcp", s.Address.String())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	s.Enter(probe.PhaseProtocol)
	if !s.Login {
		return nil
	}
	if err := s.BeforeLogin(ctx); err != nil {
		return err
	}
	_, err = conn.Write([]byte("login"))
	s.Enter(probe.PhaseSession)
	return err
}

// quiet is a server that only listens.
func quiet(t *testing.T) probe.Address {
	t.Helper()
	s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	return probe.Address{Host: s.Addr.Addr().String(), Port: s.Addr.Port()}
}

// refusing is an address where nobody listens.
func refusing(t *testing.T) probe.Address {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr, _ := l.Addr().(*net.TCPAddr)
	_ = l.Close()
	return probe.Address{Host: "127.0.0.1", Port: uint16(addr.Port)}
}

func toy(addresses ...probe.Address) probe.Target {
	return probe.Target{Engine: "toy", Network: "eip", Addresses: addresses, User: "u", Password: secret.New("hunter22")}
}

func run(t *testing.T, p probe.Prober, target probe.Target) probe.Report {
	t.Helper()
	r, err := probetest.Runner(t, p, time.Second).Run(t.Context(), target)
	if err != nil {
		t.Fatalf("Run() error = %v", err)
	}
	probetest.WellFormed(t, r)
	return r
}

// states is a report's phases in short.
func states(r probe.Report) string {
	var b strings.Builder
	for _, row := range r.Phases {
		fmt.Fprintf(&b, "%s:%s ", row.Phase, row.State)
	}
	return strings.TrimSpace(b.String())
}

func TestRunReportsPhases(t *testing.T) {
	t.Parallel()
	dialled := func(then func(ctx context.Context, s *probe.Session, conn net.Conn) error) scripted {
		return func(ctx context.Context, s *probe.Session) error {
			conn, err := s.Dial(ctx, "tcp", s.Address.String())
			if err != nil {
				return err
			}
			s.Enter(probe.PhaseProtocol)
			return then(ctx, s, conn)
		}
	}
	for _, tc := range []struct {
		name   string
		prober scripted
		code   probe.Code
		states string
	}{
		{
			"all is well", talk, probe.CodeOK,
			"input:passed policy:passed resolve:skipped connect:passed tls:skipped protocol:passed login:passed session:passed topology:skipped",
		},
		{
			"the prober knows", dialled(func(context.Context, *probe.Session, net.Conn) error {
				return probe.Fail(probe.CodeVersionUnsupported, nil)
			}), probe.CodeVersionUnsupported,
			"input:passed policy:passed resolve:skipped connect:passed tls:skipped protocol:failed login:not_reached session:not_reached topology:not_reached",
		},
		{
			"a verdict on what came before", dialled(func(ctx context.Context, s *probe.Session, _ net.Conn) error {
				if err := s.BeforeLogin(ctx); err != nil {
					return err
				}
				s.Enter(probe.PhaseSession)
				return probe.Fail(probe.CodePasswordExpired, nil)
			}), probe.CodePasswordExpired,
			"input:passed policy:passed resolve:skipped connect:passed tls:skipped protocol:passed login:failed session:not_reached topology:not_reached",
		},
		{
			"a refusal that comes late", dialled(func(ctx context.Context, s *probe.Session, _ net.Conn) error {
				if err := s.BeforeLogin(ctx); err != nil {
					return err
				}
				return probe.Fail(probe.CodeTooManyConnections, nil)
			}), probe.CodeTooManyConnections,
			"input:passed policy:passed resolve:skipped connect:passed tls:skipped protocol:passed login:failed session:not_reached topology:not_reached",
		},
		{
			"silence", dialled(func(_ context.Context, _ *probe.Session, conn net.Conn) error {
				_, err := conn.Read(make([]byte, 1))
				return err
			}), probe.CodeTimeoutNoReply,
			"input:passed policy:passed resolve:skipped connect:passed tls:skipped protocol:failed login:not_reached session:not_reached topology:not_reached",
		},
		{
			"a warning", dialled(func(ctx context.Context, s *probe.Session, _ net.Conn) error {
				s.Warn(probe.PhaseProtocol, probe.CodeServerError)
				return nil
			}), probe.CodeOK,
			"input:passed policy:passed resolve:skipped connect:passed tls:skipped protocol:warned login:skipped session:skipped topology:skipped",
		},
		{
			"an error that nobody knows", func(context.Context, *probe.Session) error { return errors.New("?") }, probe.CodeInternal,
			"input:passed policy:failed resolve:not_reached connect:not_reached tls:not_reached protocol:not_reached login:not_reached session:not_reached topology:not_reached",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := run(t, tc.prober, toy(quiet(t)))
			if r.Code != tc.code {
				t.Errorf("code = %s, want %s", r.Code, tc.code)
			}
			if diff := cmp.Diff(strings.Fields(tc.states), strings.Fields(states(r))); diff != "" {
				t.Errorf("phases (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRunWithoutProber(t *testing.T) {
	t.Parallel()
	target := toy(quiet(t))
	target.Engine = probe.Oracle
	r := run(t, scripted(talk), target)
	if r.Code != probe.CodeEngineUnsupported || r.Phase != probe.PhaseInput {
		t.Errorf("Run() = %s in %q, want %s in %q", r.Code, r.Phase, probe.CodeEngineUnsupported, probe.PhaseInput)
	}
}

func TestRunPanics(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		prober scripted
		want   probe.Code
	}{
		{"before anything came", func(context.Context, *probe.Session) error { panic("hunter22") }, probe.CodeInternal},
		{"at foreign bytes", func(ctx context.Context, s *probe.Session) error {
			conn, err := s.Dial(ctx, "tcp", s.Address.String())
			if err != nil {
				return err
			}
			s.Enter(probe.PhaseProtocol)
			_, _ = conn.Read(make([]byte, 1))
			panic("hunter22")
		}, probe.CodePeerAbusive},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
				_, _ = conn.Write([]byte("x"))
				_, _ = io.Copy(io.Discard, conn)
			})
			var engine probe.Engine
			r, err := probe.NewRunner(probetest.Policy(t), []probe.Prober{tc.prober}, probe.RunnerConfig{
				OnPanic: func(e probe.Engine, _ []byte) { engine = e },
			})
			if err != nil {
				t.Fatal(err)
			}
			report, err := r.Run(t.Context(), toy(probe.Address{Host: "127.0.0.1", Port: s.Addr.Port()}))
			if err != nil || report.Code != tc.want || engine != "toy" {
				t.Errorf("Run() = %s, %v, panic told of %q; want %s, nil, toy", report.Code, err, engine, tc.want)
			}
			if b, _ := json.Marshal(report); strings.Contains(string(b), "hunter22") {
				t.Errorf("the report holds the panic's value: %s", b)
			}
		})
	}
}

func TestRunAddressLists(t *testing.T) {
	t.Parallel()
	refusedAfterLogin := scripted(func(ctx context.Context, s *probe.Session) error {
		if err := talk(ctx, s); err != nil || !s.Login {
			return err
		}
		return probe.Fail(probe.CodeAuthFailed, nil)
	})
	noLogin := scripted(func(ctx context.Context, s *probe.Session) error {
		conn, err := s.Dial(ctx, "tcp", s.Address.String())
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
	for _, tc := range []struct {
		name      string
		prober    scripted
		addresses []func(*testing.T) probe.Address
		code      probe.Code
		codes     []probe.Code
		strict    bool
		hook      int
	}{
		{"all good", talk, []func(*testing.T) probe.Address{quiet, quiet, quiet}, probe.CodeOK, []probe.Code{"ok", "ok", "ok"}, true, 1},
		{"the first is down", talk, []func(*testing.T) probe.Address{refusing, quiet}, probe.CodeOK, []probe.Code{"connection_refused", "ok"}, false, 1},
		{"the last is down", talk, []func(*testing.T) probe.Address{quiet, refusing}, probe.CodeOK, []probe.Code{"ok", "connection_refused"}, false, 1},
		{"all are down", talk, []func(*testing.T) probe.Address{refusing, refusing}, probe.CodeConnectionRefused, []probe.Code{"connection_refused", "connection_refused"}, false, 0},
		{"a refusal ends the test", refusedAfterLogin, []func(*testing.T) probe.Address{refusing, quiet, quiet}, probe.CodeAuthFailed, []probe.Code{"connection_refused", "auth_failed"}, false, 1},
		{"no credentials needed", noLogin, []func(*testing.T) probe.Address{refusing, quiet}, probe.CodeOK, []probe.Code{"connection_refused", "ok"}, false, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var list []probe.Address
			for _, begin := range tc.addresses {
				list = append(list, begin(t))
			}
			target, hook := toy(list...), 0
			target.BeforeLogin = func(context.Context) error { hook++; return nil }
			r := run(t, tc.prober, target)
			var codes []probe.Code
			for i, a := range r.Addresses {
				codes = append(codes, a.Code)
				if a.Address != list[i].String() {
					t.Errorf("address %d is %s, want %s", i, a.Address, list[i])
				}
			}
			if diff := cmp.Diff(tc.codes, codes); diff != "" {
				t.Errorf("codes of the addresses (-want +got):\n%s", diff)
			}
			if r.Code != tc.code || r.Strict != tc.strict || hook != tc.hook || r.LoginSent != (tc.hook > 0) {
				t.Errorf("Run() = %s, strict %v, %d calls of the hook, login sent %v; want %s, %v, %d, %v",
					r.Code, r.Strict, hook, r.LoginSent, tc.code, tc.strict, tc.hook, tc.hook > 0)
			}
		})
	}
}

// A silent address takes its share of the time and leaves the others theirs.
func TestRunSharesTheTime(t *testing.T) {
	t.Parallel()
	hear := scripted(func(ctx context.Context, s *probe.Session) error {
		conn, err := s.Dial(ctx, "tcp", s.Address.String())
		if err != nil {
			return err
		}
		s.Enter(probe.PhaseProtocol)
		_, err = conn.Read(make([]byte, 1))
		return err
	})
	greets := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
		_, _ = conn.Write([]byte("x"))
		_, _ = io.Copy(io.Discard, conn)
	})
	r := run(t, hear, toy(quiet(t), quiet(t), probe.Address{Host: "127.0.0.1", Port: greets.Addr.Port()}))
	if r.Code != probe.CodeOK || len(r.Addresses) != 3 || r.Addresses[0].Code != probe.CodeTimeoutNoReply || r.Addresses[1].Code != probe.CodeTimeoutNoReply {
		t.Errorf("Run() = %s with %+v, want ok after two time-outs", r.Code, r.Addresses)
	}
	if r.DurationMS < 500 || r.DurationMS > 900 {
		t.Errorf("two of three shares of a second took %.0f ms", r.DurationMS)
	}
}

func TestRunHook(t *testing.T) {
	t.Parallel()
	refusal := errors.New("the mark is taken")
	again := scripted(func(ctx context.Context, s *probe.Session) error {
		return errors.Join(s.BeforeLogin(ctx), s.BeforeLogin(ctx), talk(ctx, s))
	})
	t.Run("is called once", func(t *testing.T) {
		t.Parallel()
		target, calls := toy(quiet(t)), 0
		target.BeforeLogin = func(context.Context) error { calls++; return nil }
		if r := run(t, again, target); r.Code != probe.CodeOK || calls != 1 || !r.LoginSent || r.Retryable() {
			t.Errorf("Run() = %s after %d calls, sent %v, retryable %v; want ok, 1, true, false", r.Code, calls, r.LoginSent, r.Retryable())
		}
	})
	t.Run("refuses", func(t *testing.T) {
		t.Parallel()
		target, calls := toy(quiet(t), quiet(t)), 0
		target.BeforeLogin = func(context.Context) error { calls++; return refusal }
		r, err := probetest.Runner(t, again, time.Second).Run(t.Context(), target)
		if !errors.Is(err, refusal) || calls != 1 || r.LoginSent || r.Code != "" {
			t.Errorf("Run() = %+v, %v after %d calls; want an empty report, the refusal, 1", r, err, calls)
		}
	})
}

func TestRunEnds(t *testing.T) {
	t.Parallel()
	wait := scripted(func(ctx context.Context, s *probe.Session) error {
		if err := s.BeforeLogin(ctx); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	})
	t.Run("the caller cancels", func(t *testing.T) {
		t.Parallel()
		cause := errors.New("shutting down")
		ctx, cancel := context.WithCancelCause(t.Context())
		target := toy(quiet(t))
		target.BeforeLogin = func(context.Context) error { cancel(cause); return nil }
		r, err := probetest.Runner(t, wait, time.Minute).Run(ctx, target)
		if !errors.Is(err, cause) || !r.LoginSent {
			t.Errorf("Run() = %+v, %v; want login sent, %v", r, err, cause)
		}
	})
	t.Run("the caller's time runs out", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		r, err := probetest.Runner(t, wait, time.Minute).Run(ctx, toy(quiet(t)))
		if err != nil || r.Code != probe.CodeTimeoutConnect {
			t.Errorf("Run() = %s, %v; want %s", r.Code, err, probe.CodeTimeoutConnect)
		}
	})
}

func TestReportRetryable(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		report probe.Report
		want   bool
	}{
		{probe.Report{Code: probe.CodeConnectionRefused}, true},
		{probe.Report{Code: probe.CodeTooManyConnections}, true},
		{probe.Report{Code: probe.CodeTooManyConnections, LoginSent: true}, false},
		{probe.Report{Code: probe.CodeAuthFailed}, false},
		{probe.Report{Code: probe.CodeDNSNotFound}, false},
		{probe.Report{Code: probe.CodeOK}, false},
	} {
		if got := tc.report.Retryable(); got != tc.want {
			t.Errorf("Retryable() of %s, sent %v = %v, want %v", tc.report.Code, tc.report.LoginSent, got, tc.want)
		}
	}
}

// What is said of one test may be said of others that would reach the same server
// the same way, and would not log in.
func TestReportShareable(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		report probe.Report
		want   bool
	}{
		{probe.Report{Code: probe.CodeConnectionRefused}, true},
		{probe.Report{Code: probe.CodeDNSNotFound}, true},
		{probe.Report{Code: probe.CodeTimeoutConnect, LoginSent: true}, false}, // of the second address, after a login at the first
		{probe.Report{Code: probe.CodeTargetNotAllowed}, false},                // another project's list may have it
		{probe.Report{Code: probe.CodeTLSUntrusted}, false},
		{probe.Report{Code: probe.CodeAuthFailed, LoginSent: true}, false},
		{probe.Report{Code: probe.CodeOK}, false},
	} {
		if got := tc.report.Shareable(); got != tc.want {
			t.Errorf("Shareable() of %s, sent %v = %v, want %v", tc.report.Code, tc.report.LoginSent, got, tc.want)
		}
	}
}

func TestNewRunnerRefusesTwoProbersForOneEngine(t *testing.T) {
	t.Parallel()
	if _, err := probe.NewRunner(probetest.Policy(t), []probe.Prober{scripted(talk), scripted(talk)}, probe.RunnerConfig{}); err == nil {
		t.Error("NewRunner() took two probers for one engine")
	}
}

func TestReportIsScrubbed(t *testing.T) {
	t.Parallel()
	r := run(t, scripted(func(ctx context.Context, s *probe.Session) error {
		s.Server("hunter22", "v\x1b[31mhunter22")
		s.Mechanism("hunter22")
		s.ServerError("hunter22", strings.Repeat("no entry for hunter22 ", 100))
		s.Fact("seen", "hunter22")
		return talk(ctx, s)
	}), toy(quiet(t)))
	b, _ := json.Marshal(r)
	if strings.Contains(string(b), "hunter22") || strings.Contains(string(b), "\x1b") || len(r.Evidence.ServerText) > 300 {
		t.Errorf("the report is not scrubbed: %s", b)
	}
	if r.Evidence.Facts["seen"] != "[redacted]" {
		t.Errorf("facts = %v", r.Evidence.Facts)
	}
}

// TestAFloodIsAbuseWhateverTheDriverSays: a driver may make something else of the
// error with which reading ends.
func TestAFloodIsAbuseWhateverTheDriverSays(t *testing.T) {
	t.Parallel()
	flood := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
		for more := make([]byte, 1<<16); ; {
			if _, err := conn.Write(more); err != nil {
				return
			}
		}
	})
	for name, says := range map[string]error{"something else": errors.New("bad packet"), "that all is well": io.EOF} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, scripted(func(ctx context.Context, s *probe.Session) error {
				conn, err := s.Dial(ctx, "tcp", s.Address.String())
				if err != nil {
					return err
				}
				s.Enter(probe.PhaseProtocol)
				_, _ = io.Copy(io.Discard, conn)
				return says
			}), toy(probe.Address{Host: "127.0.0.1", Port: flood.Addr.Port()}))
			if r.Code != probe.CodePeerAbusive {
				t.Errorf("Run() = %s, want %s", r.Code, probe.CodePeerAbusive)
			}
		})
	}
}

// Errors as the edge and the kernel give them.
func TestRunClassifiesWhatTheSocketSaw(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		err   error
		code  probe.Code
		phase probe.Phase
	}{
		{"policy", fmt.Errorf("driver: %w", &egress.DeniedError{}), probe.CodeTargetNotAllowed, probe.PhasePolicy},
		{"name not found", &egress.LookupError{Host: "h", NotFound: true}, probe.CodeDNSNotFound, probe.PhaseResolve},
		{"resolver failed", &egress.LookupError{Host: "h", Temporary: true}, probe.CodeDNSFailed, probe.PhaseResolve},
		{"unreachable", &egress.DialError{Err: &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}}, probe.CodeHostUnreachable, probe.PhaseConnect},
		{"no route", &egress.DialError{Err: syscall.ENETUNREACH}, probe.CodeHostUnreachable, probe.PhaseConnect},
		{"refused", &egress.DialError{Err: syscall.ECONNREFUSED}, probe.CodeConnectionRefused, probe.PhaseConnect},
		{"timed out", &egress.DialError{Err: os.ErrDeadlineExceeded}, probe.CodeTimeoutConnect, probe.PhaseConnect},
		{"too many dials", fmt.Errorf("driver: %w", egress.ErrDialBudget), probe.CodePeerAbusive, probe.PhasePolicy},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := run(t, scripted(func(context.Context, *probe.Session) error { return tc.err }), toy(quiet(t)))
			if r.Code != tc.code || r.Phase != tc.phase {
				t.Errorf("Run() = %s in %q, want %s in %q", r.Code, r.Phase, tc.code, tc.phase)
			}
		})
	}
}

// BenchmarkRun is what a test costs beyond its prober.
func BenchmarkRun(b *testing.B) {
	p := scripted(func(context.Context, *probe.Session) error { return nil })
	r, err := probe.NewRunner(probetest.Policy(b), []probe.Prober{p}, probe.RunnerConfig{})
	if err != nil {
		b.Fatal(err)
	}
	target := toy(probe.Address{Host: "127.0.0.1", Port: 1})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Run(b.Context(), target); err != nil {
			b.Fatal(err)
		}
	}
}

// A forbidden target looks the same whether its name was refused, or looked up
// and its address refused.
func TestRunDeniesAlike(t *testing.T) {
	t.Parallel()
	policy, err := egress.New(egress.Config{})
	if err != nil {
		t.Fatal(err)
	}
	const least = 50 * time.Millisecond
	runner, err := probe.NewRunner(policy, []probe.Prober{scripted(talk)}, probe.RunnerConfig{Denial: least})
	if err != nil {
		t.Fatal(err)
	}
	var reports []probe.Report
	for _, at := range []struct{ host, network string }{
		{"127.0.0.1", "vpc"},
		{"169.254.169.254", "vpc"},
		{"localhost", "vpc"},
		{"no-such-host.invalid", "vpc"}, // there only what is listed may be looked up
		{"localhost", "eip"},            // and there every name
	} {
		host := at.host
		target := toy(probe.Address{Host: host, Port: 1})
		target.Network = at.network
		start := time.Now()
		r, err := runner.Run(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < least {
			t.Errorf("%s was denied after %s, want at least %s", host, took, least)
		}
		r.StartedAt, r.DurationMS = time.Time{}, 0
		reports = append(reports, r)
	}
	for _, r := range reports[1:] {
		if diff := cmp.Diff(reports[0], r); diff != "" {
			t.Errorf("two denials differ:\n%s", diff)
		}
	}
	if reports[0].Code != probe.CodeTargetNotAllowed {
		t.Errorf("code = %s, want %s", reports[0].Code, probe.CodeTargetNotAllowed)
	}
}

// Where a server sends us to is told as it was named: what a name of ours
// resolves to is not for callers.
func TestForbiddenRedirectsKeepTheirAddress(t *testing.T) {
	t.Parallel()
	here := quiet(t)
	for _, tc := range []struct{ network, to string }{{"eip", "localhost:1"}, {"eip", "169.254.169.254:80"}, {"vpc", "internal.example:5432"}} {
		t.Run(tc.to, func(t *testing.T) {
			t.Parallel()
			p := scripted(func(ctx context.Context, s *probe.Session) error {
				if err := talk(ctx, s); err != nil {
					return err
				}
				_, err := s.Dial(ctx, "tcp", tc.to)
				return err
			})
			only := probetest.Only(t, netip.MustParseAddrPort(here.String()))
			runner, err := probe.NewRunner(only, []probe.Prober{p}, probe.RunnerConfig{Timeout: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			target := toy(here)
			target.Network = tc.network
			r, err := runner.Run(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(r.Evidence.Dials); n != 2 || r.Evidence.Dials[n-1].Address != tc.to || r.Code != probe.CodeTargetNotAllowed {
				t.Errorf("Run() = %s, dials %+v; want the second to %s", r.Code, r.Evidence.Dials, tc.to)
			}
		})
	}
}

// A new policy holds for the next test.
func TestRunnerObeys(t *testing.T) {
	t.Parallel()
	closed, err := egress.New(egress.Config{})
	if err != nil {
		t.Fatal(err)
	}
	runner := probetest.Runner(t, scripted(talk), time.Second)
	for _, tc := range []struct {
		policy *egress.Policy
		want   probe.Code
	}{{probetest.Policy(t), probe.CodeOK}, {closed, probe.CodeTargetNotAllowed}, {probetest.Policy(t), probe.CodeOK}} {
		runner.Obey(tc.policy)
		if r, err := runner.Run(t.Context(), toy(quiet(t))); err != nil || r.Code != tc.want {
			t.Errorf("Run() = %s, %v, want %s", r.Code, err, tc.want)
		}
	}
}
