package telemetry_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
	"dialtone/internal/telemetry"
	"dialtone/internal/telemetry/telemetrytest"
)

// syncBuffer is a bytes.Buffer that may be read while it is written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// receiver is a collector.
type receiver struct {
	*httptest.Server

	mu      sync.Mutex
	raw     bytes.Buffer
	headers http.Header
	path    string
	spans   []*otlp.Span
	service string
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body := io.Reader(q.Body)
		if q.Header.Get("Content-Encoding") == "gzip" {
			var err error
			if body, err = gzip.NewReader(q.Body); err != nil {
				t.Error(err)
				return
			}
		}
		raw, err := io.ReadAll(body)
		var request collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(raw, &request)
		}
		if err != nil {
			t.Error(err)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.raw.Write(raw)
		r.headers, r.path = q.Header, q.URL.Path
		for _, rs := range request.GetResourceSpans() {
			for _, a := range rs.GetResource().GetAttributes() {
				if a.GetKey() == "service.name" {
					r.service = a.GetValue().GetStringValue()
				}
			}
			for _, ss := range rs.GetScopeSpans() {
				r.spans = append(r.spans, ss.GetSpans()...)
			}
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func newTracer(t *testing.T, r *receiver, ratio float64) *telemetry.Tracer {
	t.Helper()
	tracer, err := telemetry.NewTracer(t.Context(), slog.New(slog.DiscardHandler), telemetry.TraceConfig{
		Endpoint: r.URL, Headers: secret.New("X-Key=a%20b"), Ratio: ratio, Build: telemetry.Build{Process: "api", Version: "v1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

// TestOneTrace follows a request through the store to the phases of its probe,
// with a Tracer for the api and one for the worker, as two processes have.
func TestOneTrace(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	api, worker := newTracer(t, r, 1), newTracer(t, r, 1)

	var stored string
	front := httptest.NewServer(api.Middleware(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		q.Pattern = "/v3/:project_id/jobs/batch-connection"
		stored = api.Carry(q.Context())
		w.WriteHeader(http.StatusOK)
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("flush through the middleware: %v", err)
		}
	})))
	defer front.Close()
	request, err := http.NewRequest(http.MethodPost, front.URL+"/v3/"+telemetrytest.Canary+"/jobs?q="+telemetrytest.Canary, strings.NewReader(telemetrytest.Canary))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Auth-Token", telemetrytest.Canary)
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	// The answer was flushed in mid-handler: only now has its span surely ended.
	front.Close()
	if stored == "" {
		t.Fatal("the request carries no trace")
	}

	observer := telemetry.NewObserver(telemetry.NewMetrics(telemetry.Build{}), worker)
	ctx := worker.Join(t.Context(), stored)
	observer.Probed(ctx, telemetrytest.Claimed(), telemetrytest.Report(probe.CodeAuthFailed), true)
	for _, tracer := range []*telemetry.Tracer{api, worker} {
		if err := tracer.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	names := map[string]string{} // by span id
	for _, s := range r.spans {
		names[string(s.GetSpanId())] = s.GetName()
	}
	traces := map[string]bool{}
	tree := map[string]string{} // span to parent
	for _, s := range r.spans {
		traces[string(s.GetTraceId())] = true
		tree[s.GetName()] = names[string(s.GetParentSpanId())]
	}
	if len(traces) != 1 {
		t.Errorf("%d traces, want one", len(traces))
	}
	const root = "POST /v3/:project_id/jobs/batch-connection"
	want := map[string]string{
		root: "", "test mysql": root, "queue": "test mysql", "policy": "test mysql", "resolve": "test mysql",
		"connect": "test mysql", "protocol": "test mysql", "login": "test mysql",
	}
	if diff := cmp.Diff(want, tree); diff != "" {
		t.Errorf("spans and their parents (-want +got):\n%s", diff)
	}
	for _, s := range r.spans {
		begin := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
		switch s.GetName() {
		case "test mysql":
			checkTimes(t, s, begin.Add(-40*time.Millisecond), 85*time.Millisecond)
			checkAttributes(t, s, map[string]string{
				"dialtone.engine": "mysql", "dialtone.code": "auth_failed", "dialtone.owner": "caller", "dialtone.lane": "interactive",
				"dialtone.batch": "0190a000-0000-7000-8000-000000000001", "dialtone.test": "0190a000-0000-7000-8000-000000000002",
				"dialtone.attempts": "",
			})
		case "login":
			checkTimes(t, s, begin.Add(30*time.Millisecond), 12*time.Millisecond)
			checkAttributes(t, s, map[string]string{"dialtone.state": "failed", "dialtone.code": "auth_failed"})
		case root:
			checkAttributes(t, s, map[string]string{
				"http.request.method": "POST", "http.route": "/v3/:project_id/jobs/batch-connection", "http.response.status_code": "",
			})
		}
	}
	if bytes.Contains(r.raw.Bytes(), []byte(telemetrytest.Canary)) {
		t.Error("the export holds what must not be shown")
	}
	if got := r.headers.Get("X-Key"); got != "a b" || r.path != "/v1/traces" || r.service != "dialtone-api" {
		t.Errorf("header %q, path %q, service %q", got, r.path, r.service)
	}
}

func checkTimes(t *testing.T, s *otlp.Span, begin time.Time, took time.Duration) {
	t.Helper()
	gotBegin := time.Unix(0, int64(s.GetStartTimeUnixNano())).UTC()
	gotTook := time.Duration(s.GetEndTimeUnixNano() - s.GetStartTimeUnixNano())
	if !gotBegin.Equal(begin) || gotTook != took {
		t.Errorf("span %s: %s for %s, want %s for %s", s.GetName(), gotBegin, gotTook, begin, took)
	}
}

// checkAttributes compares names, and values where they are texts.
func checkAttributes(t *testing.T, s *otlp.Span, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for _, a := range s.GetAttributes() {
		got[a.GetKey()] = a.GetValue().GetStringValue()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attributes of %s (-want +got):\n%s", s.GetName(), diff)
	}
}

// TestCallersTrace follows the trace that a caller sends, as the caller decided.
func TestCallersTrace(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, traceparent string
		want              int
	}{
		{"sampled", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", 1},
		{"not sampled", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", 0},
		{"nonsense counts as none", "00-" + telemetrytest.Canary, 0}, // and the ratio is zero
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t)
			tracer := newTracer(t, r, 0)
			handler := tracer.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
			q := httptest.NewRequest(http.MethodGet, "/", nil)
			q.Header.Set("traceparent", tt.traceparent)
			handler.ServeHTTP(httptest.NewRecorder(), q)
			if err := tracer.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(r.spans) != tt.want {
				t.Fatalf("%d spans, want %d", len(r.spans), tt.want)
			}
			for _, s := range r.spans {
				if got := s.GetStatus().GetCode(); got != otlp.Status_STATUS_CODE_ERROR {
					t.Errorf("status of a 500 = %s", got)
				}
				if got, want := string(s.GetTraceId()), "\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c"; got != want {
					t.Errorf("trace id = %x, want the caller's", got)
				}
			}
		})
	}
}

func TestTracingOff(t *testing.T) {
	t.Parallel()
	tracer, err := telemetry.NewTracer(t.Context(), slog.New(slog.DiscardHandler), telemetry.TraceConfig{Ratio: 1})
	if err != nil {
		t.Fatal(err)
	}
	const text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ctx := tracer.Join(t.Context(), text)
	if got := tracer.Carry(ctx); got != "" {
		t.Errorf("Carry = %q, want nothing", got)
	}
	tracer.Probe(ctx, batch.Claimed{}, probe.Report{})
	if err := tracer.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	telemetry.NewObserver(telemetry.NewMetrics(telemetry.Build{}), nil).Probed(ctx, batch.Claimed{}, probe.Report{}, true)
}

// TestCollectorAway is a collector that is not there: the loss is logged, and
// nothing else suffers.
func TestCollectorAway(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	r.Close()
	var log syncBuffer
	tracer, err := telemetry.NewTracer(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), telemetry.TraceConfig{
		Endpoint: r.URL, Headers: secret.New("key=" + telemetrytest.Canary), Ratio: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	handler := tracer.Middleware(http.NotFoundHandler())
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_ = tracer.Shutdown(ctx) // may run out of time
	deadline := time.Now().Add(5 * time.Second)
	for !strings.Contains(log.String(), "traces lost") {
		if time.Now().After(deadline) {
			t.Fatalf("no word of the loss:\n%s", log.String())
		}
		time.Sleep(time.Millisecond) // a poll, not a wait
	}
	if strings.Contains(log.String(), telemetrytest.Canary) {
		t.Errorf("the log shows a header:\n%s", log.String())
	}
}

func TestTracerConfig(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]telemetry.TraceConfig{
		"endpoint": {Endpoint: "collector"},
		"header":   {Endpoint: "http://collector:4318", Headers: secret.New("a=b," + telemetrytest.Canary)},
		"encoding": {Endpoint: "http://collector:4318", Headers: secret.New("a=%zz" + telemetrytest.Canary)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := telemetry.NewTracer(t.Context(), slog.New(slog.DiscardHandler), cfg)
			if err == nil || strings.Contains(err.Error(), telemetrytest.Canary) {
				t.Errorf("error = %v, want one without the value", err)
			}
		})
	}
}
