package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"dialtone/test/system"
)

// TestBulkDoesNotHoldCallersUp: while a bulk backlog of dead endpoints is worked
// off, a caller's test takes about as long as without it.
func TestBulkDoesNotHoldCallersUp(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Env: []string{
		"DIALTONE_JOBS=any", "DIALTONE_WORKER_CONCURRENCY=16", "DIALTONE_PROBE_TIMEOUT=4s", "DIALTONE_CONNECT_TIMEOUT=1s",
		"DIALTONE_WORKER_ATTEMPTS=1", "DIALTONE_BULK_MAX=300", "DIALTONE_ENDPOINT_PROBES=300",
	}})
	good := system.MariaDB(t, "dt_native")
	const calls = 15
	median := func() time.Duration {
		took := make([]time.Duration, calls)
		for i := range took {
			began := time.Now()
			if r, _ := s.Test(good); !r.Results[0].OK() {
				t.Fatalf("%+v", r)
			}
			took[i] = time.Since(began)
		}
		slices.Sort(took)
		return took[calls/2]
	}
	alone := median()
	pit := system.NewPit(t)
	var entries []system.Entry
	for i := range 300 {
		entries = append(entries, good.At(t, pit.Addr).With(system.Entry{"id": fmt.Sprintf("job-%d", i), "db_user": fmt.Sprintf("dt_%d", i)}))
	}
	id := later(s, entries...)
	// Bulk tests have three quarters of the places.
	system.Eventually(t, system.WaitForServers, "the backlog is worked off", func() bool { return pit.Open() == 12 })
	beside := median()
	if open := detail(s, id).Open; open < 100 {
		t.Fatalf("only %d of the backlog are left: nothing was measured", open)
	}
	t.Logf("median of %d calls: alone %v, beside a bulk backlog %v, ratio %.2f", calls, alone, beside, float64(beside)/float64(alone))
	if beside > alone+2*time.Second {
		t.Errorf("a call takes %v beside a bulk backlog, %v alone", beside, alone)
	}
	s.Must(http.MethodPost, "/batch-connections/"+id+"/cancel", nil)
}

// TestTooMuch: beyond the bound of its lane a project is told to come again,
// and nothing is stored.
func TestTooMuch(t *testing.T) {
	t.Parallel()
	s := system.Prepare(t, system.Options{Env: []string{"DIALTONE_JOBS=any", "DIALTONE_BULK_MAX=20"}})
	s.StartAPI("DIALTONE_BULK_BACKLOG=30", "DIALTONE_BACKLOG=5")
	good := system.MariaDB(t, "dt_native")
	entries := func(n int) (list []system.Entry) {
		for i := range n {
			list = append(list, good.With(system.Entry{"id": fmt.Sprintf("job-%d", i)}))
		}
		return list
	}
	body := func(n int) map[string]any { return map[string]any{"jobs": entries(n)} }
	async := []string{"Prefer", "respond-async"}
	first := later(s, entries(20)...)
	before := stored(t, s)
	for _, header := range [][]string{async, append([]string{"Idempotency-Key", "k"}, async...)} {
		a := s.Must(http.MethodPost, "/jobs/batch-connection", body(20), header...)
		if refused(t, a, http.StatusTooManyRequests, "DRS.M01503"); a.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	refused(t, s.Must(http.MethodPost, "/jobs/batch-connection", body(21), async...), http.StatusBadRequest, "DRS.M00202", "jobs")
	if after := stored(t, s); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("stored %v, before %v", after, before)
	}
	if n := s.API.Metric(t, `dialtone_batches_refused_total{lane="bulk"}`); n != 2 {
		t.Errorf("%v refusals are counted, want 2", n)
	}
	// What fits is taken, by the same key too; other projects and callers who
	// wait are not concerned.
	if a := s.Must(http.MethodPost, "/jobs/batch-connection", body(10), "Prefer", "respond-async", "Idempotency-Key", "k"); a.Status != http.StatusAccepted {
		t.Errorf("ten more: %d %s", a.Status, a.Body)
	}
	s.Must(http.MethodPost, "/batch-connections/"+first+"/cancel", nil)
	system.Eventually(t, system.WaitForServers, "there is room again", func() bool {
		return s.Must(http.MethodPost, "/jobs/batch-connection", body(20), async...).Status == http.StatusAccepted
	})
	s.StartWorker()
	if r, _ := s.Test(good); !r.Results[0].OK() {
		t.Errorf("a caller who waits: %+v", r)
	}
}
