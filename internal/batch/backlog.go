package batch

import (
	"context"
	"fmt"
	"sync"
	"time"

	"dialtone/internal/sabotage"
)

// FullError refuses a batch because its project has too many open tests in the
// lane. Nothing was stored.
type FullError struct {
	Lane Lane
	// After is when it is worth trying again.
	After time.Duration
}

// Error implements error.
func (e *FullError) Error() string {
	return fmt.Sprintf("too many open tests in the lane %s", e.Lane)
}

// backlog bounds the open tests of each project in each lane. What the store
// said last is good for a moment, and what this process accepted since counts
// on top of it; before anybody is refused the store is asked again.
type backlog struct {
	store interface {
		Backlog(ctx context.Context, project string, lane Lane, most int) (int, error)
	}
	// most is the bound of each lane; none for one that is missing.
	most map[Lane]int
	keep time.Duration

	mu    sync.Mutex
	lines map[place]*queued
}

type place struct {
	project string
	lane    Lane
}

// queued is what is known of one place.
type queued struct {
	// asking is taken while the store is asked.
	asking sync.Mutex
	asked  time.Time
	// open is what the store said, since what was stored after that, pending
	// what is about to be.
	open, since, pending int
}

// freshEnough is how old what the store said may be where somebody is refused.
const freshEnough = 50 * time.Millisecond

// rememberedPlaces is how many places are remembered; beyond it idle ones are
// dropped.
const rememberedPlaces = 1024

// enter makes room for n tests, or returns a FullError. done must be called
// once it is known whether they were stored.
func (b *backlog) enter(ctx context.Context, project string, lane Lane, n int) (done func(stored bool), err error) {
	most, bounded := b.most[lane]
	if !bounded || n == 0 {
		return func(bool) {}, nil
	}
	q := b.line(place{project, lane}, n)
	done = func(stored bool) {
		b.mu.Lock()
		defer b.mu.Unlock()
		q.pending -= n
		if stored {
			q.since += n
		}
	}
	for _, fresh := range []time.Duration{b.keep, min(b.keep, freshEnough)} {
		if err := b.look(ctx, q, place{project, lane}, most, fresh); err != nil {
			done(false)
			return nil, err
		}
		b.mu.Lock()
		// A lane that is empty takes any batch, or a large one would never be.
		full := q.open+q.since+q.pending > most && q.open+q.since+q.pending > n
		b.mu.Unlock()
		if !full || sabotage.On(sabotage.SkipBackPressure) {
			return done, nil
		}
	}
	done(false)
	return nil, &FullError{Lane: lane, After: retryAfter(lane)}
}

// line finds what is known of a place, and counts n on it.
func (b *backlog) line(p place, n int) *queued {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lines == nil {
		b.lines = map[place]*queued{}
	}
	q := b.lines[p]
	if q == nil {
		if len(b.lines) >= rememberedPlaces {
			for old, idle := range b.lines {
				if idle.pending == 0 {
					delete(b.lines, old)
				}
			}
		}
		q = &queued{}
		b.lines[p] = q
	}
	q.pending += n
	return q
}

// look asks the store, unless what it said is fresh enough.
func (b *backlog) look(ctx context.Context, q *queued, p place, most int, fresh time.Duration) error {
	came := time.Now()
	q.asking.Lock()
	defer q.asking.Unlock()
	b.mu.Lock()
	// Whoever waited for another's question has its answer.
	known := !q.asked.IsZero() && (time.Since(q.asked) < fresh || q.asked.After(came))
	since := q.since
	b.mu.Unlock()
	if known {
		return nil
	}
	asked := time.Now()
	open, err := b.store.Backlog(ctx, p.project, p.lane, most)
	if err != nil {
		return fmt.Errorf("look at the backlog: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	// What was stored while the store was asked may be in its answer or not.
	q.open, q.since, q.asked = open, q.since-since, asked
	return nil
}

// retryAfter is when a lane may have room again.
func retryAfter(lane Lane) time.Duration {
	if lane == Bulk {
		return 10 * time.Second
	}
	return 2 * time.Second
}
