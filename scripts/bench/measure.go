package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// The variants.
const (
	dialtoneVariant = "dialtone"
	limitVariant    = "limit"
	limit2Variant   = "limit2"
	frontVariant    = "limit2-http" // limit2 with HTTP before it
)

func allVariants() []string {
	return []string{dialtoneVariant, limitVariant, limit2Variant, frontVariant}
}

// round is one variant's turn: how long each batch took, and all together.
type round struct {
	latencies []time.Duration
	took      time.Duration
}

// load lets callers make batches one after the other until the time is up, and
// then finish the one they are at.
func load(ctx context.Context, callers int, per time.Duration, once func(context.Context) error) (round, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	var r round
	began := time.Now()
	var calling sync.WaitGroup
	for range callers {
		calling.Go(func() {
			var own []time.Duration
			for time.Since(began) < per && ctx.Err() == nil {
				sent := time.Now()
				if err := once(ctx); err != nil {
					cancel(err)
					return
				}
				own = append(own, time.Since(sent))
			}
			mu.Lock()
			defer mu.Unlock()
			r.latencies = append(r.latencies, own...)
		})
	}
	calling.Wait()
	r.took = time.Since(began)
	return r, context.Cause(ctx)
}

// measure runs all kinds of probes with all numbers of callers.
func measure(ctx context.Context, g *ground, s settings, stdout, stderr io.Writer) (report, error) {
	result := report{Machine: g.machine, Rounds: s.rounds, Seconds: s.per.Seconds(), Date: time.Now().UTC().Format(time.DateOnly)}
	pool, err := g.pool(ctx)
	if err != nil {
		return report{}, err
	}
	defer pool.Close()
	for _, kind := range s.probes {
		rows, err := measureKind(ctx, g, pool, s, kind, stderr)
		if err != nil {
			return report{}, fmt.Errorf("%s: %w", kind, err)
		}
		result.Rows = append(result.Rows, rows...)
	}
	if s.json {
		return result, nil
	}
	return result, result.print(stdout)
}

// measureKind runs one kind of probes with all numbers of callers.
func measureKind(ctx context.Context, g *ground, pool *pgxpool.Pool, s settings, kind string, stderr io.Writer) (rows []row, err error) {
	subject, err := newSubject(g, kind)
	if err != nil {
		return nil, err
	}
	bare, err := newLimit(ctx, g, pool, subject, s.batchSize, false)
	if err != nil {
		return nil, err
	}
	accepting, err := newLimit(ctx, g, pool, subject, s.batchSize, true)
	if err != nil {
		return nil, err
	}
	served, err := newFront(ctx, accepting, subject, s.batchSize)
	if err != nil {
		return nil, err
	}
	defer served.stop()
	system, err := start(ctx, g, subject, s.batchSize)
	if err != nil {
		return nil, err
	}
	defer func() {
		if failed := system.stop(); err == nil {
			err = failed
		}
	}()
	do := map[string]func(context.Context) error{
		dialtoneVariant: system.client.once, limitVariant: bare.once, limit2Variant: accepting.once,
		frontVariant: served.caller.once,
	}
	for _, callers := range s.callers {
		rounds := map[string][]round{}
		// Connections, prepared statements and caches are there before the
		// first round counts.
		for _, v := range s.variants {
			if _, err := load(ctx, callers, min(s.per, time.Second), do[v]); err != nil {
				return nil, fmt.Errorf("%s: %w", v, err)
			}
		}
		system.stages.print(io.Discard, 1)
		for n := range s.rounds {
			_, _ = fmt.Fprintf(stderr, "bench: %s probes, %d callers, round %d of %d\n", kind, callers, n+1, s.rounds)
			for i := range s.variants {
				v := s.variants[(i+n)%len(s.variants)] // nobody is always first
				if err := g.settle(ctx); err != nil {
					return nil, err
				}
				r, err := load(ctx, callers, s.per, do[v])
				if err != nil {
					return nil, fmt.Errorf("%s: %w", v, err)
				}
				rounds[v] = append(rounds[v], r)
			}
		}
		if s.stages && slices.Contains(s.variants, dialtoneVariant) {
			batches := 0
			for _, r := range rounds[dialtoneVariant] {
				batches += len(r.latencies)
			}
			system.stages.print(stderr, batches)
		}
		rows = append(rows, summarize(kind, callers, s.variants, rounds)...)
	}
	return rows, nil
}
