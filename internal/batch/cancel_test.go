package batch_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
)

// told notes what a Canceller says.
type told struct {
	batch.Quiet

	mu     sync.Mutex
	lines  []string
	ended  func(context.Context)
	refuse error
}

func (n *told) note(line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, line)
}

func (n *told) Swept(what string, _ int)       { n.note("swept " + what) }
func (n *told) Completed(_ []batch.Completion) { n.note("completed") }
func (n *told) Signal(_ context.Context, done []batch.Completion) error {
	n.note("signal " + done[0].ReplyTo)
	return n.refuse
}

func (n *told) SignalEnded(ctx context.Context) error {
	n.note("ended")
	if n.ended != nil {
		n.ended(ctx)
	}
	return n.refuse
}

// A cancelled probe stops with the hint, not with the next look.
func TestCancelTellsEverybodyAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, batch.WorkerConfig{LookEvery: time.Hour})
	id, tasks := b.submit(2, time.Minute)
	begun := make(chan struct{})
	b.prober.run = func(ctx context.Context, _ probe.Target) (probe.Report, error) {
		close(begun)
		<-ctx.Done()
		return probe.Report{}, context.Cause(ctx)
	}
	handled := make(chan error, 1)
	go func() { handled <- b.worker.Handle(t.Context(), tasks[0]) }()
	<-begun
	news := &told{ended: b.worker.Look}
	c := batch.NewCanceller(quiet(), b.store, news, news, news)
	if err := c.Cancel(t.Context(), "p", id); err != nil {
		t.Fatal(err)
	}
	if err := <-handled; err != nil {
		t.Errorf("Handle = %v", err)
	}
	if diff := cmp.Diff([]string{"swept cancelled", "completed", "signal api-1", "ended"}, news.lines); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	for i, test := range b.tests(id) {
		if test.Report == nil || test.Report.Code != probe.CodeCancelled {
			t.Errorf("test %d: %+v", i, test.Report)
		}
	}
	// There is nothing to tell of the second time.
	if err := c.Cancel(t.Context(), "p", id); err != nil || len(news.lines) != 4 {
		t.Errorf("again: %v, told %v", err, news.lines)
	}
}

func TestCancelWithoutAQueue(t *testing.T) {
	t.Parallel()
	b := newBench(t, batch.WorkerConfig{})
	id, _ := b.submit(1, time.Minute)
	news := &told{refuse: errors.New("no Redis")}
	c := batch.NewCanceller(quiet(), b.store, news, news, nil)
	if err := c.Cancel(t.Context(), "p", id); err != nil {
		t.Errorf("Cancel = %v, want it done all the same", err)
	}
	if got := b.tests(id)[0]; got.Report == nil || got.Report.Code != probe.CodeCancelled {
		t.Errorf("report %+v", got.Report)
	}
	if err := c.Cancel(t.Context(), "another", id); !errors.Is(err, batch.ErrNotFound) {
		t.Errorf("another project: %v", err)
	}
	if slices.Contains(news.lines, "swept cancelled") {
		t.Error("observed without an observer")
	}
}
