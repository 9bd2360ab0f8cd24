package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"

	"dialtone/internal/egress"
	"dialtone/internal/sabotage"
)

// RunnerConfig are the Runner's tunables.
type RunnerConfig struct {
	// Timeout bounds one whole test. Default 15 s.
	Timeout time.Duration
	// Limits bound what one address of a test may use. See egress.Limits.
	Limits egress.Limits
	// Denial is the time that a forbidden address takes, or a multiple of it if
	// a look-up was longer, so that the clock does not tell what was looked up.
	// Default 250 ms; negative: none.
	Denial time.Duration
	// OnPanic is told of a prober that panicked; the value may hold anything
	// the other side sent, so only the stack is given. Default: nothing.
	OnPanic func(engine Engine, stack []byte)
}

// Runner makes tests: it chooses the prober, opens the edge, keeps the time
// and judges what came of it. It is safe for concurrent use.
type Runner struct {
	policy  atomic.Pointer[egress.Policy]
	probers map[Engine]Prober
	cfg     RunnerConfig
}

// NewRunner takes the policy that every socket obeys and the list of probers.
// Two probers for one engine are a mistake in the wiring and an error.
func NewRunner(policy *egress.Policy, probers []Prober, cfg RunnerConfig) (*Runner, error) {
	if cfg.Timeout < 0 {
		return nil, fmt.Errorf("probe timeout %s is negative", cfg.Timeout)
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, 15*time.Second)
	cfg.Denial = cmp.Or(cfg.Denial, 250*time.Millisecond)
	if cfg.OnPanic == nil {
		cfg.OnPanic = func(Engine, []byte) {}
	}
	r := &Runner{probers: map[Engine]Prober{}, cfg: cfg}
	r.policy.Store(policy)
	for _, p := range probers {
		for _, e := range p.Engines() {
			if r.probers[e] != nil {
				return nil, fmt.Errorf("two probers for engine %s", e)
			}
			r.probers[e] = p
		}
	}
	return r, nil
}

// Obey replaces the policy; tests under way keep the one that they began with.
func (r *Runner) Obey(policy *egress.Policy) { r.policy.Store(policy) }

// Supports says whether there is a prober for engine.
func (r *Runner) Supports(engine Engine) bool { return r.probers[engine] != nil }

// Timeout is how long one test may take.
func (r *Runner) Timeout() time.Duration { return r.cfg.Timeout }

// Run tests the target once. What is wrong with the endpoint is in the Report;
// the error is for what is not the endpoint's: the login hook said no, or ctx
// was cancelled (not: ran out). After such an error the Report says only
// whether a login may have been sent.
func (r *Runner) Run(ctx context.Context, t Target) (Report, error) {
	start := time.Now()
	prober := r.probers[t.Engine]
	if prober == nil {
		return Refused(CodeEngineUnsupported, start), nil
	}
	material, err := readMaterial(&t)
	if err != nil {
		report := Refused(certCode(err), start)
		report.Evidence.Facts = materialFacts(err, newScrubber(&t)())
		return report, nil
	}
	probeCtx, cancel := context.WithTimeout(ctx, sabotage.Swap(sabotage.StretchProbe, r.cfg.Timeout, 3*r.cfg.Timeout))
	defer cancel()

	run := run{runner: r, prober: prober, target: &t, material: material, gate: &loginGate{}, start: start}
	report := run.all(probeCtx)
	report.StartedAt = start.UTC()
	report.DurationMS = millis(time.Since(start))
	sent, refused := run.gate.state()
	report.LoginSent = sent
	if refused != nil {
		return Report{StartedAt: report.StartedAt}, refused
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return Report{StartedAt: report.StartedAt, LoginSent: sent}, context.Cause(ctx)
	}
	return report, nil
}

// Retryable says whether another attempt may help and do no harm.
func (r Report) Retryable() bool {
	return (!r.LoginSent || sabotage.On(sabotage.RetryLogin)) && r.Code.Verdict().Retry
}

// run is one test in progress.
type run struct {
	runner *Runner
	prober Prober
	target *Target
	material
	gate  *loginGate
	start time.Time
}

// all tests every address: the first that gets as far as a login makes it, the
// others are tested up to the protocol. A failure after a login was sent ends
// the test, so that no second one can follow. The report is that of the login,
// or else of the first address; addresses that do not belong together make a
// good one fail.
func (r *run) all(ctx context.Context) Report {
	var best Report
	var results []AddressResult
	var parts []part
	chosen := 0
	proven := false // a login was sent, or one address let us in without
	for i, address := range r.target.Addresses {
		report, cluster := r.one(ctx, address, !proven, len(r.target.Addresses)-i)
		parts = append(parts, part{address, cluster})
		results = append(results, AddressResult{Address: address.String(), Code: report.Code, Reached: lastPassed(report.Phases)})
		sent, refused := r.gate.state()
		if i == 0 || !proven && (sent || report.OK()) {
			best, chosen = report, i
		}
		proven = proven || sent || report.OK()
		if refused != nil || ctx.Err() != nil || (sent && !best.OK()) {
			break
		}
	}
	compare(&best, results, parts, chosen)
	best.Strict = best.OK() && len(results) == len(r.target.Addresses)
	for _, result := range results {
		best.Strict = best.Strict && result.Code == CodeOK
	}
	if len(r.target.Addresses) > 1 {
		best.Addresses = results
	}
	return best
}

// one tests one address within its fair share of the time that is left, and
// gives what it said it is part of.
func (r *run) one(ctx context.Context, address Address, login bool, left int) (Report, *Cluster) {
	if deadline, ok := ctx.Deadline(); ok && left > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
	}
	start := time.Now()
	s := r.open(ctx, address, r.gate)
	s.Login = login || sabotage.On(sabotage.LoginEverywhere)
	code, phase, seen := r.try(ctx, s, r.prober.Probe)
	rows, evidence := s.trace.finish(phase, code)
	if forbidden(code, seen) {
		r.deny(ctx, start)
		return denied(rows), nil
	}
	if !sabotage.On(sabotage.DropEvidence) {
		addEdge(&evidence, r.target, seen, code)
	}
	return Report{Code: code, Phase: phase, Phases: rows, Evidence: evidence}, s.trace.cluster
}

// open makes the session of one address, with an edge of its own.
func (r *run) open(ctx context.Context, address Address, gate *loginGate) *Session {
	scope := egress.Scope{Project: r.target.Project, Network: r.target.Network, DNS: r.target.DNS}
	return &Session{
		Target: r.target, Address: address, run: r, gate: gate, trace: newTrace(r.start), scrubber: newScrubber(r.target),
		edge: r.runner.policy.Load().Open(ctx, scope, r.runner.cfg.Limits),
	}
}

// try locates the session's address, lets prove loose on it, closes the edge
// and judges what came of it.
func (r *run) try(ctx context.Context, s *Session, prove func(context.Context, *Session) error) (Code, Phase, egress.Evidence) {
	s.trace.enter(PhaseInput)
	err := r.locate(ctx, s)
	if err == nil {
		err = r.guarded(ctx, s, prove)
	}
	_ = s.edge.Close()
	seen := s.edge.Evidence()
	code, phase := classify(ctx, err, s, seen)
	return code, phase, seen
}

// forbidden says whether the policy refused the address itself, not one that
// the other side sent us to.
func forbidden(code Code, seen egress.Evidence) bool {
	return code == CodeTargetNotAllowed && !seen.Used.IsValid()
}

// deny waits until a denial has taken its time. Up to that everything before
// it, a look-up perhaps, is hidden; what takes longer shows in steps.
func (r *run) deny(ctx context.Context, start time.Time) {
	step := r.runner.cfg.Denial
	if step <= 0 || sabotage.On(sabotage.DenyAtOnce) {
		return
	}
	timer := time.NewTimer(step - time.Since(start)%step)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// denied is the report on a forbidden target: it says nothing of what the name
// resolved to, nor how long that took.
func denied(rows []PhaseResult) Report {
	for i := range rows {
		rows[i].StartMS, rows[i].DurationMS = 0, 0
	}
	return Report{Code: CodeTargetNotAllowed, Phase: PhasePolicy, Phases: rows}
}

// locate asks the policy and resolves the name, before any prober runs. A name
// that the policy refuses is not looked up.
func (r *run) locate(ctx context.Context, s *Session) error {
	s.trace.enter(PhasePolicy)
	if err := s.edge.CheckName(s.Address.Host, s.Address.Port); err != nil {
		return err
	}
	if _, err := netip.ParseAddr(s.Address.Host); err != nil {
		s.trace.enter(PhaseResolve)
	}
	_, err := s.edge.Lookup(ctx, s.Address.Host, s.Address.Port)
	return err
}

// guarded runs prove; a panic in a driver becomes an error.
func (r *run) guarded(ctx context.Context, s *Session, prove func(context.Context, *Session) error) (err error) {
	defer func() {
		if recover() == nil {
			return
		}
		stack := debug.Stack()
		r.runner.cfg.OnPanic(r.target.Engine, stack)
		code := CodeInternal
		if s.edge.Evidence().BytesIn > 0 {
			code = CodePeerAbusive // nothing but foreign bytes makes a driver panic
		}
		err = Fail(code, errors.New("the driver panicked"))
	}()
	return prove(ctx, s)
}

func lastPassed(rows []PhaseResult) Phase {
	var last Phase
	for _, row := range rows {
		if row.State == Passed || row.State == Warned {
			last = row.Phase
		}
	}
	return last
}

// addEdge copies what the edge saw into the evidence.
func addEdge(e *Evidence, t *Target, seen egress.Evidence, code Code) {
	e.Resolver = seen.Resolver
	for _, a := range seen.Addrs {
		e.Resolved = append(e.Resolved, a.String())
	}
	if seen.Used.IsValid() {
		e.Address = seen.Used.String()
	}
	if seen.Local.IsValid() {
		e.Local = seen.Local.String()
	}
	for _, d := range seen.Dials {
		address := d.Addr.String()
		if !d.Addr.IsValid() { // a name that was denied
			address = Address{d.Host, d.Addr.Port()}.String()
		}
		e.Dials = append(e.Dials, DialEvidence{Address: address, Code: dialCode(d.Err), DurationMS: millis(d.Took)})
	}
	e.BytesIn, e.BytesOut = seen.BytesIn, seen.BytesOut
	if e.LooksLike == "" && code != CodeOK {
		e.LooksLike = foreign(t, seen.FirstBytes)
	}
}
