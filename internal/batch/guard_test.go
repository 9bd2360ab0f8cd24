package batch_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

// alike stores a batch of n tests of one endpoint and account; change may alter
// each target before.
func (b *bench) alike(n int, change func(i int, t *probe.Target)) (string, []batch.Task) {
	b.Helper()
	id := batch.NewID()
	var tests []batch.Test
	var tasks []batch.Task
	for i := range n {
		test := batch.Test{
			ID: batch.NewID(), BatchID: id, Project: "p", Entry: i, JobID: "j", EndPointType: "so", Network: "eip", Attempt: 1,
			Target: oneEndpoint().Target("p", probe.VerifyCA),
		}
		change(i, &test.Target)
		tests = append(tests, test)
		tasks = append(tasks, batch.Task{TestID: test.ID, Attempt: 1, Lane: batch.Interactive, Network: "eip"})
	}
	if _, err := b.store.Create(b.Context(), batch.Batch{ID: id, Project: "p", Call: "connection", Lane: batch.Interactive, Entries: n, Timeout: time.Minute}, tests); err != nil {
		b.Fatal(err)
	}
	return id, tasks
}

// work handles tasks, and what becomes of them, as a queue with workers does,
// until the batch is done.
func (b *bench) work(id string, tasks []batch.Task) []batch.Test {
	b.Helper()
	done := 0 // of the tasks put back
	for deadline := time.Now().Add(20 * time.Second); ; {
		var handling sync.WaitGroup
		for _, task := range tasks {
			handling.Go(func() {
				if err := b.worker.Handle(b.Context(), task); err != nil {
					b.Error(err)
				}
			})
		}
		handling.Wait()
		whole, tests, err := b.store.Batch(b.Context(), "p", id)
		if err != nil {
			b.Fatal(err)
		}
		if whole.State() == batch.Done {
			return tests
		}
		if time.Now().After(deadline) {
			b.Fatalf("%d tests are still open", whole.Open)
		}
		b.queue.mu.Lock()
		tasks = b.queue.tasks[done:]
		done = len(b.queue.tasks)
		b.queue.mu.Unlock()
		if len(tasks) == 0 {
			time.Sleep(5 * time.Millisecond) // a poll
			if tasks, err = b.store.Strays(b.Context(), time.Millisecond, 100); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// refusing is a server that refuses every login, counts them, and sees whether
// two come at once.
type refusing struct {
	code probe.Code

	mu                sync.Mutex
	logins, now, most int
}

func (r *refusing) enter() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logins++
	r.now++
	r.most = max(r.most, r.now)
}

func (r *refusing) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now--
}

func (r *refusing) run(ctx context.Context, t probe.Target) (probe.Report, error) {
	if err := t.BeforeLogin(ctx); err != nil {
		return probe.Report{}, err
	}
	r.enter()
	defer r.leave()
	time.Sleep(2 * time.Millisecond) // a server takes its time
	return probe.Report{Code: r.code, Phase: probe.PhaseLogin, LoginSent: true, StartedAt: time.Now()}, nil
}

func TestAWrongPasswordIsSentOnce(t *testing.T) {
	t.Parallel()
	b, server := newBench(t, batch.WorkerConfig{}), &refusing{code: probe.CodeAuthFailed}
	b.prober.run = server.run
	id, tasks := b.alike(20, func(int, *probe.Target) {})
	before := time.Now()
	suppressed := 0
	for _, test := range b.work(id, tasks) {
		if test.Report.Code == probe.CodeAuthFailed {
			continue
		}
		suppressed++
		facts := test.Report.Evidence.Facts
		at, err := time.Parse(time.RFC3339, facts["retry_at"])
		if test.Report.Code != probe.CodeLoginSuppressed || test.Report.LoginSent || test.LoginAt != nil ||
			facts["rule"] != "same_credential" || facts["earlier_reason"] != "auth_failed" || err != nil || at.Sub(before) < 29*time.Second || at.Sub(before) > time.Minute {
			t.Errorf("report %+v", test.Report)
		}
	}
	if server.logins != 1 || suppressed != 19 {
		t.Errorf("%d logins, %d suppressed; want 1, 19", server.logins, suppressed)
	}
}

func TestAnAccountIsRefusedThreeTimes(t *testing.T) {
	t.Parallel()
	b, server := newBench(t, batch.WorkerConfig{}), &refusing{code: probe.CodeAuthFailed}
	b.prober.run = server.run
	id, tasks := b.alike(10, func(_ int, t *probe.Target) { t.Password = secret.New(batch.NewID()) })
	waited := false
	for _, test := range b.work(id, tasks) {
		waited = waited || test.Report.Waits.SlotMS > 0
		if test.Report.Code == probe.CodeLoginSuppressed && test.Report.Evidence.Facts["rule"] != "too_many_refused" {
			t.Errorf("report %+v", test.Report)
		}
	}
	if server.logins != 3 || server.most != 1 || !waited {
		t.Errorf("%d logins, %d at once, somebody waited: %v; want 3, 1, true", server.logins, server.most, waited)
	}
}

func TestAnEndpointSeesTwoProbesAtOnce(t *testing.T) {
	t.Parallel()
	b, server := newBench(t, batch.WorkerConfig{}), &refusing{code: probe.CodeOK}
	b.prober.run = server.run
	id, tasks := b.alike(12, func(_ int, t *probe.Target) { t.User = batch.NewID() })
	for _, test := range b.work(id, tasks) {
		if !test.Report.OK() || test.Probes != 1 {
			t.Errorf("report %+v after %d probes", test.Report, test.Probes)
		}
	}
	if server.logins != 12 || server.most > 2 {
		t.Errorf("%d logins, up to %d at once; want 12, at most 2", server.logins, server.most)
	}
}

func TestAFullEndpointRests(t *testing.T) {
	t.Parallel()
	const rest = 300 * time.Millisecond
	b := newBench(t, batch.WorkerConfig{Rest: rest, Backoff: []time.Duration{time.Millisecond}})
	var full atomic.Bool
	var since atomic.Int64
	b.prober.run = func(context.Context, probe.Target) (probe.Report, error) {
		if full.CompareAndSwap(false, true) {
			since.Store(time.Now().UnixNano())
			return probe.Report{Code: probe.CodeTooManyConnections, Phase: probe.PhaseProtocol, StartedAt: time.Now()}, nil
		}
		if rested := time.Since(time.Unix(0, since.Load())); rested < rest-20*time.Millisecond {
			t.Errorf("probed again after %v", rested)
		}
		return probe.Report{Code: probe.CodeOK, StartedAt: time.Now()}, nil
	}
	id, tasks := b.alike(1, func(int, *probe.Target) {})
	if got := b.work(id, tasks)[0].Report; !got.OK() || got.Attempts != 2 || got.Waits.SlotMS <= 0 {
		t.Errorf("report %+v", got)
	}
}

func TestSameEntriesAreTestedOnceAndShareAProjectsBudget(t *testing.T) {
	t.Parallel()
	b, q := newBench(t, batch.WorkerConfig{}), &holding{}
	hub := batch.NewHub(quiet(), b.store, nil, "api-1", 0)
	s := batch.NewSubmitter(quiet(), b.store, q, hub, nil, batch.SubmitConfig{AnyJob: true, ProbesPerSecond: 1, ProbeBurst: 2})
	entry := func(change func(*batch.Endpoint)) batch.RequestEntry {
		e := oneEndpoint()
		change(&e)
		return batch.RequestEntry{JobID: "j", Endpoints: []batch.Endpoint{e}}
	}
	keep := func(*batch.Endpoint) {}
	r := batch.Request{Project: "p", Call: "connection", Lane: batch.Interactive, Entries: []batch.RequestEntry{
		entry(keep), entry(keep), entry(func(e *batch.Endpoint) { e.Password = secret.New("another") }),
		entry(func(e *batch.Endpoint) { e.DBName = "another" }), entry(func(e *batch.Endpoint) { e.EndPointType = "ta" }),
	}}
	accepted, err := s.Submit(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	tests := b.tests(accepted.ID)
	for i, want := range []string{"", tests[0].ID, "", "", tests[0].ID} {
		if tests[i].SameAs != want {
			t.Errorf("entry %d is the same as %q, want %q", i, tests[i].SameAs, want)
		}
	}
	if len(q.enqueued) != 3 || q.enqueued[0].After != 0 || q.enqueued[1].After != 0 ||
		q.enqueued[2].After < 500*time.Millisecond || q.enqueued[2].After > time.Second {
		t.Errorf("enqueued %+v, want the third after up to a second", q.enqueued)
	}
	if got := tests[3]; got.ShareWait != q.enqueued[2].After.Truncate(time.Microsecond) || got.NotBefore == nil {
		t.Errorf("share wait %v, not before %v", got.ShareWait, got.NotBefore)
	}
	other := r
	other.Project = "q"
	if _, err := s.Submit(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if q.enqueued[3].After != 0 {
		t.Error("another project has no budget of its own")
	}
}

func TestForceGoesWithTheBatch(t *testing.T) {
	t.Parallel()
	b, server := newBench(t, batch.WorkerConfig{}), &refusing{code: probe.CodeAuthFailed}
	b.prober.run = server.run
	s := batch.NewSubmitter(quiet(), b.store, &holding{}, batch.NewHub(quiet(), b.store, nil, "", 0), nil, batch.SubmitConfig{AnyJob: true})
	for _, step := range []struct {
		force bool
		want  probe.Code
	}{{false, probe.CodeAuthFailed}, {false, probe.CodeLoginSuppressed}, {true, probe.CodeAuthFailed}} {
		entries := []batch.RequestEntry{{JobID: "j", Endpoints: []batch.Endpoint{oneEndpoint()}}}
		accepted, err := s.Submit(t.Context(), batch.Request{Project: "p", Call: "connection", Lane: batch.Interactive, Force: step.force, Entries: entries})
		if err != nil {
			t.Fatal(err)
		}
		test := b.tests(accepted.ID)[0]
		got := b.work(accepted.ID, []batch.Task{{TestID: test.ID, Attempt: 1, Lane: batch.Interactive, Network: test.Network}})[0]
		if got.Report.Code != step.want {
			t.Errorf("force %v: %s, want %s", step.force, got.Report.Code, step.want)
		}
	}
}
