package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"dialtone/test/system"
)

// TestRedisThatLosesEverything: nine of ten tests are still on the queue when
// Redis forgets it. Nothing but the Relay can know of them.
func TestRedisThatLosesEverything(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Env: []string{
		"DIALTONE_JOBS=any", "DIALTONE_WORKER_CONCURRENCY=1", "DIALTONE_PROBE_TIMEOUT=1s", "DIALTONE_CONNECT_TIMEOUT=500ms", "DIALTONE_WORKER_ATTEMPTS=1",
		"DIALTONE_WAIT=30s",
	}})
	pit := system.Tarpit(t)
	var entries []system.Entry
	for i := range 10 {
		entries = append(entries, system.MariaDB(t, "dt_native").At(t, pit).Elsewhere(t).With(system.Entry{"id": fmt.Sprintf("job-%d", i)}))
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
	system.Eventually(t, system.WaitForServers, "one test runs", func() bool { return running(s) == 1 })
	s.FlushRedis()
	r := <-answered
	if r.err != nil || r.a.Status != http.StatusOK {
		t.Fatalf("answer %d %s %v", r.a.Status, r.a.Body, r.err)
	}
	d := detail(s, r.a.Header.Get("X-Batch-Id"))
	if d.FinishedAt == nil || d.FinishedAt.After(d.Deadline) {
		t.Errorf("finished at %v, deadline %s", d.FinishedAt, d.Deadline)
	}
	for i, test := range d.tests() {
		if test.Report.Code != "timeout_no_reply" || test.Probes != 1 {
			t.Errorf("entry %d: %s after %d probes, want timeout_no_reply after one", i, test.Report.Code, test.Probes)
		}
	}
}
