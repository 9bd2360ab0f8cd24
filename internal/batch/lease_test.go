package batch_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/store/sqlite"
)

// sluggish is a store that takes its time to grant a claim, and notes when it was
// asked and for how long a lease.
type sluggish struct {
	*sqlite.Store

	by time.Duration

	mu    sync.Mutex
	asked time.Time
	lease time.Duration
}

func (s *sluggish) Claim(ctx context.Context, claims []batch.Claim) ([]batch.Claimed, error) {
	s.mu.Lock()
	s.asked, s.lease = time.Now(), claims[0].Lease
	s.mu.Unlock()
	select {
	case <-time.After(s.by):
	case <-ctx.Done():
	}
	return s.Store.Claim(ctx, claims)
}

// TestAProbeIsOverBeforeItsLease: by the clock that began before the claim, so
// that no store, no queue and no pause of the process can make a probe outlive
// the lease under which it may log in.
func TestAProbeIsOverBeforeItsLease(t *testing.T) {
	t.Parallel()
	const slack = 700 * time.Millisecond
	b := newBench(t, batch.WorkerConfig{})
	store := &sluggish{Store: b.store, by: 100 * time.Millisecond}
	var until time.Time
	b.prober.run = func(ctx context.Context, target probe.Target) (probe.Report, error) {
		until, _ = ctx.Deadline()
		return ok(ctx, target)
	}
	w := batch.NewWorker(quiet(), store, b.prober, b.queue, b.queue, nil, nil, batch.WorkerConfig{ID: "w", LeaseSlack: slack})
	_, tasks := b.submit(1, time.Minute)
	if err := w.Handle(t.Context(), tasks[0]); err != nil {
		t.Fatal(err)
	}
	if most := store.asked.Add(b.prober.Timeout()); until.IsZero() || until.After(most) {
		t.Errorf("the probe may go on for %s longer than a probe's time after the claim was asked for", until.Sub(most))
	}
	if store.lease != b.prober.Timeout()+slack {
		t.Errorf("the lease is %s, want %s: a probe's time and the slack", store.lease, b.prober.Timeout()+slack)
	}
}

// TestATestThatKillsWorkersIsNotProbedAgain: a task that comes before the sweep
// has seen that the last lease ran out.
func TestATestThatKillsWorkersIsNotProbedAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, batch.WorkerConfig{MaxProbes: 1})
	probes := 0
	b.prober.run = func(ctx context.Context, target probe.Target) (probe.Report, error) {
		probes++
		return ok(ctx, target)
	}
	id, task := b.claimed(false)
	for deadline := time.Now().Add(10 * time.Second); b.tests(id)[0].Report == nil; { // until the lease has run out
		if time.Now().After(deadline) {
			t.Fatal("the test is never ended")
		}
		if err := b.worker.Handle(t.Context(), task); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.tests(id)[0].Report.Code; got != probe.CodeWorkerLost || probes != 0 {
		t.Errorf("report %s after %d more probes, want worker_lost and none", got, probes)
	}
}

// TestAFinishPutsWhoWaitedBack: the tests that a finish makes due are on the queue
// at once, not when the Relay comes by.
func TestAFinishPutsWhoWaitedBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, batch.WorkerConfig{})
	_, tasks := b.alike(2, func(int, *probe.Target) {})
	b.prober.run = func(ctx context.Context, target probe.Target) (probe.Report, error) {
		// The account is taken: the other must wait.
		if err := b.worker.Handle(ctx, tasks[1]); err != nil {
			t.Error(err)
		}
		return ok(ctx, target)
	}
	if err := b.worker.Handle(t.Context(), tasks[0]); err != nil {
		t.Fatal(err)
	}
	b.queue.mu.Lock()
	defer b.queue.mu.Unlock()
	if len(b.queue.tasks) != 1 || b.queue.tasks[0].TestID != tasks[1].TestID || b.queue.tasks[0].Attempt < 2 {
		t.Errorf("put back: %+v, want the test that waited, under a new attempt", b.queue.tasks)
	}
}
