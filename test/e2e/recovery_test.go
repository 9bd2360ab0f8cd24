package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"dialtone/test/system"
)

// TestTarpitsHoldNobodyUp: nine tarpits and one healthy entry in last place,
// once alone and then twenty such batches at once.
func TestTarpitsHoldNobodyUp(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Workers: 2, Env: []string{"DIALTONE_JOBS=any", "DIALTONE_PROBE_TIMEOUT=3s", "DIALTONE_CONNECT_TIMEOUT=1s"}})
	// Entries of one endpoint would wait for each other: each has its own.
	entries := func() []system.Entry {
		var list []system.Entry
		for i := range 9 {
			list = append(list, system.MariaDB(t, "dt_native").At(t, system.Tarpit(t)).With(system.Entry{"id": fmt.Sprintf("job-%d", i)}))
		}
		return append(list, system.MariaDB(t, "dt_native").Elsewhere(t).With(system.Entry{"id": "job-9"}))
	}

	check := func(id string) {
		tests := detail(s, id).tests()
		healthy := tests[9]
		if healthy.Report.Code != "ok" {
			t.Errorf("batch %s: the healthy entry is %s", id, healthy.Report.Code)
		}
		for _, pit := range tests[:9] {
			if pit.Report.Code != "timeout_no_reply" {
				t.Errorf("batch %s: a tarpit is %s", id, pit.Report.Code)
			}
			if !healthy.FinishedAt.Before(*pit.FinishedAt) {
				t.Errorf("batch %s: healthy finished at %s, a tarpit at %s", id, healthy.FinishedAt, pit.FinishedAt)
			}
		}
	}
	_, id := s.Test(entries()...)
	check(id)

	var wg sync.WaitGroup
	ids := make([]string, 20)
	for i := range ids {
		list := entries()
		wg.Go(func() {
			a, err := s.Call(t.Context(), http.MethodPost, "/jobs/batch-connection", map[string]any{"jobs": list})
			if err != nil || a.Status != http.StatusOK {
				t.Errorf("batch %d of twenty at once: %d %s %v", i, a.Status, a.Body, err)
				return
			}
			ids[i] = a.Header.Get("X-Batch-Id")
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != "" {
			check(id)
		}
	}
}

// TestEveryTestGoesThroughRedis: asynq's own counters equal the number of
// tests, and of four workers each made probes.
func TestEveryTestGoesThroughRedis(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Workers: 4, Env: []string{"DIALTONE_JOBS=any"}})
	const batches, size = 12, 10
	var wg sync.WaitGroup
	ids := make([]string, batches)
	for i := range ids {
		var entries []system.Entry
		for k := range size { // none may wait for another, or be its like
			entries = append(entries, system.MariaDB(t, "dt_native").Elsewhere(t).With(system.Entry{"id": fmt.Sprintf("job-%d", k)}))
		}
		wg.Go(func() {
			a, err := s.Call(t.Context(), http.MethodPost, "/jobs/batch-connection", map[string]any{"jobs": entries})
			if err != nil || a.Status != http.StatusOK {
				t.Errorf("batch %d: %d %v", i, a.Status, err)
				return
			}
			ids[i] = a.Header.Get("X-Batch-Id")
		})
	}
	wg.Wait()
	made := map[string]int{}
	for _, id := range ids {
		for _, test := range detail(s, id).tests() {
			if test.Report.Code != "ok" {
				t.Errorf("%s: %s", test.ID, test.Report.Code)
			}
			made[test.Worker]++
		}
	}
	if len(made) != 4 {
		t.Errorf("probes by worker: %v, want four workers", made)
	}
	system.Eventually(t, 10*time.Second, "asynq has counted every task", func() bool { return s.Processed() >= batches*size })
	if got := s.Processed(); got != batches*size {
		t.Errorf("asynq processed %d tasks, want %d", got, batches*size)
	}
}

// TestDeadWorkerAndLostRedis: a worker is killed in mid-probe, Redis loses
// everything, and the batch is complete within its deadline all the same.
func TestDeadWorkerAndLostRedis(t *testing.T) {
	t.Parallel()
	env := []string{"DIALTONE_JOBS=any", "DIALTONE_PROBE_TIMEOUT=3s", "DIALTONE_CONNECT_TIMEOUT=1s"}
	s := system.Start(t, system.Options{Workers: 1, Env: env})
	pit := system.Tarpit(t)
	gate := system.NewGate(t, system.Need(t, "DIALTONE_TEST_MARIADB_ADDR"))
	gate.HoldGreetings(5) // or some would have been in mid-login
	var entries []system.Entry
	for i := range 10 {
		e := system.MariaDB(t, "dt_native").With(system.Entry{"id": fmt.Sprintf("job-%d", i)}).At(t, gate.Addr)
		if i < 5 {
			e = e.At(t, pit)
		}
		entries = append(entries, e.Elsewhere(t))
	}
	type reply struct {
		a   system.Answer
		err error
	}
	answered := make(chan reply, 1)
	go func() {
		a, err := s.Call(context.Background(), http.MethodPost, "/jobs/batch-connection", map[string]any{"jobs": entries})
		answered <- reply{a, err}
	}()
	first := s.Workers[0]
	system.Eventually(t, system.WaitForServers, "all are being probed", func() bool { return running(s) == 10 && gate.Waiting() == 5 })
	first.Kill()
	gate.Release()
	s.FlushRedis()
	s.StartWorker()
	r := <-answered
	if r.err != nil || r.a.Status != http.StatusOK {
		t.Fatalf("answer %d %s %v", r.a.Status, r.a.Body, r.err)
	}
	d := detail(s, r.a.Header.Get("X-Batch-Id"))
	if d.State != "done" || d.FinishedAt == nil || d.FinishedAt.After(d.Deadline) {
		t.Errorf("batch %s finished at %v, deadline %s", d.State, d.FinishedAt, d.Deadline)
	}
	for i, test := range d.tests() {
		want := "ok"
		if i < 5 {
			want = "timeout_no_reply"
		}
		if test.Report.Code != want {
			t.Errorf("entry %d: %s, want %s", i, test.Report.Code, want)
		}
	}
	if n := gate.Logins(); n != 5 {
		t.Errorf("%d logins for five tests", n)
	}
}

// running counts the tests that are claimed and not finished.
func running(s *system.System) int {
	s.T.Helper()
	a := s.Must(http.MethodGet, "/batch-connections?state=running", nil)
	var page struct {
		Batches []struct {
			ID string `json:"id"`
		} `json:"batches"`
	}
	a.Decode(s.T, &page)
	n := 0
	for _, b := range page.Batches {
		for _, test := range detail(s, b.ID).tests() {
			if test.State == "running" {
				n++
			}
		}
	}
	return n
}

// TestCallerThatGoesAwayDoesNotStopItsBatch: the connection is cut in mid-wait.
func TestCallerThatGoesAwayDoesNotStopItsBatch(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Env: []string{"DIALTONE_JOBS=any", "DIALTONE_PROBE_TIMEOUT=2s", "DIALTONE_CONNECT_TIMEOUT=1s"}})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = s.Call(ctx, http.MethodPost, "/jobs/batch-connection", map[string]any{
			"jobs": []system.Entry{system.MariaDB(t, "dt_native").At(t, system.Tarpit(t))},
		})
	}()
	system.Eventually(t, system.WaitForServers, "the test runs", func() bool { return running(s) == 1 })
	cancel()
	<-gone
	system.Eventually(t, 20*time.Second, "the batch is done", func() bool {
		a := s.Must(http.MethodGet, "/batch-connections?state=done", nil)
		var page struct {
			Batches []struct{ State string } `json:"batches"`
		}
		a.Decode(t, &page)
		return len(page.Batches) == 1
	})
}

// TestGracefulStop: a worker that is told to stop hands its probes back, and
// another one makes them.
func TestGracefulStop(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Workers: 1, Env: []string{"DIALTONE_JOBS=any", "DIALTONE_PROBE_TIMEOUT=6s", "DIALTONE_CONNECT_TIMEOUT=1s"}})
	a := s.Must(http.MethodPost, "/jobs/batch-connection", map[string]any{
		"jobs": []system.Entry{system.MariaDB(t, "dt_native").At(t, system.Tarpit(t))},
	}, "Prefer", "respond-async")
	if a.Status != http.StatusAccepted || a.Header.Get("Location") == "" {
		t.Fatalf("async: %d %s", a.Status, a.Body)
	}
	id := a.Header.Get("X-Batch-Id")
	system.Eventually(t, system.WaitForServers, "the test runs", func() bool { return running(s) == 1 })
	began := time.Now()
	s.Workers[0].Stop(t)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the stop took %s: the probe was waited for instead of handed back", took)
	}
	if got := detail(s, id).tests()[0]; got.State == "done" || got.Probes != 0 {
		t.Errorf("after the stop the test is %s with %d probes, want it handed back and not counted", got.State, got.Probes)
	}
	s.StartWorker()
	system.Eventually(t, 30*time.Second, "the other worker has made the probe", func() bool { return detail(s, id).State == "done" })
	if got := detail(s, id).tests()[0].Report.Code; got != "timeout_no_reply" {
		t.Errorf("verdict %s, want timeout_no_reply", got)
	}
}
