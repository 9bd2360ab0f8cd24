package telemetry

import (
	"runtime"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"dialtone/internal/batch"
	"dialtone/internal/egress"
	"dialtone/internal/probe"
)

// Metrics are a process's metrics, in a registry of their own. Its methods are
// those of the observers that batch and api declare, and may be called
// concurrently.
type Metrics struct {
	registry *prometheus.Registry
	owners   map[probe.Code]probe.Owner

	requests        *prometheus.CounterVec
	requestDuration *prometheus.HistogramVec
	streams         prometheus.Gauge
	repeated        *prometheus.CounterVec

	batchesAccepted  *prometheus.CounterVec
	batchesCompleted prometheus.Counter
	batchesAnswered  *prometheus.CounterVec
	batchesRefused   *prometheus.CounterVec
	rowsRemoved      *prometheus.CounterVec
	answerDuration   *prometheus.HistogramVec
	testsAccepted    *prometheus.CounterVec
	testsFinished    *prometheus.CounterVec
	testsSwept       *prometheus.CounterVec

	probesStarted  *prometheus.CounterVec
	probesReleased *prometheus.CounterVec
	reportsDropped *prometheus.CounterVec
	loginsSent     *prometheus.CounterVec
	probePanics    *prometheus.CounterVec
	egressDenied   *prometheus.CounterVec
	denials        *denials
	probeDuration  *prometheus.HistogramVec
	phaseDuration  *prometheus.HistogramVec
	queueWait      *prometheus.HistogramVec
	slotWait       *prometheus.HistogramVec
	shareWait      *prometheus.HistogramVec
	suppressed     *prometheus.CounterVec

	networks *prometheus.GaugeVec
}

// fine suits what takes from half a millisecond to a probe's 15 s and more.
func fine() []float64 {
	return []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 20, 30}
}

// coarse suits what a caller waits for: up to the two minutes of a client.
func coarse() []float64 {
	return []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 20, 30, 45, 60, 90, 120}
}

// NewMetrics makes the metrics of a process. Series whose mere existence says
// something, such as "none was interrupted", begin at zero.
func NewMetrics(b Build) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), owners: map[probe.Code]probe.Owner{}}
	for _, v := range probe.Verdicts() {
		m.owners[v.Code] = v.Owner
	}
	m.makeRequests()
	m.makeBatches()
	m.makeProbes()
	m.networks = m.gauges("dialtone_worker_network_info", "Networks that this worker stands in; always 1.", "network")
	m.gauges("dialtone_build_info", "Which program this is; always 1.", "process", "version", "revision", "go_version").
		WithLabelValues(b.Process, b.Version, b.Revision, runtime.Version()).Set(1)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Gatherer gives the metrics to whoever shows them.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

func (m *Metrics) makeRequests() {
	m.requests = m.counters("dialtone_http_requests_total", "Requests answered, by route pattern.", "method", "route", "status")
	m.requestDuration = m.histograms("dialtone_http_request_duration_seconds", "Time from a request to its answer; for an event stream its whole life.", coarse(), "method", "route")
	m.streams = m.gauges("dialtone_http_event_streams", "Event streams that are open.").WithLabelValues()
	m.repeated = m.counters("dialtone_http_repeated_requests_total", "Requests whose Idempotency-Key was in use: answered from what is stored, joined to a batch that nobody was answering for, or refused because the first is in flight or was another request (mismatch).", "outcome")
	for _, outcome := range repeats() {
		m.repeated.WithLabelValues(outcome)
	}
}

func (m *Metrics) makeBatches() {
	m.batchesAccepted = m.counters("dialtone_batches_accepted_total", "Batches stored, by call and lane.", "call", "lane")
	m.batchesCompleted = m.counters("dialtone_batches_completed_total", "Batches whose last test this process finished.").WithLabelValues()
	m.batchesAnswered = m.counters("dialtone_batches_answered_total", "Batches whose results their caller got while it waited: outcome is passed, mixed or failed.", "call", "outcome")
	m.batchesRefused = m.counters("dialtone_batches_refused_total", "Batches refused because their project had enough open tests in the lane.", "lane")
	m.rowsRemoved = m.counters("dialtone_rows_removed_total", "Rows of the store that had had their time: batches, their tests, idempotency keys.", "what")
	m.answerDuration = m.histograms("dialtone_batch_answer_duration_seconds", "Time that a caller waited for its batch.", coarse(), "call")
	m.testsAccepted = m.counters("dialtone_tests_accepted_total", "Tests stored, by call and lane.", "call", "lane")
	m.testsFinished = m.counters("dialtone_tests_finished_total", "Tests that this process recorded a report for, by engine, verdict code, and who must act on it.", "engine", "code", "owner")
	m.testsSwept = m.counters("dialtone_tests_swept_total", "Tests that were put right without a probe: expired at their deadline, interrupted after a login, reclaimed from a dead worker, restored to the queue, cancelled.", "what")
	for _, call := range []string{"connection", "cluster"} {
		for _, lane := range lanes() {
			m.batchesAccepted.WithLabelValues(call, lane)
			m.testsAccepted.WithLabelValues(call, lane)
		}
	}
	for _, lane := range lanes() {
		m.batchesRefused.WithLabelValues(lane)
	}
	for _, what := range removals() {
		m.rowsRemoved.WithLabelValues(what)
	}
	for _, what := range sweeps() {
		m.testsSwept.WithLabelValues(what)
	}
}

func (m *Metrics) makeProbes() {
	m.probesStarted = m.counters("dialtone_probes_started_total", "Probes begun, by engine and lane.", "engine", "lane")
	m.probesReleased = m.counters("dialtone_probes_released_total", "Probes that ended without a report: to be made again, or handed back by a worker that stops.", "why")
	m.reportsDropped = m.counters("dialtone_reports_dropped_total", "Reports that came too late: the test was finished or taken over.", "engine")
	m.loginsSent = m.counters("dialtone_logins_sent_total", "Probes that sent credentials.", "engine")
	m.probePanics = m.counters("dialtone_probe_panics_total", "Drivers that panicked.", "engine")
	m.egressDenied = m.counters("dialtone_egress_denied_total", "Addresses that the policy denied, by class; enforced is false in report mode.", "class", "enforced")
	m.denials = newDenials()
	m.registry.MustRegister(m.denials)
	m.probeDuration = m.histograms("dialtone_probe_duration_seconds", "Time of one probe.", fine(), "engine")
	m.phaseDuration = m.histograms("dialtone_probe_phase_duration_seconds", "Time of one phase of a probe.", fine(), "engine", "phase")
	m.queueWait = m.histograms("dialtone_queue_wait_seconds", "Time that a test was due before a worker claimed it.", coarse(), "lane")
	m.slotWait = m.histograms("dialtone_slot_wait_seconds", "Time that a test waited until its endpoint and its account were free; zero for most.", coarse(), "lane")
	m.shareWait = m.histograms("dialtone_share_wait_seconds", "Time that a test had to wait for its project's share of probes; zero for most.", coarse(), "lane")
	m.suppressed = m.counters("dialtone_logins_suppressed_total", "Tests whose login was not sent because the account had been refused, by rule: same_credential or too_many_refused.", "engine", "rule")
	for _, why := range releases() {
		m.probesReleased.WithLabelValues(why)
	}
	for _, lane := range lanes() {
		m.queueWait.WithLabelValues(lane)
		m.slotWait.WithLabelValues(lane)
		m.shareWait.WithLabelValues(lane)
	}
	// What happens rarely, if ever, is there from the beginning: an increase
	// is seen only from one scrape to the next, so that the first panic would
	// raise no alert.
	for _, class := range egress.Classes() {
		m.egressDenied.WithLabelValues(string(class), "true")
		m.egressDenied.WithLabelValues(string(class), "false")
	}
	for _, e := range engines() {
		m.reportsDropped.WithLabelValues(e)
		m.loginsSent.WithLabelValues(e)
		m.probePanics.WithLabelValues(e)
		for _, rule := range rules() {
			m.suppressed.WithLabelValues(e, rule)
		}
	}
}

// StandsIn shows the networks of a worker.
func (m *Metrics) StandsIn(networks []string) {
	for _, n := range networks {
		m.networks.WithLabelValues(n).Set(1)
	}
}

// WatchRunning shows how many probes are under way.
func (m *Metrics) WatchRunning(running func() int) {
	m.watch("dialtone_probes_in_flight", "Probes under way.", running)
}

// WatchWaiting shows how many batches callers wait for.
func (m *Metrics) WatchWaiting(waiting func() int) {
	m.watch("dialtone_batches_waited_for", "Batches that a caller waits for.", waiting)
}

// WatchConcurrency shows how many probes a worker may make at once.
func (m *Metrics) WatchConcurrency(most int) {
	m.watch("dialtone_probes_in_flight_max", "Probes that may be under way at once.", func() int { return most })
}

func (m *Metrics) watch(name, help string, value func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value()) }))
}

func (m *Metrics) counters(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

func (m *Metrics) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

func (m *Metrics) histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	m.registry.MustRegister(v)
	return v
}

// The closed sets of labels. Whatever else is met counts as "other", so that
// nobody outside can make series.
const other = "other"

func lanes() []string { return []string{"interactive", "bulk"} }

func sweeps() []string {
	return []string{"expired", "interrupted", "reclaimed", "restored", "cancelled"}
}

func removals() []string { return []string{"batches", "tests", "keys"} }

func repeats() []string { return []string{"stored", "joined", "in_flight", "mismatch"} }

func releases() []string { return []string{"retry", "hand_back"} }

func rules() []string {
	return []string{string(batch.SameCredential), string(batch.TooManyRefused)}
}

func among(set []string, s string) string {
	if slices.Contains(set, s) {
		return s
	}
	return other
}

func engines() []string {
	known := probe.Engines()
	names := make([]string, len(known))
	for i, e := range known {
		names[i] = string(e)
	}
	return names
}

func engine(e probe.Engine) string { return among(engines(), string(e)) }

func method(s string) string {
	return among([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, s)
}

// verdict gives the labels of a code; nobody must act on a test that passed.
func (m *Metrics) verdict(c probe.Code) (code, owner string) {
	o, known := m.owners[c]
	switch {
	case !known:
		return other, string(probe.OwnerService)
	case o == probe.OwnerNone:
		return string(c), "none"
	default:
		return string(c), string(o)
	}
}
