package e2e_test

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"dialtone/test/system"
)

// span is one span with the service that sent it.
type span struct {
	*otlp.Span

	service string
}

// collected is what a collector has received.
type collected struct {
	url string

	mu    sync.Mutex
	raw   bytes.Buffer
	spans []span
}

// collect is an OTLP collector.
func collect(t *testing.T) *collected {
	t.Helper()
	c := &collected{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := c.receive(r); err != nil {
			t.Errorf("traces on %s: %v", r.URL.Path, err)
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(srv.Close)
	c.url = srv.URL
	return c
}

func (c *collected) receive(r *http.Request) error {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			return err
		}
		body = unzipped
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	var sent collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(raw, &sent); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw.Write(raw)
	for _, resource := range sent.ResourceSpans {
		service := ""
		for _, a := range resource.Resource.Attributes {
			if a.Key == "service.name" {
				service = a.Value.GetStringValue()
			}
		}
		for _, scope := range resource.ScopeSpans {
			for _, one := range scope.Spans {
				c.spans = append(c.spans, span{one, service})
			}
		}
	}
	return nil
}

// of gives the spans of one trace.
func (c *collected) of(trace string) []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []span
	for _, s := range c.spans {
		if hex.EncodeToString(s.TraceId) == trace {
			list = append(list, s)
		}
	}
	return list
}

// TestTrace: one trace leads from the caller over the request and the worker's
// test to the phases of the probe, and carries no secret.
func TestTrace(t *testing.T) {
	t.Parallel()
	c := collect(t)
	s := system.Start(t, system.Options{Env: append(short(), "DIALTONE_OTLP_ENDPOINT="+c.url, "OTEL_BSP_SCHEDULE_DELAY=100")})
	const trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	const wrong = "the-wrong-passw0rd"
	entries := []system.Entry{
		system.MariaDB(t, "dt_native").TLS(t, "ca.pem"),
		system.Postgres(t, "dt_scram").With(system.Entry{"id": "b", "db_password": wrong}),
	}
	a := s.Must(http.MethodPost, "/jobs/batch-connection", map[string]any{"jobs": entries}, "traceparent", "00-"+trace+"-"+parent+"-01")
	if a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	named := func(name string) (found []span) {
		for _, one := range c.of(trace) {
			if one.Name == name {
				found = append(found, one)
			}
		}
		return found
	}
	const request, mysql, postgres = "POST /v3/:project_id/jobs/batch-connection", "test mysql", "test postgresql"
	system.Eventually(t, system.WaitForServers, "request and tests are in the caller's trace", func() bool {
		return len(named(request)) == 1 && len(named(mysql)) == 1 && len(named(postgres)) == 1
	})
	// Afterwards nothing is left to be sent.
	s.Workers[0].Stop(t)
	s.API.Stop(t)

	top := named(request)[0]
	if hex.EncodeToString(top.ParentSpanId) != parent || top.service != "dialtone-api" {
		t.Errorf("the request's span is of %s, below %x", top.service, top.ParentSpanId)
	}
	for name, phases := range map[string][]string{
		mysql:    {"queue", "policy", "connect", "tls", "protocol", "login", "session"},
		postgres: {"queue", "policy", "connect", "protocol", "login"},
	} {
		test := named(name)[0]
		if !bytes.Equal(test.ParentSpanId, top.SpanId) || test.service != "dialtone-worker" {
			t.Errorf("%s is of %s, below %x, want it below the request", name, test.service, test.ParentSpanId)
		}
		var below []string
		for _, one := range c.of(trace) {
			if bytes.Equal(one.ParentSpanId, test.SpanId) {
				below = append(below, one.Name)
				if one.StartTimeUnixNano < test.StartTimeUnixNano || one.EndTimeUnixNano < one.StartTimeUnixNano || one.EndTimeUnixNano > test.EndTimeUnixNano {
					t.Errorf("%s of %s lies outside of it", one.Name, name)
				}
			}
		}
		for _, phase := range phases {
			if !slices.Contains(below, phase) {
				t.Errorf("%s has no %s among %v", name, phase, below)
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	raw := c.raw.String()
	for what, secret := range map[string]string{
		"password": system.Need(t, "DIALTONE_TEST_PASSWORD"), "wrong password": wrong, "token": system.Token, "certificate": "BEGIN CERTIFICATE",
		"user": "dt_native", "address": system.Need(t, "DIALTONE_TEST_MARIADB_ADDR"),
	} {
		if strings.Contains(raw, secret) {
			t.Errorf("the traces hold the %s", what)
		}
	}
}
