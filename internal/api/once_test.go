package api_test

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/api"
	"dialtone/internal/batch"
	"dialtone/internal/probe"
)

// clusterBody is a good request of the cluster call.
const clusterBody = `{"jobs":[{"action":"testConnection","job_id":"` + jobID + `","property":"` + clusterProperty + `"}]}`

// keyed adds an Idempotency-Key, and more headers, to a request.
func keyed(a ask, key string, more ...string) ask {
	header := map[string]string{"Idempotency-Key": key}
	for i := 0; i < len(more); i += 2 {
		header[more[i]] = more[i+1]
	}
	a.header = header
	return a
}

// replayed wants an answer that is another's again.
func replayed(t *testing.T, first, again reply) {
	t.Helper()
	if again.status != first.status || !bytes.Equal(again.body, first.body) {
		t.Errorf("answered with %d %s, want again %d %s", again.status, again.body, first.status, first.body)
	}
	for _, name := range []string{"X-Batch-Id", "Content-Type", "Location", "Preference-Applied"} {
		if got, want := again.header.Get(name), first.header.Get(name); got != want {
			t.Errorf("%s: %q, want again %q", name, got, want)
		}
	}
	if again.header.Get("Idempotent-Replayed") != "true" || first.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("Idempotent-Replayed is %q first and %q then", first.header.Get("Idempotent-Replayed"), again.header.Get("Idempotent-Replayed"))
	}
}

func TestRepeatedRequestGetsTheFirstAnswer(t *testing.T) {
	t.Parallel()
	async := []string{"Prefer", "respond-async"}
	for name, tt := range map[string]struct {
		ask  ask
		more []string
	}{
		"connection":        {ask{path: connection, body: goodBody}, nil},
		"connection, async": {ask{path: connection, body: goodBody}, async},
		"cluster":           {ask{path: cluster, body: clusterBody}, nil},
		"cluster, async":    {ask{path: cluster, body: clusterBody}, async},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &counting{mu: make(chan struct{}, 1)}
			b := startWith(t, api.Config{}, c)
			b.verdict = func(batch.Endpoint) *probe.Report { return failed(probe.CodeAuthFailed) }
			a := keyed(tt.ask, "retry-1", tt.more...)
			plain := b.do(t, ask{path: a.path, body: a.body, header: map[string]string{"Prefer": strings.Join(tt.more[min(1, len(tt.more)):], "")}})
			first := b.do(t, a)
			if first.status != plain.status || first.status/100 != 2 {
				t.Fatalf("%d %s, without a key %d", first.status, first.body, plain.status)
			}
			b.verdict = func(batch.Endpoint) *probe.Report { return passed() }
			replayed(t, first, b.do(t, a))
			a.header["X-Language"] = "zh-cn"
			replayed(t, first, b.do(t, a))
			// The same request in another hand.
			spaced := a
			spaced.body = strings.Replace(strings.ReplaceAll(a.body, `,"`, ` , "`), `{"jobs"`, `{"unknown":[1], "jobs"`, 1)
			replayed(t, first, b.do(t, spaced))
			if n := len(b.requests); n != 2 {
				t.Errorf("%d batches for two requests", n)
			}
			if diff := cmp.Diff([]string{"stored", "stored", "stored"}, c.repeated); diff != "" {
				t.Errorf("observed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestKeyStandsForOneRequest(t *testing.T) {
	t.Parallel()
	c := &counting{mu: make(chan struct{}, 1)}
	b := startWith(t, api.Config{}, c)
	if r := b.do(t, keyed(ask{path: connection, body: goodBody}, "k")); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	for name, a := range map[string]ask{
		"another password": keyed(ask{path: connection, body: strings.Replace(goodBody, `"db_password":"`, `"db_password":"x`, 1)}, "k"),
		"another call":     keyed(ask{path: cluster, body: clusterBody}, "k"),
		"async":            keyed(ask{path: connection, body: goodBody}, "k", "Prefer", "respond-async"),
	} {
		r := b.do(t, a)
		if f := r.fault(t); r.status != http.StatusUnprocessableEntity || f.Code != "DRS.M00202" || len(f.Problems) != 1 || f.Problems[0].Path != "Idempotency-Key" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	if len(b.requests) != 1 || len(c.repeated) != 3 || c.repeated[0] != "mismatch" {
		t.Errorf("%d batches, observed %v", len(b.requests), c.repeated)
	}
	if r := b.do(t, keyed(ask{path: connection, body: goodBody}, "K")); r.status != http.StatusOK || r.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("another key: %d, replayed %q", r.status, r.header.Get("Idempotent-Replayed"))
	}
}

func TestBadKeys(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	for _, key := range []string{"with space", "ü", strings.Repeat("k", 256)} {
		r := b.do(t, keyed(ask{path: connection, body: goodBody}, key))
		if f := r.fault(t); r.status != http.StatusBadRequest || f.Code != "DRS.M00202" || strings.Contains(string(r.body), key) {
			t.Errorf("%q: %d %s", key, r.status, r.body)
		}
	}
	if len(b.requests) != 0 {
		t.Errorf("%d batches", len(b.requests))
	}
	if r := b.do(t, keyed(ask{path: connection, body: goodBody}, strings.Repeat("~", 255))); r.status != http.StatusOK {
		t.Errorf("the longest key: %d %s", r.status, r.body)
	}
}

// A request that was refused leaves its key free for the mended one.
func TestRefusalKeepsNoKey(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	a := keyed(ask{path: connection, body: strings.Replace(goodBody, "3306", "0", 1)}, "k")
	if r := b.do(t, a); r.status != http.StatusBadRequest {
		t.Fatalf("%d %s", r.status, r.body)
	}
	a.body = goodBody
	b.full = &batch.FullError{Lane: batch.Interactive, After: 1500 * time.Millisecond}
	r := b.do(t, a)
	if f := r.fault(t); r.status != http.StatusTooManyRequests || f.Code != "DRS.M01503" || r.header.Get("Retry-After") != "2" {
		t.Errorf("%d %s, Retry-After %s", r.status, r.body, r.header.Get("Retry-After"))
	}
	b.full = nil
	b.broken["submit"] = true
	if r := b.do(t, a); r.status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", r.status, r.body)
	}
	b.broken["submit"] = false
	if r := b.do(t, a); r.status != http.StatusOK || r.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// While the first waits the second is told to come again; once the first hung
// up the second gets its batch.
func TestRepeatWhileTheFirstIsUnderWay(t *testing.T) {
	t.Parallel()
	c := &counting{mu: make(chan struct{}, 1)}
	b := startWith(t, api.Config{}, c)
	b.verdict = func(batch.Endpoint) *probe.Report { return nil }
	a := keyed(ask{path: connection, body: goodBody}, "k")

	ctx, hangUp := context.WithCancel(t.Context())
	var first sync.WaitGroup
	first.Go(func() {
		if resp, err := http.DefaultClient.Do(b.request(ctx, t, a)); err == nil {
			_ = resp.Body.Close()
			t.Error("the first was answered")
		}
	})
	eventually(t, func() bool { return b.held() })
	r := b.do(t, a)
	if f := r.fault(t); r.status != http.StatusConflict || f.Code != "DRS.M01503" || r.header.Get("Retry-After") != "1" {
		t.Errorf("%d %s, Retry-After %s", r.status, r.body, r.header.Get("Retry-After"))
	}
	hangUp()
	first.Wait()
	eventually(t, func() bool { return !b.held() })

	var joined reply
	var second sync.WaitGroup
	second.Go(func() { joined = b.do(t, a) })
	eventually(t, func() bool { return b.held() })
	for n := range b.tests[firstBatch] {
		b.end(n, passed())
	}
	second.Wait()
	if joined.status != http.StatusOK || joined.header.Get("X-Batch-Id") != firstBatch || joined.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("joined: %d %s, %v", joined.status, joined.body, joined.header)
	}
	third := b.do(t, a)
	if !bytes.Equal(third.body, joined.body) || third.header.Get("X-Batch-Id") != firstBatch {
		t.Errorf("third: %d %s", third.status, third.body)
	}
	if diff := cmp.Diff([]string{"in_flight", "joined", "stored"}, c.repeated); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}
	if len(b.requests) != 1 {
		t.Errorf("%d batches", len(b.requests))
	}
}

// Who joins a batch is answered at its deadline, not a whole wait later, and who
// comes after the deadline at once.
func TestWhoJoinsWaitsForTheRestOfTheTime(t *testing.T) {
	t.Parallel()
	for name, left := range map[string]time.Duration{"before the deadline": 50 * time.Millisecond, "after it": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, api.Config{})
			b.verdict = func(batch.Endpoint) *probe.Report { return nil }
			b.remaining = left
			a := keyed(ask{path: connection, body: goodBody}, "k")
			ctx, hangUp := context.WithCancel(t.Context())
			var first sync.WaitGroup
			first.Go(func() {
				if resp, err := http.DefaultClient.Do(b.request(ctx, t, a)); err == nil {
					_ = resp.Body.Close()
					t.Error("the first was answered")
				}
			})
			eventually(t, func() bool { return b.held() })
			hangUp()
			first.Wait()
			eventually(t, func() bool { return !b.held() })

			patient, cancel := context.WithTimeout(t.Context(), 30*time.Second) // half a wait
			defer cancel()
			resp, err := http.DefaultClient.Do(b.request(patient, t, a))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK || resp.Header.Get("X-Batch-Id") != firstBatch || len(b.expired) != 1 {
				t.Errorf("%d for batch %s, ended at the end of the wait: %v", resp.StatusCode, resp.Header.Get("X-Batch-Id"), b.expired)
			}
		})
	}
}

// A store that has gone silent keeps nobody much longer than the wait: who asks
// again is told to come again, who waits that nobody knows.
func TestSilentStoreKeepsNobody(t *testing.T) {
	t.Parallel()
	cfg := api.Config{Wait: 50 * time.Millisecond, EndTimeout: 30 * time.Millisecond}
	first := during(t, &outage{good: 1}, cfg) // after it was accepted
	if r := first.do(t, ask{path: connection, body: goodBody}); r.status != http.StatusOK || !strings.Contains(string(r.body), "DRS.DT9199") {
		t.Errorf("who waited: %d %s", r.status, r.body)
	}
	again := during(t, &outage{}, cfg)
	if r := again.do(t, keyed(ask{path: connection, body: goodBody}, "k")); r.status != http.StatusServiceUnavailable {
		t.Errorf("who asks again: %d %s", r.status, r.body)
	}
}

// An answer that only says that the store was away is given, but not for good.
func TestAnswerOfNobodyKnowsIsNotKept(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	a := keyed(ask{path: connection, body: goodBody}, "k")
	b.broken["read"] = true
	if r := b.do(t, a); r.status != http.StatusOK || !strings.Contains(string(r.body), "DRS.DT9199") {
		t.Fatalf("%d %s", r.status, r.body)
	}
	// A retry that cannot read the batch either must not hold on to it.
	if r := b.do(t, a); r.status != http.StatusServiceUnavailable || b.held() {
		t.Errorf("%d %s, held %t", r.status, r.body, b.held())
	}
	b.broken["read"] = false
	r := b.do(t, a)
	if r.status != http.StatusOK || strings.Contains(string(r.body), "DRS.DT9199") || r.header.Get("X-Batch-Id") != firstBatch {
		t.Errorf("%d %s", r.status, r.body)
	}
	if len(b.requests) != 1 {
		t.Errorf("%d batches", len(b.requests))
	}
}

// Where nobody waits, a batch may have many entries.
func TestEntriesOfABulkBatch(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{MaxEntries: 2, BulkEntries: 5})
	for n, want := range map[int][2]int{2: {200, 202}, 3: {400, 202}, 5: {400, 202}, 6: {400, 400}} {
		var entries []string
		for i := range n {
			entries = append(entries, strings.Replace(`{`+mysqlEntry+`}`, `"id":"140b5236`, `"id":"`+string(rune('1'+i))+`40b523`, 1))
		}
		a := ask{path: connection, body: `{"jobs":[` + strings.Join(entries, ",") + `]}`}
		if r := b.do(t, a); r.status != want[0] {
			t.Errorf("%d entries: %d %s", n, r.status, r.body)
		}
		a.header = map[string]string{"Prefer": "respond-async"}
		if r := b.do(t, a); r.status != want[1] {
			t.Errorf("%d entries, async: %d %s", n, r.status, r.body)
		}
	}
}
