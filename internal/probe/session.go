package probe

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/internal/egress"
	"dialtone/internal/sabotage"
	"dialtone/internal/secret"
)

// Session is the probe of one address: the prober's way out and its notebook.
// Its methods may be called from the driver's goroutines.
type Session struct {
	// Target is what is tested; Address the one address of it to test now.
	Target  *Target
	Address Address
	// Login is false when the prober must stop before sending credentials.
	Login bool

	run      *run
	askedAt  atomic.Int64 // bytes that had come when the server wanted a client certificate; 0: it did not
	edge     *egress.Edge
	gate     *loginGate
	trace    *trace
	scrubber func() *secret.Scrubber
}

// Dial connects through the edge: policy, budget, deadline and byte cap apply.
// A driver must be given this and nothing else.
func (s *Session) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	s.trace.enter(PhaseConnect)
	return s.edge.Dial(ctx, network, address)
}

// Enter says that the phase before has passed and p begins. Entering the phase
// that is current already changes nothing.
func (s *Session) Enter(p Phase) { s.trace.enter(p) }

// Warn notes that phase p passed with something to look at.
func (s *Session) Warn(p Phase, code Code) { s.trace.warn(p, code) }

// BeforeLogin must be called just before the first byte of credentials leaves.
// When it errs, nothing may be sent, and the prober returns that error. Further
// calls give the first answer again, so a driver's hooks may overlap.
func (s *Session) BeforeLogin(ctx context.Context) error {
	s.trace.enter(PhaseLogin)
	err := s.gate.pass(ctx, s.Target.BeforeLogin)
	return sabotage.Swap(sabotage.IgnoreMark, err, nil)
}

// note changes the evidence.
func (s *Session) note(change func(*Evidence)) { s.trace.note(change) }

// Server notes what the server says it is.
func (s *Session) Server(product, version string) {
	s.note(func(e *Evidence) {
		e.Product, e.Version = s.printable(product), s.printable(version)
	})
}

// Mechanism notes how the login is authenticated.
func (s *Session) Mechanism(name string) {
	s.note(func(e *Evidence) { e.Mechanism = s.printable(name) })
}

// ServerError notes the server's own error. The text is scrubbed of every
// secret of the target and cut.
func (s *Session) ServerError(code, text string) {
	s.note(func(e *Evidence) { e.ServerCode, e.ServerText = s.printable(code), s.printable(text) })
}

// Fact notes an engine's own finding under a documented snake_case name.
func (s *Session) Fact(name, value string) {
	s.note(func(e *Evidence) {
		e.setFact(name, s.printable(value))
	})
}

// printable makes a foreign text fit for evidence.
func (s *Session) printable(text string) string {
	if text == "" {
		return ""
	}
	if sabotage.On(sabotage.SkipScrub) {
		return text
	}
	return s.scrubber().Scrub(text)
}

// newScrubber prepares what must not come back in foreign texts, when the
// first of them arrives. Certificates and stores are not among it: they are
// long, and the other side is never given them.
func newScrubber(t *Target) func() *secret.Scrubber {
	return sync.OnceValue(func() *secret.Scrubber { return secret.NewScrubber(t.passwords()...) })
}

// loginGate lets the login mark be set once per test, whatever a driver does.
type loginGate struct {
	once sync.Once
	mu   sync.Mutex
	sent bool
	err  error
}

func (g *loginGate) pass(ctx context.Context, hook func(context.Context) error) error {
	g.once.Do(func() {
		var err error
		if hook != nil {
			err = hook(ctx)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.sent, g.err = err == nil, err
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// state tells whether credentials may have left, and the hook's refusal.
func (g *loginGate) state() (sent bool, refused error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sent, g.err
}

// trace is the record of one session's phases.
type trace struct {
	mu       sync.Mutex
	start    time.Time
	current  Phase
	last     Phase // the current one when the trace ended
	since    time.Time
	rows     map[Phase]*PhaseResult
	evidence Evidence
	cluster  *Cluster // what the address said it is part of
}

func newTrace(start time.Time) *trace {
	return &trace{start: start, rows: map[Phase]*PhaseResult{}}
}

func (t *trace) enter(p Phase) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current == p {
		return
	}
	now := time.Now()
	t.close(now)
	t.current, t.since = p, now
	if t.rows[p] == nil {
		t.rows[p] = &PhaseResult{Phase: p, State: Passed, StartMS: millis(now.Sub(t.start))}
	}
}

// close adds the time of the current phase. A phase may be entered twice, as
// when a greeting comes before the encryption.
func (t *trace) close(now time.Time) {
	if row := t.rows[t.current]; row != nil {
		row.DurationMS += millis(now.Sub(t.since))
	}
}

func (t *trace) warn(p Phase, code Code) {
	t.mu.Lock()
	defer t.mu.Unlock()
	row := t.rows[p]
	if row == nil {
		row = &PhaseResult{Phase: p}
		t.rows[p] = row
	}
	row.State, row.Code = Warned, code
	// Where TLS is begun twice, what it is warned of is said once.
	if !slices.Contains(t.evidence.Warnings, code) {
		t.evidence.Warnings = append(t.evidence.Warnings, code)
	}
}

func (t *trace) note(change func(*Evidence)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.evidence)
}

// phase is where the session is now.
func (t *trace) phase() Phase {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.current
}

// finish ends the trace: failed is the phase to mark, empty for success.
func (t *trace) finish(failed Phase, code Code) ([]PhaseResult, Evidence) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.close(time.Now())
	t.last, t.current = t.current, ""
	if failed != "" {
		row := t.rows[failed]
		if row == nil {
			row = &PhaseResult{Phase: failed}
			t.rows[failed] = row
		}
		row.State, row.Code = Failed, code
		if last := t.rows[t.last]; last != nil && t.last != failed {
			// It had begun when what came in it proved another one wrong.
			last.State, last.Code = NotReached, ""
		}
	}
	var rows []PhaseResult
	reached := true
	for _, p := range Phases() {
		row := PhaseResult{Phase: p, State: NotReached}
		switch {
		case t.rows[p] != nil:
			row = *t.rows[p]
		case reached:
			row.State = Skipped
		}
		if p == failed {
			reached = false
		}
		rows = append(rows, row)
	}
	ev := t.evidence
	ev.Facts = maps.Clone(ev.Facts)
	return rows, ev
}

func millis(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}
