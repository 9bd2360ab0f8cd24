package e2e_test

import (
	"context"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"dialtone/test/system"
)

// short are time limits for tests that wait for them to pass.
func short() []string {
	return []string{"DIALTONE_JOBS=any", "DIALTONE_PROBE_TIMEOUT=2s", "DIALTONE_CONNECT_TIMEOUT=1s", "DIALTONE_LEASE_SLACK=500ms"}
}

// TestQueueAway: a batch is accepted while there is no Redis, and answered to
// who waits for it once there is.
func TestQueueAway(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Workers: 2, Env: short()})
	good := system.MariaDB(t, "dt_native")
	s.Redis.Cut()
	type reply struct {
		a   system.Answer
		err error
	}
	answered := make(chan reply, 1)
	go func() {
		a, err := s.Call(context.Background(), http.MethodPost, "/jobs/batch-connection", map[string]any{"jobs": []any{good, good.With(system.Entry{"id": "b"})}})
		answered <- reply{a, err}
	}()
	id := later(s, good.With(system.Entry{"id": "c"}))
	system.Eventually(t, system.WaitForServers, "both batches are accepted", func() bool { return len(list(s, "?state=running").Batches) == 2 })
	system.Eventually(t, system.WaitForServers, "the api says that it is not ready", func() bool { return !s.API.Ready() })
	s.Redis.Mend()
	mended := time.Now()
	select {
	case r := <-answered:
		var results system.Results
		if r.err != nil || r.a.Status != http.StatusOK {
			t.Fatalf("answered with %d %s %v", r.a.Status, r.a.Body, r.err)
		}
		r.a.Decode(t, &results)
		for i, result := range results.Results {
			if !result.OK() {
				t.Errorf("entry %d: %+v", i, result)
			}
		}
	case <-time.After(30 * time.Second):
		t.Fatal("no answer within 30 s of Redis' return")
	}
	if took := time.Since(mended); took > 10*time.Second {
		t.Errorf("answered %s after Redis' return", took)
	}
	if d := done(s, system.WaitForServers, id); d.tests()[0].Report.Code != "ok" || d.tests()[0].Probes != 1 {
		t.Errorf("the batch that nobody waited for: %+v", d.tests()[0])
	}
}

// TestPausedWorkerNeverLogsInLate: a worker that sleeps through its lease while
// it waits for the server's greeting, and gets it when somebody else has the
// test, sends no login.
func TestPausedWorkerNeverLogsInLate(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Env: short()})
	gate := system.NewGate(t, system.Need(t, "DIALTONE_TEST_MARIADB_ADDR"))
	gate.HoldGreetings(1)
	first := s.Workers[0]
	id := later(s, system.MariaDB(t, "dt_native").At(t, gate.Addr))
	system.Eventually(t, system.WaitForServers, "the first worker waits for the greeting", func() bool { return gate.Waiting() == 1 })
	first.Signal(syscall.SIGSTOP)

	s.StartWorker()
	got := done(s, 20*time.Second, id).tests()[0]
	if got.Report.Code != "ok" || got.Probes != 2 {
		t.Errorf("the second worker's probe: %s with %d probes, want ok with 2", got.Report.Code, got.Probes)
	}
	if n := gate.Logins(); n != 1 {
		t.Fatalf("%d logins before the first worker wakes up, want 1", n)
	}
	gate.Release()
	system.Eventually(t, system.WaitForServers, "its greeting lies ready", func() bool { return gate.Waiting() == 0 })
	first.Signal(syscall.SIGCONT)
	system.Eventually(t, system.WaitForServers, "the first worker has settled its probe", func() bool { return first.Metric(t, "dialtone_probes_in_flight") == 0 })
	first.Stop(t)
	if n, opened := gate.Logins(), gate.Opened(); n != 1 || opened != 2 {
		t.Errorf("%d logins on %d connections, want 1 on 2", n, opened)
	}
	if after := done(s, time.Second, id).tests()[0]; after.Worker != got.Worker || after.Report.Code != "ok" {
		t.Errorf("the first worker had a word in it: %+v", after)
	}
}

// TestKilledAfterTheLoginMark: what became of a login that a dead worker sent
// is not known, so it is answered as interrupted, and not tried again.
func TestKilledAfterTheLoginMark(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Env: short()})
	gate := system.NewGate(t, system.Need(t, "DIALTONE_TEST_MARIADB_ADDR"))
	gate.HoldLogins(1)
	id := later(s, system.MariaDB(t, "dt_native").At(t, gate.Addr))
	system.Eventually(t, system.WaitForServers, "the login was sent", func() bool { return gate.Logins() == 1 })
	if got := detail(s, id).tests()[0]; got.LoginAt == nil || got.State != "running" {
		t.Errorf("a login left while the store says: %s, login at %v", got.State, got.LoginAt)
	}
	s.Workers[0].Kill()
	s.StartWorker()
	got := done(s, 20*time.Second, id).tests()[0]
	if got.Report.Code != "interrupted" || got.Report.Owner != "service" || !got.Report.LoginSent {
		t.Errorf("the verdict is %+v", got.Report)
	}
	// The second worker is alive and well, and leaves this test alone.
	if r, _ := s.Test(system.MariaDB(t, "dt_native")); !r.Results[0].OK() {
		t.Errorf("another test: %+v", r.Results[0])
	}
	if n := gate.Logins(); n != 1 || gate.Opened() != 1 {
		t.Errorf("%d logins on %d connections, want one of each", n, gate.Opened())
	}
}

// TestCancel: a running batch ends within about a second, its connections too.
func TestCancel(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Env: []string{"DIALTONE_JOBS=any"}})
	pit := system.NewPit(t)
	good := system.MariaDB(t, "dt_native")
	id := later(s, good.At(t, pit.Addr), good.With(system.Entry{"id": "b"}).At(t, pit.Addr).Elsewhere(t), good.With(system.Entry{"id": "c"}))
	system.Eventually(t, system.WaitForServers, "two probes hang, one is over", func() bool { return pit.Open() == 2 && detail(s, id).Open == 2 })

	began := time.Now()
	a := s.Must(http.MethodPost, "/batch-connections/"+id+"/cancel", nil)
	if a.Status != http.StatusOK {
		t.Fatalf("cancel: %d %s", a.Status, a.Body)
	}
	var d batchDetail
	a.Decode(t, &d)
	system.Eventually(t, system.WaitForServers, "the probes' connections are closed", func() bool { return pit.Open() == 0 })
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the probes went on for %s", took)
	}
	check := func(d batchDetail) {
		t.Helper()
		if d.State != "done" || d.Open != 0 {
			t.Errorf("the batch is %s with %d open", d.State, d.Open)
		}
		for i, want := range []string{"cancelled", "cancelled", "ok"} {
			if got := d.tests()[i]; got.Report.Code != want || got.FinishedAt == nil {
				t.Errorf("test %d: %s, want %s", i, got.Report.Code, want)
			}
		}
	}
	check(d)
	again := s.Must(http.MethodPost, "/batch-connections/"+id+"/cancel", nil)
	again.Decode(t, &d)
	check(d)
	system.Eventually(t, system.WaitForServers, "the worker has nothing left", func() bool {
		return s.Workers[0].Metric(t, "dialtone_probes_in_flight") == 0
	})
	check(detail(s, id))
}

// TestWaitEnds: what is unfinished when the wait ends is answered as a failure
// of the service, in the answer and in the store alike.
func TestWaitEnds(t *testing.T) {
	t.Parallel()
	// One probe at a time, of which the wait sees the end of one.
	s := system.Start(t, system.Options{Env: []string{
		"DIALTONE_JOBS=any", "DIALTONE_WORKER_CONCURRENCY=1", "DIALTONE_CONNECT_TIMEOUT=500ms", "DIALTONE_PROBE_TIMEOUT=2500ms",
		"DIALTONE_LEASE_SLACK=100ms", "DIALTONE_TASK_SLACK=1s", "DIALTONE_WAIT=4400ms",
	}})
	pit := system.NewPit(t)
	var entries []system.Entry
	for _, id := range []string{"a", "b", "c", "d"} {
		entries = append(entries, system.MariaDB(t, "dt_native").At(t, pit.Addr).Elsewhere(t).With(system.Entry{"id": id}))
	}
	began := time.Now()
	r, id := s.Test(entries...)
	if took := time.Since(began); took < 4*time.Second || took > 8*time.Second {
		t.Errorf("answered after %s, want about 4.4 s", took)
	}
	d := detail(s, id)
	if d.State != "done" || d.Open != 0 {
		t.Errorf("the batch is %s with %d open", d.State, d.Open)
	}
	late := map[string]int{}
	for i, test := range d.tests() {
		result := r.Results[i]
		if result.OK() || result.ErrorMsg == "" {
			t.Errorf("entry %d: %+v", i, result)
		}
		switch test.Report.Code {
		case "timeout_no_reply":
		case "deadline_exceeded":
			if result.ErrorCode != "DRS.DT9101" || test.Report.Owner != "service" || test.Report.LoginSent {
				t.Errorf("entry %d: %+v %+v", i, result, test.Report)
			}
			if test.StartedAt == nil {
				late["queued"]++
			} else {
				late["running"]++
			}
		default:
			t.Errorf("entry %d: %s", i, test.Report.Code)
		}
	}
	// The third may have been begun in the last millisecond.
	if late["queued"] < 1 || late["running"] < 1 || late["queued"]+late["running"] != 3 {
		t.Errorf("unfinished at the end of the wait: %v, want three, one of them running", late)
	}
	system.Eventually(t, system.WaitForServers, "the probe under way is dropped", func() bool { return pit.Open() == 0 })
	if ever := pit.Ever(); ever > 1+late["running"] {
		t.Errorf("%d connections, want none after the end", ever)
	}
	if strings.Contains(s.API.Output(), `"level":"ERROR"`) {
		t.Error("the api logged an error")
	}
}
