package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/store/postgres"
)

// stages counts dialtone's calls of its store: how many, of how many tests
// each, how long they took.
type stages struct {
	mu    sync.Mutex
	calls map[string]*stage
}

type stage struct {
	items int
	took  []time.Duration
}

func newStages() *stages { return &stages{calls: map[string]*stage{}} }

func (s *stages) note(name string, items int, began time.Time) {
	took := time.Since(began)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls[name] == nil {
		s.calls[name] = &stage{}
	}
	s.calls[name].items += items
	s.calls[name].took = append(s.calls[name].took, took)
}

// print shows the calls of so many batches and forgets them.
func (s *stages) print(w io.Writer, batches int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "store call\tper batch\ttests each\tmedian ms\tp99 ms\tms per batch\t")
	names := make([]string, 0, len(s.calls))
	for name := range s.calls {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		c := s.calls[name]
		slices.Sort(c.took)
		var sum time.Duration
		for _, d := range c.took {
			sum += d
		}
		n := len(c.took)
		_, _ = fmt.Fprintf(table, "%s\t%.2f\t%.1f\t%.2f\t%.2f\t%.2f\t\n", name, float64(n)/float64(batches), float64(c.items)/float64(n),
			ms(quantile(c.took, 0.5)), ms(quantile(c.took, 0.99)), ms(sum)/float64(batches))
	}
	_ = table.Flush()
	s.calls = map[string]*stage{}
}

// timedStore is a store whose calls on the way of a batch are timed.
type timedStore struct {
	*postgres.Store
	stages *stages
}

// Create is timed.
func (s timedStore) Create(ctx context.Context, b batch.Batch, tests []batch.Test) (batch.Batch, error) {
	defer s.stages.note("create", len(tests), time.Now())
	return s.Store.Create(ctx, b, tests)
}

// Networks is timed.
func (s timedStore) Networks(ctx context.Context, age time.Duration) ([]string, error) {
	defer s.stages.note("networks", 0, time.Now())
	return s.Store.Networks(ctx, age)
}

// Claim is timed.
func (s timedStore) Claim(ctx context.Context, claims []batch.Claim) ([]batch.Claimed, error) {
	defer s.stages.note("claim", len(claims), time.Now())
	return s.Store.Claim(ctx, claims)
}

// MarkLogins is timed.
func (s timedStore) MarkLogins(ctx context.Context, marks []batch.LoginMark) ([]string, error) {
	defer s.stages.note("mark login", len(marks), time.Now())
	return s.Store.MarkLogins(ctx, marks)
}

// Finish is timed.
func (s timedStore) Finish(ctx context.Context, reports []batch.Finish) (batch.Recorded, error) {
	defer s.stages.note("finish", len(reports), time.Now())
	return s.Store.Finish(ctx, reports)
}

// Batch is timed.
func (s timedStore) Batch(ctx context.Context, project, id string) (batch.Batch, []batch.Test, error) {
	defer s.stages.note("read", 0, time.Now())
	return s.Store.Batch(ctx, project, id)
}
