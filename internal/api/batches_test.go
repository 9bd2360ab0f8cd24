package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/api"
	"dialtone/internal/batch"
	"dialtone/internal/probe"
)

const firstBatch = "01930000-0000-7000-8000-000000000001"

// submit puts a batch there and gives its path.
func (b *bench) submit(t *testing.T, body string) string {
	t.Helper()
	r := b.do(t, ask{path: connection, body: body, header: map[string]string{"Prefer": "respond-async"}})
	if r.status != http.StatusAccepted {
		t.Fatalf("%d %s", r.status, r.body)
	}
	return r.header.Get("Location")
}

func TestReadBatch(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	b.verdict = func(e batch.Endpoint) *probe.Report {
		switch e.DBType {
		case "mysql":
			r := passed()
			r.Evidence.TLS = &probe.TLSEvidence{
				Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", Mode: probe.VerifyCA, Verdict: probe.CodeTLSNameMismatch,
				Modes:    probe.TLSModes{None: probe.CodeOK, CA: probe.CodeOK, Full: probe.CodeTLSNameMismatch},
				Findings: []probe.TLSFinding{{Code: probe.CodeTLSNameMismatch, Subject: "CN=db", Detail: "x509: not this name"}},
				Subject:  "CN=db", Issuer: "CN=ca", NotBefore: at(0), NotAfter: at(1), DaysLeft: -3, SHA256: "ab",
			}
			r.Evidence.Warnings = []probe.Code{probe.CodeTLSNameMismatch}
			return r
		case "kafka":
			r := failed(probe.CodeTimeoutConnect)
			r.Addresses = []probe.AddressResult{{Address: "a:9092", Code: probe.CodeTimeoutConnect, Reached: probe.PhaseResolve}, {Address: "b:9092", Code: probe.CodeOK, Reached: probe.PhaseSession}}
			r.Evidence.Dials = []probe.DialEvidence{{Address: "10.0.0.1:9092", Code: probe.CodeTimeoutConnect, DurationMS: 5000}}
			r.Evidence.Facts = map[string]string{"brokers": "2"}
			return r
		}
		return nil
	}
	where := b.submit(t, jobs(
		entryWith("ssl_link", "true", "ssl_cert_key", secretString, "ssl_cert_name", `"ca.pem"`, "ssl_cert_check_sum", `"`+strings.Repeat("a", 64)+`"`, "customized_dns", `{"is_set_dns":true,"set_dns_action":"add","dns_ip":"10.1.1.1"}`),
		entryWith("id", `"j2"`, "db_type", `"kafka"`, "ip", `"a:9092,b:9092"`, "db_port", "0", "kafka_security_config", `{"type":"SASL_SSL","sasl_mechanism":"SCRAM-SHA-256","trust_store_key":`+secretString+`,"trust_store_key_name":"t.jks"}`),
		entryWith("id", `"j3"`, "db_type", `"postgresql"`, "end_point_type", `"ta"`),
	))
	en := b.do(t, ask{method: http.MethodGet, path: where})
	zh := b.do(t, ask{method: http.MethodGet, path: where, header: map[string]string{"X-Language": "zh-cn"}})
	// The user name is no secret and begins with the marker.
	for name, r := range map[string]reply{"batch-en": en, "batch-zh": zh} {
		text := strings.ReplaceAll(string(r.body), marker+"u", "root")
		if strings.Contains(text, marker) {
			t.Errorf("a secret is in %s", name)
		}
		golden(t, name, []byte(text))
	}
	if r := b.do(t, ask{method: http.MethodGet, path: strings.Replace(where, project, "another", 1)}); r.status != http.StatusNotFound {
		t.Errorf("another project reads it: %d", r.status)
	}
}

func TestListBatches(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	for range 3 {
		b.submit(t, goodBody)
	}
	r := b.do(t, ask{method: http.MethodGet, path: "{project}/batch-connections?limit=2&state=done&job_id=" + jobID +
		"&created_after=2026-11-01T00:00:00Z&created_before=2026-12-01T08:00:00%2B08:00&cursor=c1"})
	var got struct {
		Batches []struct{ ID string }
		Next    string
	}
	r.into(t, &got)
	if r.status != http.StatusOK || len(got.Batches) != 2 || got.Next != "next-page" || got.Batches[0].ID < got.Batches[1].ID {
		t.Errorf("%d %s", r.status, r.body)
	}
	want := batch.Query{
		Project: project, State: batch.Done, JobID: jobID, After: "c1", Limit: 2,
		Since: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC),
	}
	if diff := cmp.Diff(want, b.page); diff != "" {
		t.Errorf("query (-want +got):\n%s", diff)
	}
	r = b.do(t, ask{method: http.MethodGet, path: "{project}/batch-connections?limit=&state=&cursor=", odd: true})
	if r.into(t, &got); r.status != http.StatusOK || len(got.Batches) != 3 || b.page.Limit != 50 {
		t.Errorf("%d %s, limit %d", r.status, r.body, b.page.Limit)
	}
}

func TestCancelBatch(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	b.verdict = func(batch.Endpoint) *probe.Report { return nil }
	where := b.submit(t, goodBody)
	for range 2 { // the second finds it done
		r := b.do(t, ask{path: where + "/cancel"})
		var got struct {
			State   string
			Results []struct {
				Code string `json:"error_code"`
			}
		}
		r.into(t, &got)
		if r.status != http.StatusOK || got.State != "done" || got.Results[0].Code != "DRS.DT9104" {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
}

// event is one server-sent event, or a comment.
type event struct{ name, id, data, comment string }

// follow opens a stream and sends its events to a channel, which it closes at
// the end.
func (b *bench) follow(ctx context.Context, t *testing.T, where, last string) <-chan event {
	t.Helper()
	req := b.request(ctx, t, ask{method: http.MethodGet, path: where + "/events", header: map[string]string{"Last-Event-Id": last}})
	resp, err := http.DefaultClient.Do(req) //nolint:bodyclose // the goroutine below closes it
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	events := make(chan event)
	go func() {
		defer close(events)
		defer resp.Body.Close()
		var e event
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "event":
				e.name = value
			case "id":
				e.id = value
			case "data":
				e.data = value
			case "":
				if value != "" {
					e.comment = value
				}
				if e != (event{}) {
					select {
					case events <- e:
					case <-ctx.Done():
						return
					}
				}
				e = event{}
			}
		}
	}()
	return events
}

func next(t *testing.T, events <-chan event) (event, bool) {
	t.Helper()
	select {
	case e, ok := <-events:
		return e, ok
	case <-time.After(10 * time.Second):
		t.Fatal("no event came")
		return event{}, false
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{EventPoll: 5 * time.Millisecond, Heartbeat: time.Hour})
	b.verdict = func(e batch.Endpoint) *probe.Report {
		if e.DBPort == 1 {
			return passed()
		}
		return nil
	}
	where := b.submit(t, jobs(entryWith("db_port", "1"), entryWith("id", `"j2"`), entryWith("id", `"j3"`)))
	events := b.follow(t.Context(), t, where, "")
	want := func(events <-chan event, name, id string, entry int) {
		t.Helper()
		e, ok := next(t, events)
		var data struct {
			Entry  int
			State  string
			Report *struct{ Code string }
		}
		if err := json.Unmarshal([]byte(e.data), &data); err != nil || !ok {
			t.Fatalf("%v %+v", err, e)
		}
		if e.name != name || e.id != id || data.Entry != entry || data.State != "done" || (data.Report != nil) != (name == "test") {
			t.Errorf("got %+v, want %s %s of entry %d", e, name, id, entry)
		}
	}
	want(events, "test", "1", 0)
	b.end(2, passed())
	want(events, "test", "2", 2)
	b.end(1, failed(probe.CodeAuthFailed))
	want(events, "test", "3", 1)
	want(events, "done", "", 0)
	if e, ok := next(t, events); ok {
		t.Errorf("after the end came %+v", e)
	}

	again := b.follow(t.Context(), t, where, "2")
	want(again, "test", "3", 1)
	want(again, "done", "", 0)
}

func TestEventsOfAnIdleBatch(t *testing.T) {
	t.Parallel()
	c := &counting{mu: make(chan struct{}, 1)}
	b := startWith(t, api.Config{EventPoll: 5 * time.Millisecond, Heartbeat: 10 * time.Millisecond}, c)
	b.verdict = func(batch.Endpoint) *probe.Report { return nil }
	where := b.submit(t, goodBody)
	streams := func() int { c.mu <- struct{}{}; defer func() { <-c.mu }(); return c.streams }

	ctx, cancel := context.WithCancel(t.Context())
	events := b.follow(ctx, t, where, "")
	if e, ok := next(t, events); !ok || e.comment != "alive" {
		t.Errorf("got %+v, want a heartbeat", e)
	}
	if streams() != 1 {
		t.Errorf("%d streams", streams())
	}
	cancel() // the client goes
	eventually(t, func() bool { return streams() == 0 })

	events = b.follow(t.Context(), t, where, "")
	eventually(t, func() bool { return streams() == 1 })
	b.api.Drain() // the server goes
	for range events {
	}
	eventually(t, func() bool { return streams() == 0 })
}

// A stream lives longer than the server lets an answer take.
func TestEventsOutliveWriteTimeout(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{EventPoll: 5 * time.Millisecond, Heartbeat: 20 * time.Millisecond})
	b.verdict = func(batch.Endpoint) *probe.Report { return nil }
	srv := &http.Server{Handler: b.api.Handler(), WriteTimeout: 50 * time.Millisecond, ReadHeaderTimeout: time.Second}
	url := serve(t, srv)
	where := b.submit(t, goodBody)
	b.url = url
	events := b.follow(t.Context(), t, where, "")
	for began := time.Now(); time.Since(began) < 300*time.Millisecond; {
		if e, ok := next(t, events); !ok || e.comment == "" {
			t.Fatalf("got %+v, %v", e, ok)
		}
	}
	b.end(0, passed())
	for e := range events {
		if e.name == "done" {
			return
		}
	}
	t.Error("the stream broke off")
}
