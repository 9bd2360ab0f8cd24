package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"dialtone/test/system"
)

// reply is what a call in the background came to.
type reply struct {
	a   system.Answer
	err error
}

// call makes a test call in the background.
func call(ctx context.Context, s *system.System, body any, header ...string) <-chan reply {
	answered := make(chan reply, 1)
	go func() {
		a, err := s.Call(ctx, http.MethodPost, "/jobs/batch-connection", body, header...)
		answered <- reply{a, err}
	}()
	return answered
}

// again wants the answer of the first once more.
func again(t *testing.T, first, second system.Answer) {
	t.Helper()
	if second.Status != first.Status || !bytes.Equal(second.Body, first.Body) || second.Header.Get("X-Batch-Id") != first.Header.Get("X-Batch-Id") {
		t.Errorf("answered with %d %s %s, want again %d %s %s", second.Status, second.Body, second.Header.Get("X-Batch-Id"),
			first.Status, first.Body, first.Header.Get("X-Batch-Id"))
	}
	if second.Header.Get("Idempotent-Replayed") != "true" || first.Header.Get("Idempotent-Replayed") != "" {
		t.Errorf("Idempotent-Replayed: %q, then %q", first.Header.Get("Idempotent-Replayed"), second.Header.Get("Idempotent-Replayed"))
	}
}

// TestOnce: whichever api a request is sent to again, and whether or not the
// first lives, the endpoint is logged in to once.
func TestOnce(t *testing.T) {
	t.Parallel()
	one := system.Start(t, system.Options{Env: []string{"DIALTONE_JOBS=any"}})
	other := one.OtherAPI()
	gate := system.NewGate(t, system.Need(t, "DIALTONE_TEST_MARIADB_ADDR"))
	entry := system.MariaDB(t, "dt_native").At(t, gate.Addr)
	body := map[string]any{"jobs": []system.Entry{entry}}

	for name, more := range map[string][]string{"sync": nil, "async": {"Prefer", "respond-async"}} {
		header := append([]string{"Idempotency-Key", "plain-" + name}, more...)
		before := gate.Logins()
		first := one.Must(http.MethodPost, "/jobs/batch-connection", body, header...)
		if first.Status/100 != 2 {
			t.Fatalf("%s: %d %s", name, first.Status, first.Body)
		}
		done(one, 20*time.Second, first.Header.Get("X-Batch-Id"))
		again(t, first, other.Must(http.MethodPost, "/jobs/batch-connection", body, header...))
		again(t, first, one.Must(http.MethodPost, "/jobs/batch-connection", body, header...))
		if n := gate.Logins() - before; n != 1 {
			t.Errorf("%s: %d logins, want 1", name, n)
		}
		changed := map[string]any{"jobs": []system.Entry{entry.With(system.Entry{"db_password": "another"})}}
		refused(t, other.Must(http.MethodPost, "/jobs/batch-connection", changed, header...), http.StatusUnprocessableEntity, "DRS.M00202", "Idempotency-Key")
	}

	// Both at once, through both: one tests, the other is told to wait.
	before := gate.Logins()
	gate.HoldGreetings(1)
	ctx := context.Background()
	first := call(ctx, one, body, "Idempotency-Key", "race")
	system.Eventually(t, system.WaitForServers, "the first is under way", func() bool { return gate.Waiting() == 1 })
	a := other.Must(http.MethodPost, "/jobs/batch-connection", body, "Idempotency-Key", "race")
	if refused(t, a, http.StatusConflict, "DRS.M01503"); a.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After: %q", a.Header.Get("Retry-After"))
	}
	gate.Release()
	r := <-first
	if r.err != nil || r.a.Status != http.StatusOK {
		t.Fatalf("first: %d %s %v", r.a.Status, r.a.Body, r.err)
	}
	again(t, r.a, other.Must(http.MethodPost, "/jobs/batch-connection", body, "Idempotency-Key", "race"))
	if n := gate.Logins() - before; n != 1 {
		t.Errorf("%d logins for two at once, want 1", n)
	}
	if n := other.API.Metric(t, `dialtone_http_repeated_requests_total{outcome="stored"}`); n != 3 {
		t.Errorf("the other api counts %v replays, want 3", n)
	}
}

// TestOnceThoughTheAPIDies: an api is killed while its caller waits; the retry,
// through another, gets the same batch.
func TestOnceThoughTheAPIDies(t *testing.T) {
	t.Parallel()
	one := system.Start(t, system.Options{Env: []string{"DIALTONE_JOBS=any"}})
	other := one.OtherAPI()
	gate := system.NewGate(t, system.Need(t, "DIALTONE_TEST_MARIADB_ADDR"))
	gate.HoldGreetings(1)
	body := map[string]any{"jobs": []system.Entry{system.MariaDB(t, "dt_native").At(t, gate.Addr)}}
	first := call(context.Background(), one, body, "Idempotency-Key", "k")
	system.Eventually(t, system.WaitForServers, "the test is under way", func() bool { return gate.Waiting() == 1 })
	id := list(other, "?state=running").ids()[0]

	one.API.Kill()
	if r := <-first; r.err == nil {
		t.Fatalf("the killed api answered with %d", r.a.Status)
	}
	var second <-chan reply
	conflicts := 0
	system.Eventually(t, 20*time.Second, "the dead api's hold is over", func() bool {
		second = call(context.Background(), other, body, "Idempotency-Key", "k")
		select {
		case r := <-second:
			if r.err != nil || r.a.Status != http.StatusConflict {
				t.Fatalf("the retry: %d %s %v", r.a.Status, r.a.Body, r.err)
			}
			conflicts++
			time.Sleep(100 * time.Millisecond) // as a client would that heeds Retry-After
			return false
		case <-time.After(500 * time.Millisecond):
			return true // it waits
		}
	})
	gate.Release()
	r := <-second
	if r.err != nil || r.a.Status != http.StatusOK || r.a.Header.Get("X-Batch-Id") != id || r.a.Header.Get("Idempotent-Replayed") != "true" {
		t.Fatalf("the retry: %d %s %v %v, want batch %s", r.a.Status, r.a.Body, r.a.Header, r.err, id)
	}
	var results system.Results
	r.a.Decode(t, &results)
	if len(results.Results) != 1 || !results.Results[0].OK() {
		t.Errorf("results %+v", results)
	}
	if n, batches := gate.Logins(), stored(t, other)["batches"]; n != 1 || batches != 1 {
		t.Errorf("%d logins and %d batches after %d conflicts, want one of each", n, batches, conflicts)
	}
}

// TestOnceThoughTheCallerHungUp: a client's time is up before the batch is
// done; its retry gets the same batch, at once.
func TestOnceThoughTheCallerHungUp(t *testing.T) {
	t.Parallel()
	u := up(t, filepath.Join(t.TempDir(), "data"), nil, own("--any-job")...)
	gate := system.NewGate(t, system.Need(t, "DIALTONE_TEST_MARIADB_ADDR"))
	gate.HoldGreetings(1)
	body := map[string]any{"jobs": []system.Entry{system.MariaDB(t, "dt_native").At(t, gate.Addr)}}
	ctx, hangUp := context.WithCancel(t.Context())
	first := call(ctx, u.System, body, "Idempotency-Key", "k")
	system.Eventually(t, system.WaitForServers, "the test is under way", func() bool { return gate.Waiting() == 1 })
	hangUp()
	<-first
	gate.Release()
	var a system.Answer
	system.Eventually(t, 20*time.Second, "the retry is answered", func() bool {
		a = u.Must(http.MethodPost, "/jobs/batch-connection", body, "Idempotency-Key", "k")
		return a.Status != http.StatusConflict
	})
	if all := list(u.System, "").ids(); a.Status != http.StatusOK || len(all) != 1 || a.Header.Get("X-Batch-Id") != all[0] {
		t.Errorf("the retry: %d %s, batch %s of %v", a.Status, a.Body, a.Header.Get("X-Batch-Id"), all)
	}
	if n := gate.Logins(); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
}

// TestCancelAnswersWhoWaits: the caller of a batch that somebody else cancels,
// through another api, gets what there is at once.
func TestCancelAnswersWhoWaits(t *testing.T) {
	t.Parallel()
	one := system.Start(t, system.Options{Env: []string{"DIALTONE_JOBS=any", "DIALTONE_WORKER_CONCURRENCY=2"}})
	other := one.OtherAPI()
	pit := system.NewPit(t)
	good := system.MariaDB(t, "dt_native")
	entries := []system.Entry{good.With(system.Entry{"id": "ok"})}
	for i := range 4 { // two of them run, two wait for a place
		entries = append(entries, good.At(t, pit.Addr).With(system.Entry{"id": fmt.Sprintf("pit-%d", i), "db_user": fmt.Sprintf("dt_%d", i)}))
	}
	waiting := call(context.Background(), one, map[string]any{"jobs": entries})
	system.Eventually(t, system.WaitForServers, "two probes hang, one is over", func() bool {
		ids := list(other, "?state=running").ids()
		return len(ids) == 1 && pit.Open() == 2 && detail(other, ids[0]).Open == 4
	})
	began := time.Now()
	id := list(other, "?state=running").ids()[0]
	if a := other.Must(http.MethodPost, "/batch-connections/"+id+"/cancel", nil); a.Status != http.StatusOK {
		t.Fatalf("cancel: %d %s", a.Status, a.Body)
	}
	r := <-waiting
	took := time.Since(began)
	if r.err != nil || r.a.Status != http.StatusOK {
		t.Fatalf("the caller got %d %s %v", r.a.Status, r.a.Body, r.err)
	}
	var results system.Results
	r.a.Decode(t, &results)
	for i, result := range results.Results {
		if i == 0 != result.OK() || i > 0 && result.ErrorCode != "DRS.DT9104" {
			t.Errorf("entry %d: %+v", i, result)
		}
	}
	system.Eventually(t, system.WaitForServers, "the probes' connections are closed", func() bool { return pit.Open() == 0 })
	t.Logf("the caller was answered after %v, the connections closed after %v", took, time.Since(began))
	if took > 2*time.Second || time.Since(began) > 3*time.Second {
		t.Errorf("answered after %v, connections closed after %v", took, time.Since(began))
	}
	if pit.Ever() != 2 {
		t.Errorf("%d probes were begun, want the two that ran", pit.Ever())
	}
	if n := other.API.Metric(t, `dialtone_tests_swept_total{what="cancelled"}`); n != 4 {
		t.Errorf("%v tests counted as cancelled, want 4", n)
	}
}

// TestRetention: two workers remove what is old, once.
func TestRetention(t *testing.T) {
	t.Parallel()
	s := system.Prepare(t, system.Options{Env: []string{"DIALTONE_JOBS=any", "DIALTONE_RETENTION=48h"}})
	s.StartAPI()
	s.StartWorker()
	s.StartWorker()
	good := system.MariaDB(t, "dt_native")
	old := later(s, good.With(system.Entry{"id": "a"}), good.With(system.Entry{"id": "b"}))
	keyed := s.Must(http.MethodPost, "/jobs/batch-connection", map[string]any{"jobs": []system.Entry{good}}, "Idempotency-Key", "k")
	done(s, 20*time.Second, old)

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, statement := range []string{
		"update batches set finished_at = finished_at - interval '49 hours' where id = '" + old + "'",
		"update request_keys set created_at = created_at - interval '25 hours'",
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	system.Eventually(t, 90*time.Second, "what is old is gone", func() bool {
		a := s.Must(http.MethodGet, "/batch-connections/"+old, nil)
		return a.Status == http.StatusNotFound
	})
	if counts := stored(t, s); counts["batches"] != 1 || counts["tests"] != 1 || counts["batch_jobs"] != 1 {
		t.Errorf("left: %v, want the one batch that is not old", counts)
	}
	detail(s, keyed.Header.Get("X-Batch-Id"))
	system.Eventually(t, 20*time.Second, "the old key is gone", func() bool {
		var n int
		if err := conn.QueryRow(t.Context(), "select count(*) from request_keys").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 0
	})
	removed := map[string]float64{}
	for _, w := range s.Workers {
		for _, what := range []string{"batches", "tests", "keys"} {
			removed[what] += w.Metric(t, `dialtone_rows_removed_total{what="`+what+`"}`)
		}
	}
	if removed["batches"] != 1 || removed["tests"] != 2 || removed["keys"] != 1 {
		t.Errorf("the workers count %v", removed)
	}
}
