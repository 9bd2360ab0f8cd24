package batch_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
)

// holding is a queue that says of some tasks that it holds them for good.
type holding struct {
	mu       sync.Mutex
	enqueued []batch.Task
	restored []batch.Task
	stuck    bool
}

func (h *holding) Enqueue(_ context.Context, tasks []batch.Task) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.enqueued = append(h.enqueued, tasks...)
	return nil
}

func (h *holding) Restore(_ context.Context, tasks []batch.Task) ([]batch.Task, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.restored = append(h.restored, tasks...)
	if h.stuck {
		return tasks, nil
	}
	return nil, nil
}

// tickUntil ticks the relay until done says so.
func tickUntil(t *testing.T, r *batch.Relay, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		r.Tick(t.Context())
	}
}

// claimed claims the first test of a new batch with a lease that is over at
// once, as if its worker had died.
func (b *bench) claimed(login bool) (id string, task batch.Task) {
	b.Helper()
	id, tasks := b.submit(1, time.Minute)
	for lease := 50 * time.Millisecond; ; lease *= 4 {
		c := batch.Claim{TestID: tasks[0].TestID, LeaseID: batch.NewID(), Worker: "dead", Lease: lease}
		granted, err := b.store.Claim(b.Context(), []batch.Claim{c})
		if err != nil || len(granted) != 1 {
			b.Fatalf("claim: %d granted, %v", len(granted), err)
		}
		if !login {
			return id, tasks[0]
		}
		marked, err := b.store.MarkLogin(b.Context(), c.TestID, c.LeaseID)
		if err != nil {
			b.Fatalf("mark login: %v", err)
		}
		if marked {
			return id, tasks[0]
		}
		// On a busy machine the lease was over before the mark: it is free again.
	}
}

func TestRelayPutsLostTasksBack(t *testing.T) {
	t.Parallel()
	b, q := newBench(t, batch.WorkerConfig{}), &holding{}
	_, tasks := b.submit(2, time.Minute)
	r := batch.NewRelay(quiet(), b.store, q, b.queue, nil, batch.RelayConfig{StrayAge: 20 * time.Millisecond})
	tickUntil(t, r, "both tests are restored", func() bool { return len(q.restored) >= len(tasks) })
	for _, task := range q.restored {
		if task.Attempt != 1 {
			t.Errorf("restored under attempt %d, want its own", task.Attempt)
		}
	}
}

func TestRelayGivesAStuckTaskANewAttempt(t *testing.T) {
	t.Parallel()
	b, q := newBench(t, batch.WorkerConfig{}), &holding{stuck: true}
	_, tasks := b.submit(1, time.Minute)
	r := batch.NewRelay(quiet(), b.store, q, b.queue, nil, batch.RelayConfig{StrayAge: 20 * time.Millisecond})
	tickUntil(t, r, "a new attempt", func() bool { return len(q.enqueued) > 0 })
	if got := q.enqueued[0]; got.TestID != tasks[0].TestID || got.Attempt != 2 {
		t.Errorf("enqueued %+v, want attempt 2 of %s", got, tasks[0].TestID)
	}
}

func TestRelayReclaimsADeadWorkersTest(t *testing.T) {
	t.Parallel()
	b, q := newBench(t, batch.WorkerConfig{}), &holding{}
	_, task := b.claimed(false)
	r := batch.NewRelay(quiet(), b.store, q, b.queue, nil, batch.RelayConfig{})
	tickUntil(t, r, "the test is enqueued", func() bool { return len(q.enqueued) > 0 })
	if got := q.enqueued[0]; got.TestID != task.TestID || got.Attempt != 2 {
		t.Errorf("enqueued %+v, want attempt 2", got)
	}
}

func TestRelayInterruptsAfterALogin(t *testing.T) {
	t.Parallel()
	b, q := newBench(t, batch.WorkerConfig{}), &holding{}
	id, _ := b.claimed(true)
	r := batch.NewRelay(quiet(), b.store, q, b.queue, nil, batch.RelayConfig{})
	tickUntil(t, r, "the test is finished", func() bool { return b.tests(id)[0].Report != nil })
	if got := b.tests(id)[0].Report.Code; got != probe.CodeInterrupted || len(q.enqueued) != 0 {
		t.Errorf("report %s, %d enqueued; want interrupted and none", got, len(q.enqueued))
	}
	if len(b.queue.signal) != 1 {
		t.Errorf("%d signals, want one", len(b.queue.signal))
	}
}

func TestRelayGivesUpOnATestThatKillsWorkers(t *testing.T) {
	t.Parallel()
	b, q := newBench(t, batch.WorkerConfig{}), &holding{}
	id, _ := b.claimed(false)
	r := batch.NewRelay(quiet(), b.store, q, b.queue, nil, batch.RelayConfig{MaxProbes: 1})
	tickUntil(t, r, "the test is finished", func() bool { return b.tests(id)[0].Report != nil })
	if got := b.tests(id)[0].Report.Code; got != probe.CodeWorkerLost {
		t.Errorf("report %s, want worker_lost", got)
	}
}

func TestRelayOfAnAPIOnlyEndsWhatIsOverdue(t *testing.T) {
	t.Parallel()
	b := newBench(t, batch.WorkerConfig{})
	overdue, _ := b.submit(3, 30*time.Millisecond)
	lost, _ := b.claimed(true)
	r := batch.NewRelay(quiet(), b.store, nil, b.queue, nil, batch.RelayConfig{Page: 2})
	tickUntil(t, r, "the overdue batch is finished", func() bool { return b.tests(overdue)[2].Report != nil })
	for _, test := range b.tests(overdue) {
		if test.Report == nil || test.Report.Code != probe.CodeDeadlineExceeded || test.Report.Evidence.Facts["was"] != "queued" {
			t.Errorf("report %+v, want deadline_exceeded while queued", test.Report)
		}
	}
	if b.tests(lost)[0].Report != nil {
		t.Error("an api finished a worker's test")
	}
}
