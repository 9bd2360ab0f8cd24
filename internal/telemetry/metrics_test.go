package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/telemetry"
	"dialtone/internal/telemetry/telemetrytest"
)

// value is the one series of a metric that has these labels.
func value(t *testing.T, g prometheus.Gatherer, name string, labels map[string]string) float64 {
	t.Helper()
	for _, m := range series(t, g, name) {
		match := len(m.GetLabel()) == len(labels)
		for _, l := range m.GetLabel() {
			match = match && labels[l.GetName()] == l.GetValue()
		}
		if !match {
			continue
		}
		switch {
		case m.Counter != nil:
			return m.GetCounter().GetValue()
		case m.Gauge != nil:
			return m.GetGauge().GetValue()
		default:
			return float64(m.GetHistogram().GetSampleCount())
		}
	}
	return math.NaN()
}

func series(t *testing.T, g prometheus.Gatherer, name string) []*dto.Metric {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()
		}
	}
	return nil
}

func TestMetricsLint(t *testing.T) {
	t.Parallel()
	g := telemetrytest.Metrics().Gatherer()
	problems, err := testutil.GatherAndLint(g)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		name := f.GetName()
		if !strings.HasPrefix(name, "dialtone_") && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s does not begin with dialtone_", name)
		}
		if strings.Contains(f.String(), telemetrytest.Canary) {
			t.Errorf("%s shows what must not be shown", name)
		}
	}
}

func TestMetricsCount(t *testing.T) {
	t.Parallel()
	g := telemetrytest.Metrics().Gatherer()
	type labels map[string]string
	for _, tt := range []struct {
		name   string
		labels labels
		want   float64
	}{
		{"dialtone_http_requests_total", labels{"method": "POST", "route": "/v3/:project_id/jobs/batch-connection", "status": "200"}, 1},
		{"dialtone_http_requests_total", labels{"method": "other", "route": "none", "status": "404"}, 1},
		{"dialtone_http_request_duration_seconds", labels{"method": "other", "route": "none"}, 1},
		{"dialtone_http_event_streams", nil, 1},
		{"dialtone_batches_accepted_total", labels{"call": "connection", "lane": "interactive"}, 1},
		{"dialtone_batches_accepted_total", labels{"call": "cluster", "lane": "interactive"}, 0},
		{"dialtone_tests_accepted_total", labels{"call": "connection", "lane": "interactive"}, 2},
		{"dialtone_batches_completed_total", nil, 2}, // one was complete when it was accepted
		{"dialtone_batches_answered_total", labels{"call": "connection", "outcome": "passed"}, 1},
		{"dialtone_batches_answered_total", labels{"call": "connection", "outcome": "mixed"}, 1},
		{"dialtone_batches_answered_total", labels{"call": "connection", "outcome": "failed"}, 1},
		{"dialtone_batch_answer_duration_seconds", labels{"call": "connection"}, 3},
		{"dialtone_http_repeated_requests_total", labels{"outcome": "joined"}, 1},
		{"dialtone_batches_refused_total", labels{"lane": "bulk"}, 1},
		{"dialtone_batches_refused_total", labels{"lane": "interactive"}, 0},
		{"dialtone_rows_removed_total", labels{"what": "tests"}, 20},
		{"dialtone_tests_finished_total", labels{"engine": "mysql", "code": "ok", "owner": "none"}, 1},
		{"dialtone_tests_finished_total", labels{"engine": "mysql", "code": "deadline_exceeded", "owner": "service"}, 1},
		{"dialtone_reports_dropped_total", labels{"engine": "mysql"}, 1},
		{"dialtone_logins_sent_total", labels{"engine": "mysql"}, 4},
		{"dialtone_probe_duration_seconds", labels{"engine": "mysql"}, 4},
		{"dialtone_probe_phase_duration_seconds", labels{"engine": "mysql", "phase": "login"}, 4},
		{"dialtone_probe_phase_duration_seconds", labels{"engine": "mysql", "phase": "tls"}, math.NaN()}, // skipped
		{"dialtone_probes_started_total", labels{"engine": "mysql", "lane": "interactive"}, 1},
		{"dialtone_queue_wait_seconds", labels{"lane": "interactive"}, 1},
		{"dialtone_queue_wait_seconds", labels{"lane": "bulk"}, 0},
		{"dialtone_slot_wait_seconds", labels{"lane": "interactive"}, 1},
		{"dialtone_share_wait_seconds", labels{"lane": "interactive"}, 1},
		{"dialtone_logins_suppressed_total", labels{"engine": "mysql", "rule": "same_credential"}, 1},
		{"dialtone_logins_suppressed_total", labels{"engine": "mysql", "rule": "too_many_refused"}, 0},
		{"dialtone_probes_released_total", labels{"why": "hand_back"}, 1},
		{"dialtone_tests_swept_total", labels{"what": "interrupted"}, 1},
		{"dialtone_probes_in_flight", nil, 3},
		{"dialtone_probes_in_flight_max", nil, 256},
		{"dialtone_batches_waited_for", nil, 2},
		{"dialtone_worker_network_info", labels{"network": "vpc-1"}, 1},
		{"dialtone_queue_up", nil, 1},
		{"dialtone_queue_tasks", labels{"queue": "interactive:eip", "state": "pending"}, 4},
		{"dialtone_queue_processed_total", labels{"queue": "interactive:eip"}, 7},
		{"dialtone_queue_oldest_seconds", labels{"queue": "interactive:eip"}, 1.5},
		{"dialtone_postgres_connections", labels{"state": "acquired"}, 1},
		{"dialtone_postgres_acquire_wait_seconds_total", nil, 1},
		{"dialtone_redis_connections", labels{"state": "busy"}, 2},
		{"dialtone_redis_pool_timeouts_total", nil, 1},
		{"dialtone_probe_panics_total", labels{"engine": "mysql"}, 1},
		{"dialtone_egress_denied_total", labels{"class": "loopback", "enforced": "true"}, 1},
		{"dialtone_egress_denied_total", labels{"class": "private", "enforced": "false"}, 0},
		{"dialtone_egress_denied_recent", labels{"project": "p1"}, 1},
	} {
		if got := value(t, g, tt.name, tt.labels); got != tt.want && (!math.IsNaN(got) || !math.IsNaN(tt.want)) {
			t.Errorf("%s%v = %v, want %v", tt.name, tt.labels, got, tt.want)
		}
	}
}

// TestLabelsAreClosed lets everything in that comes from outside and looks at
// what series it made.
func TestLabelsAreClosed(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics(telemetry.Build{Process: "worker"})
	for _, s := range []string{"x", "y", "z"} {
		m.Request(s, "", 7, time.Second)
		c := batch.Claimed{Lane: batch.Lane(s)}
		c.Target.Engine = probe.Engine(s)
		m.Claimed(c)
		m.Probed(t.Context(), c, probe.Report{Code: probe.Code(s)}, true)
		m.Released(c, s)
		m.Swept(s, 1)
		m.Panicked(probe.Engine(s))
		m.Accepted(batch.Batch{Lane: batch.Lane(s)})
	}
	for name, want := range map[string]int{
		"dialtone_http_requests_total":   1,
		"dialtone_probes_started_total":  1,
		"dialtone_tests_finished_total":  1,
		"dialtone_probe_panics_total":    len(probe.Engines()) + 1,
		"dialtone_probes_released_total": 3, // two of our own
		"dialtone_tests_swept_total":     6, // five of our own
		"dialtone_queue_wait_seconds":    3, // two of our own
	} {
		if got := len(series(t, m.Gatherer(), name)); got != want {
			t.Errorf("%s has %d series, want %d", name, got, want)
		}
	}
}

// TestRareEventsStartAtZero: an alert on an increase sees the first one only
// if the series was there before.
func TestRareEventsStartAtZero(t *testing.T) {
	t.Parallel()
	g := telemetry.NewMetrics(telemetry.Build{}).Gatherer()
	for _, name := range []string{"dialtone_probe_panics_total", "dialtone_reports_dropped_total", "dialtone_logins_sent_total"} {
		if got := value(t, g, name, map[string]string{"engine": "mysql"}); got != 0 {
			t.Errorf("%s is %v before anything happened, want 0", name, got)
		}
	}
}

// TestHangingQueue is a Redis that does not answer: the scrape goes on, and
// the next one does not ask a second time.
func TestHangingQueue(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics(telemetry.Build{})
	asked := make(chan struct{}, 10)
	release := make(chan struct{})
	m.WatchQueue(func(context.Context) ([]telemetry.QueueDepth, error) {
		asked <- struct{}{}
		<-release
		return nil, nil
	})
	for range 2 {
		if got := value(t, m.Gatherer(), "dialtone_queue_up", nil); got != 0 {
			t.Errorf("dialtone_queue_up = %v, want 0", got)
		}
	}
	if got := len(asked); got != 1 {
		t.Errorf("asked %d times, want 1", got)
	}
	close(release)
	deadline := time.Now().Add(5 * time.Second)
	for value(t, m.Gatherer(), "dialtone_queue_up", nil) != 1 {
		if time.Now().After(deadline) {
			t.Fatal("dialtone_queue_up is not 1 again")
		}
	}
}

func TestQueueError(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics(telemetry.Build{})
	m.WatchQueue(func(context.Context) ([]telemetry.QueueDepth, error) { return nil, errors.New("no Redis") })
	if got := value(t, m.Gatherer(), "dialtone_queue_up", nil); got != 0 {
		t.Errorf("dialtone_queue_up = %v, want 0", got)
	}
}

func TestLogger(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := telemetry.NewLogger(&out, "warn", "json")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("not this")
	log.Warn("this", "n", 1)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v in %q", err, out.String())
	}
	if line["msg"] != "this" || line["level"] != "WARN" {
		t.Errorf("line = %v", line)
	}
	out.Reset()
	if log, err = telemetry.NewLogger(&out, "debug", "text"); err != nil {
		t.Fatal(err)
	}
	log.Debug("this too")
	if !strings.Contains(out.String(), `msg="this too"`) {
		t.Errorf("text = %q", out.String())
	}
	for _, wrong := range [][2]string{{"loud", "json"}, {"info", "xml"}} {
		if _, err := telemetry.NewLogger(&out, wrong[0], wrong[1]); err == nil {
			t.Errorf("NewLogger(%q) gives no error", wrong)
		}
	}
}
