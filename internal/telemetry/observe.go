package telemetry

import (
	"context"
	"strconv"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
)

var (
	_ batch.Observer = (*Observer)(nil)
	_ batch.Tracer   = (*Tracer)(nil)
)

// Observer tells the metrics and the traces what happens in the domain and
// in the api.
type Observer struct {
	*Metrics

	tracer *Tracer
}

// NewObserver wires an Observer; tracer may be nil.
func NewObserver(m *Metrics, tracer *Tracer) *Observer { return &Observer{Metrics: m, tracer: tracer} }

// Probed counts a report, and adds it to the trace that ctx carries.
func (o *Observer) Probed(ctx context.Context, t batch.Claimed, r probe.Report, recorded bool) {
	o.Metrics.Probed(ctx, t, r, recorded)
	if o.tracer != nil {
		o.tracer.Probe(ctx, t, r)
	}
}

// Request counts an answered request. route is its pattern, "" if none fitted.
func (m *Metrics) Request(verb, route string, status int, took time.Duration) {
	if route == "" {
		route = "none"
	}
	verb = method(verb)
	m.requests.WithLabelValues(verb, route, statusLabel(status)).Inc()
	m.requestDuration.WithLabelValues(verb, route).Observe(took.Seconds())
}

func statusLabel(status int) string {
	if status < 100 || status > 599 {
		return other
	}
	return strconv.Itoa(status)
}

// Answered counts the batch that a caller waited for.
func (m *Metrics) Answered(b batch.Batch, results []batch.Result, waited time.Duration) {
	passed := 0
	for _, r := range results {
		if r.OK {
			passed++
		}
	}
	outcome := "mixed"
	switch passed {
	case len(results):
		outcome = "passed"
	case 0:
		outcome = "failed"
	}
	call := among([]string{"connection", "cluster"}, string(b.Call))
	m.batchesAnswered.WithLabelValues(call, outcome).Inc()
	m.answerDuration.WithLabelValues(call).Observe(waited.Seconds())
}

// Streams counts event streams that open and close.
func (m *Metrics) Streams(change int) { m.streams.Add(float64(change)) }

// Repeated counts a request whose key was in use.
func (m *Metrics) Repeated(outcome string) {
	m.repeated.WithLabelValues(among(repeats(), outcome)).Inc()
}

// Full counts a batch that was refused because of what waits.
func (m *Metrics) Full(lane batch.Lane) {
	m.batchesRefused.WithLabelValues(among(lanes(), string(lane))).Inc()
}

// Removed counts rows that had had their time.
func (m *Metrics) Removed(what string, n int) {
	m.rowsRemoved.WithLabelValues(among(removals(), what)).Add(float64(max(n, 0)))
}

// Accepted counts a batch that was stored. One whose every test was refused at
// once is complete with it.
func (m *Metrics) Accepted(b batch.Batch) {
	call := among([]string{"connection", "cluster"}, string(b.Call))
	lane := among(lanes(), string(b.Lane))
	m.batchesAccepted.WithLabelValues(call, lane).Inc()
	m.testsAccepted.WithLabelValues(call, lane).Add(float64(b.Total))
	if b.FinishedAt != nil {
		m.batchesCompleted.Inc()
	}
}

// Claimed counts a probe that begins.
func (m *Metrics) Claimed(t batch.Claimed) {
	lane := among(lanes(), string(t.Lane))
	m.probesStarted.WithLabelValues(engine(t.Target.Engine), lane).Inc()
	m.queueWait.WithLabelValues(lane).Observe(max(t.Waited, 0).Seconds())
	m.slotWait.WithLabelValues(lane).Observe(t.SlotWait.Seconds())
	m.shareWait.WithLabelValues(lane).Observe(t.ShareWait.Seconds())
}

// Probed counts a report; its phases count whether it was recorded or not,
// because they were gone through.
func (m *Metrics) Probed(_ context.Context, t batch.Claimed, r probe.Report, recorded bool) {
	e := engine(t.Target.Engine)
	if recorded {
		code, owner := m.verdict(r.Code)
		m.testsFinished.WithLabelValues(e, code, owner).Inc()
	} else {
		m.reportsDropped.WithLabelValues(e).Inc()
	}
	if r.Code == probe.CodeLoginSuppressed {
		m.suppressed.WithLabelValues(e, among(rules(), r.Evidence.Facts["rule"])).Inc()
		return // nothing was dialled
	}
	if r.LoginSent {
		m.loginsSent.WithLabelValues(e).Inc()
	}
	m.probeDuration.WithLabelValues(e).Observe(r.DurationMS / 1000)
	for _, row := range r.Phases {
		if ran(row) {
			m.phaseDuration.WithLabelValues(e, string(row.Phase)).Observe(row.DurationMS / 1000)
		}
	}
}

// ran says whether a phase was begun at all.
func ran(row probe.PhaseResult) bool {
	switch row.State {
	case probe.Skipped, probe.NotReached:
		return false
	default:
		return row.StartMS > 0 || row.DurationMS > 0
	}
}

// Released counts a probe that ended without a report.
func (m *Metrics) Released(_ batch.Claimed, why string) {
	m.probesReleased.WithLabelValues(among(releases(), why)).Inc()
}

// Swept counts tests that were put right.
func (m *Metrics) Swept(what string, n int) {
	m.testsSwept.WithLabelValues(among(sweeps(), what)).Add(float64(max(n, 0)))
}

// Completed counts batches that have no open test left.
func (m *Metrics) Completed(done []batch.Completion) { m.batchesCompleted.Add(float64(len(done))) }

// Panicked counts a driver that panicked.
func (m *Metrics) Panicked(e probe.Engine) { m.probePanics.WithLabelValues(engine(e)).Inc() }

// Denied counts an address that the egress policy denied to a project. class
// comes from the policy's closed set.
func (m *Metrics) Denied(project, class string, enforced bool) {
	m.egressDenied.WithLabelValues(class, strconv.FormatBool(enforced)).Inc()
	if enforced {
		m.denials.add(project)
	}
}
