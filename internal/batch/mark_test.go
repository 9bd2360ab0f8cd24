package batch_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/store/sqlite"
)

// gathering is a store that marks several logins in one call. The first call
// waits, so that the others gather.
type gathering struct {
	*sqlite.Store
	mu    sync.Mutex
	calls []int
	begun chan struct{}
	first chan struct{}
	fail  error
}

func (m *gathering) MarkLogins(ctx context.Context, marks []batch.LoginMark) ([]string, error) {
	m.mu.Lock()
	m.calls = append(m.calls, len(marks))
	n := len(m.calls)
	m.mu.Unlock()
	if m.fail != nil {
		return nil, m.fail
	}
	if n == 1 {
		close(m.begun)
		<-m.first
	}
	var granted []string
	for _, mark := range marks {
		ok, err := m.MarkLogin(ctx, mark.TestID, mark.LeaseID)
		if err != nil {
			return nil, err
		}
		if ok {
			granted = append(granted, mark.LeaseID)
		}
	}
	return granted, nil
}

func TestLoginMarksGather(t *testing.T) {
	t.Parallel()
	b := newBench(t, batch.WorkerConfig{})
	store := &gathering{Store: b.store, begun: make(chan struct{}), first: make(chan struct{})}
	b.worker = batch.NewWorker(quiet(), store, b.prober, b.queue, b.queue, nil, nil, batch.WorkerConfig{ID: "worker-1", Networks: []string{"eip"}})
	const n = 20
	id, tasks := b.submit(n, time.Minute)
	b.prober.run = func(ctx context.Context, target probe.Target) (probe.Report, error) {
		if err := target.BeforeLogin(ctx); err != nil {
			return probe.Report{}, err
		}
		return probe.Report{Code: probe.CodeOK, LoginSent: true, StartedAt: time.Now()}, nil
	}
	var handling sync.WaitGroup
	for _, task := range tasks {
		handling.Go(func() {
			if err := b.worker.Handle(t.Context(), task); err != nil {
				t.Error(err)
			}
		})
	}
	handled := make(chan struct{})
	go func() {
		handling.Wait()
		close(handled)
	}()
	select {
	case <-store.begun:
	case <-handled: // nobody came as far as a mark
	}
	close(store.first)
	<-handled
	for i, test := range b.tests(id) {
		if test.Report == nil || !test.Report.OK() || test.LoginAt == nil {
			t.Errorf("test %d: report %v, login at %v", i, test.Report, test.LoginAt)
		}
	}
	total := 0
	for _, marks := range store.calls {
		total += marks
	}
	if total != n {
		t.Errorf("calls of %v marks, want %d in all", store.calls, n)
	}
}

// A mark that cannot be made lets nothing out, and the test is made again.
func TestLoginMarkThatFails(t *testing.T) {
	t.Parallel()
	b := newBench(t, batch.WorkerConfig{})
	store := &gathering{Store: b.store, fail: errors.New("the store is away")}
	b.worker = batch.NewWorker(quiet(), store, b.prober, b.queue, b.queue, nil, nil, batch.WorkerConfig{ID: "worker-1", Networks: []string{"eip"}})
	id, tasks := b.submit(1, time.Minute)
	var refused error
	b.prober.run = func(ctx context.Context, target probe.Target) (probe.Report, error) {
		refused = target.BeforeLogin(ctx)
		return probe.Report{}, refused
	}
	if err := b.worker.Handle(t.Context(), tasks[0]); err != nil {
		t.Errorf("Handle = %v", err)
	}
	if !errors.Is(refused, store.fail) {
		t.Errorf("BeforeLogin = %v, want the store's error", refused)
	}
	if got := b.tests(id)[0]; got.LoginAt != nil || got.Report != nil || len(b.queue.tasks) != 1 {
		t.Errorf("test %+v with %d tasks, want it queued again", got, len(b.queue.tasks))
	}
}
