package batch

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"dialtone/internal/sabotage"
)

// RelayConfig are the Relay's tunables.
type RelayConfig struct {
	// Every is how often it looks. Default 1 s.
	Every time.Duration
	// StrayAge is how long a test may be unclaimed before the queue is asked
	// about it. Default 2 s.
	StrayAge time.Duration
	// MaxProbes is how many probes a test gets. Default 3.
	MaxProbes int
	// Page is the most tests handled in one statement. Default 200.
	Page int
}

// Relay puts right what was lost: tests that are not on the queue, leases of
// workers that died, deadlines that passed. Every worker runs one; the store
// keeps them out of each other's way. With a nil queue it only ends what is
// overdue: that is the api's form.
type Relay struct {
	log      *slog.Logger
	store    Sweeper
	queue    Enqueuer
	signal   Signaler
	observer Observer
	cfg      RelayConfig
}

// NewRelay wires a Relay. queue and observer may be nil.
func NewRelay(log *slog.Logger, store Sweeper, queue Enqueuer, signal Signaler, observer Observer, cfg RelayConfig) *Relay {
	cfg.Every = cmp.Or(cfg.Every, time.Second)
	cfg.StrayAge = cmp.Or(cfg.StrayAge, 2*time.Second)
	cfg.MaxProbes = cmp.Or(cfg.MaxProbes, 3)
	cfg.Page = cmp.Or(cfg.Page, 200)
	if observer == nil {
		observer = Quiet{}
	}
	return &Relay{log: log, store: store, queue: queue, signal: signal, observer: observer, cfg: cfg}
}

// Run looks until ctx ends.
func (r *Relay) Run(ctx context.Context) error {
	every(ctx, r.cfg.Every, r.Tick)
	return nil
}

// Tick looks once. Each step is on its own: one that fails is logged and tried
// again at the next tick.
func (r *Relay) Tick(ctx context.Context) {
	if sabotage.On(sabotage.StopRelay) {
		return
	}
	r.end(ctx, "expired", func() ([]Completion, int, error) {
		return r.store.Expire(ctx, sabotage.Swap(sabotage.StopDeadlineSweep, r.cfg.Page, 0))
	})
	if r.queue == nil {
		return
	}
	r.end(ctx, "interrupted", func() ([]Completion, int, error) {
		return r.store.Interrupt(ctx, r.cfg.MaxProbes, r.cfg.Page)
	})
	r.reclaim(ctx)
	r.restore(ctx)
}

// end runs a step that finishes tests, page by page.
func (r *Relay) end(ctx context.Context, what string, step func() ([]Completion, int, error)) {
	for ctx.Err() == nil {
		done, n, err := step()
		if err != nil {
			r.log.WarnContext(ctx, "sweep", "step", what, "error", err)
			return
		}
		r.observer.Swept(what, n)
		announce(ctx, r.log, r.signal, r.observer, done)
		if n < r.cfg.Page {
			return
		}
	}
}

// reclaim enqueues the tests of workers that died before a login.
func (r *Relay) reclaim(ctx context.Context) {
	tasks, err := r.store.Reclaim(ctx, r.cfg.MaxProbes, r.cfg.Page)
	if err == nil && len(tasks) > 0 && !sabotage.On(sabotage.StopReclaim) {
		r.observer.Swept("reclaimed", len(tasks))
		err = r.queue.Enqueue(ctx, tasks)
	}
	if err != nil {
		r.log.WarnContext(ctx, "sweep", "step", "reclaim", "error", err)
	}
}

// restore puts tests that the queue has lost back on it. A test that the queue
// holds in a state from which it will not come in time gets a new attempt, and
// so a new task id.
func (r *Relay) restore(ctx context.Context) {
	tasks, err := r.store.Strays(ctx, r.cfg.StrayAge, r.cfg.Page)
	if err != nil {
		r.log.WarnContext(ctx, "sweep", "step", "strays", "error", err)
		return
	}
	if len(tasks) == 0 {
		return
	}
	stuck, err := r.queue.Restore(ctx, tasks)
	if err != nil {
		r.log.WarnContext(ctx, "sweep", "step", "restore", "error", err)
		return
	}
	r.observer.Swept("restored", len(tasks))
	if len(stuck) == 0 {
		return
	}
	ids := make([]string, len(stuck))
	for i, t := range stuck {
		ids[i] = t.TestID
	}
	raised, err := r.store.Raise(ctx, ids)
	if err == nil && len(raised) > 0 {
		err = r.queue.Enqueue(ctx, raised)
	}
	if err != nil {
		r.log.WarnContext(ctx, "sweep", "step", "raise", "error", err)
	}
}

// announce tells everybody of completed batches. The signal is a hint, so its
// failure is worth a line and no more.
func announce(ctx context.Context, log *slog.Logger, signal Signaler, observer Observer, done []Completion) {
	if len(done) == 0 {
		return
	}
	observer.Completed(done)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := signal.Signal(ctx, done); err != nil {
		log.WarnContext(ctx, "signal completed batches", "error", err)
	}
}
