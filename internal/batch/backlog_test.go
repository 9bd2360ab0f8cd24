package batch_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/job"
)

// full notes the lanes for which batches were refused.
type full struct {
	batch.Quiet

	lanes []batch.Lane
}

func (f *full) Full(lane batch.Lane) { f.lanes = append(f.lanes, lane) }

// request is one of n tests.
func request(project string, lane batch.Lane, n int) batch.Request {
	r := batch.Request{Project: project, Call: job.Connection, Lane: lane}
	for range n {
		r.Entries = append(r.Entries, batch.RequestEntry{JobID: "j", Endpoints: []batch.Endpoint{oneEndpoint()}})
	}
	return r
}

func bounded(store *memory, observer batch.Observer) *batch.Submitter {
	hub := batch.NewHub(quiet(), store, &line{}, "api-1", time.Second)
	return batch.NewSubmitter(quiet(), store, &line{}, hub, observer, batch.SubmitConfig{
		AnyJob: true, Backlog: map[batch.Lane]int{batch.Interactive: 10, batch.Bulk: 20},
	})
}

func TestBacklogIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, seen := &memory{}, &full{}
		s := bounded(store, seen)
		submit := func(project string, lane batch.Lane, n int, fits bool) {
			t.Helper()
			_, err := s.Submit(t.Context(), request(project, lane, n))
			refusal, refused := errors.AsType[*batch.FullError](err)
			if refused == fits || err != nil && !refused {
				t.Fatalf("Submit of %d tests: %v, want it to fit: %t", n, err, fits)
			}
			if refused && (refusal.Lane != lane || refusal.After <= 0) {
				t.Errorf("refused with %+v", refusal)
			}
		}
		// What the process itself accepted counts before the store says so.
		submit("p", batch.Interactive, 6, true)
		submit("p", batch.Interactive, 4, true)
		looks := store.looks
		if looks != 1 {
			t.Errorf("%d looks at the store for two batches in one moment, want 1", looks)
		}
		store.open = 10
		time.Sleep(100 * time.Millisecond)
		store.created = nil
		submit("p", batch.Interactive, 1, false)
		if store.looks == looks || store.created != nil {
			t.Errorf("looked again before the refusal: %t; stored %d tests", store.looks > looks, len(store.created))
		}
		// The other lane, and another project, are not full; an empty lane takes
		// more than its bound.
		store.open = 0
		submit("p", batch.Bulk, 50, true)
		submit("q", batch.Interactive, 10, true)
		// As tests end there is room again.
		store.open = 9
		time.Sleep(100 * time.Millisecond)
		submit("p", batch.Interactive, 1, true)
		submit("p", batch.Interactive, 1, false)
		if len(seen.lanes) != 2 || seen.lanes[0] != batch.Interactive {
			t.Errorf("observed %v", seen.lanes)
		}
	})
}

func TestBacklogThatWasNotStoredDoesNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &memory{fail: errors.New("no")}
		s := bounded(store, nil)
		for range 5 {
			if _, err := s.Submit(t.Context(), request("p", batch.Interactive, 10)); err == nil {
				t.Fatal("no error")
			}
		}
		store.fail, store.open = nil, 1
		time.Sleep(2 * time.Second)
		if _, err := s.Submit(t.Context(), request("p", batch.Interactive, 9)); err != nil {
			t.Error(err)
		}
	})
}

// slow is a store that takes its time to create batches, and counts them.
type slow struct{ *memory }

func (s slow) Create(ctx context.Context, b batch.Batch, tests []batch.Test) (batch.Batch, error) {
	time.Sleep(time.Millisecond)
	s.mu.Lock()
	s.open += len(tests)
	s.mu.Unlock()
	return b, nil
}

// Of many at once no more are taken than fit.
func TestBacklogOfManyAtOnce(t *testing.T) {
	t.Parallel()
	store := slow{&memory{}}
	hub := batch.NewHub(quiet(), store, &line{}, "api-1", time.Second)
	s := batch.NewSubmitter(quiet(), store, &line{}, hub, nil, batch.SubmitConfig{AnyJob: true, Backlog: map[batch.Lane]int{batch.Bulk: 30}})
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { _, _ = s.Submit(t.Context(), request("p", batch.Bulk, 3)) })
	}
	all.Wait()
	if store.open > 30 || store.open < 3 {
		t.Errorf("%d tests were taken, want at most 30", store.open)
	}
}
