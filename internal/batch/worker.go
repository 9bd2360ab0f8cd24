package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/internal/probe"
	"dialtone/internal/sabotage"
)

// Prober makes one probe; *probe.Runner is one.
type Prober interface {
	// Run tests the target. An error means that the report says nothing of the
	// endpoint: the login hook refused, or ctx was cancelled.
	Run(ctx context.Context, t probe.Target) (probe.Report, error)
	// Timeout bounds one Run.
	Timeout() time.Duration
}

// Requeuer puts released and woken tests back on the queue.
type Requeuer interface {
	Enqueue(ctx context.Context, tasks []Task) error
}

// WorkerStore is what a Worker needs of the store.
type WorkerStore interface {
	Claims
	Announcer
	Forgetter
}

// WorkerConfig are the Worker's tunables.
type WorkerConfig struct {
	// ID names this process in rows and logs.
	ID string
	// Networks are the vantages that this process stands in.
	Networks []string
	// LeaseSlack is how much longer a lease is than a probe. Default 2 s.
	LeaseSlack time.Duration
	// MaxProbes is how many probes a test gets. Default 3.
	MaxProbes int
	// Backoff is the pause before the second, third, ... probe; the last one
	// repeats. Default 1 s, 2 s: the queue cuts delays to whole seconds.
	Backoff []time.Duration
	// LookEvery is how often it asks which of its tests were ended by others.
	// Default 500 ms.
	LookEvery time.Duration
	// AnnounceEvery is how often it says that it lives. Default 10 s.
	AnnounceEvery time.Duration
	// FinishFor is how long it tries to record a report while the store is
	// away. Default 30 s.
	FinishFor time.Duration
	// Limits keep probes from doing harm. Default: two probes at once at an
	// endpoint; three refused logins of an account in ten minutes; a refused
	// credential again after 30 s. A negative number lifts its limit.
	Limits Limits
	// Rest is how long an endpoint is left alone that has too many connections.
	// Default 5 s; negative: not at all.
	Rest time.Duration
}

// withDefaults fills in the Limits; in what it gives, zero is no limit.
func (l Limits) withDefaults() Limits {
	return Limits{
		EndpointProbes: max(cmp.Or(l.EndpointProbes, 2), 0),
		Refusals:       max(cmp.Or(l.Refusals, 3), 0),
		RefusalWindow:  cmp.Or(l.RefusalWindow, 10*time.Minute),
		RepeatAfter:    max(cmp.Or(l.RepeatAfter, 30*time.Second), 0),
	}
}

// Why a probe was stopped from outside.
var (
	errStopping = errors.New("the worker stops")
	errEnded    = errors.New("the test was ended by somebody else")
	errNotOurs  = errors.New("the lease is not ours any more")
)

// Worker works tests off: claim, probe, record. It decides nothing about
// endpoints and nothing about queues.
type Worker struct {
	log      *slog.Logger
	store    WorkerStore
	prober   Prober
	queue    Requeuer
	signal   Signaler
	observer Observer
	tracer   Tracer
	cfg      WorkerConfig

	claims   *group[Claim, *Claimed]
	finishes *group[Finish, bool]
	// mark is the store's MarkLogin, for a whole group if the store can.
	mark func(ctx context.Context, testID, leaseID string) (bool, error)

	// hurry is closed when a stop has waited long enough.
	hurry   chan struct{}
	hurried sync.Once

	mu       sync.Mutex
	stopping bool
	running  map[string]*probing // by lease
	idle     sync.WaitGroup
}

// probing is one task at work. Two tasks of one test may be here at once; the
// claim keeps them apart.
type probing struct {
	testID string
	cancel context.CancelCauseFunc
	// login is true once credentials may leave: then a stop waits.
	login atomic.Bool
	// marking is for how many nanoseconds the store was waited for before a login.
	marking atomic.Int64
}

// NewWorker wires a Worker. observer and tracer may be nil.
func NewWorker(log *slog.Logger, store WorkerStore, prober Prober, queue Requeuer, signal Signaler, observer Observer, tracer Tracer, cfg WorkerConfig) *Worker {
	cfg.LeaseSlack = cmp.Or(cfg.LeaseSlack, 2*time.Second)
	cfg.MaxProbes = cmp.Or(cfg.MaxProbes, 3)
	cfg.LookEvery = cmp.Or(cfg.LookEvery, 500*time.Millisecond)
	cfg.AnnounceEvery = cmp.Or(cfg.AnnounceEvery, 10*time.Second)
	cfg.FinishFor = cmp.Or(cfg.FinishFor, 30*time.Second)
	cfg.Limits = cfg.Limits.withDefaults()
	cfg.Rest = max(cmp.Or(cfg.Rest, 5*time.Second), 0)
	if len(cfg.Backoff) == 0 {
		cfg.Backoff = []time.Duration{time.Second, 2 * time.Second}
	}
	if observer == nil {
		observer = Quiet{}
	}
	if tracer == nil {
		tracer = Quiet{}
	}
	w := &Worker{
		log: log, store: store, prober: prober, queue: queue, signal: signal, observer: observer, tracer: tracer,
		cfg: cfg, hurry: make(chan struct{}), running: map[string]*probing{},
	}
	const most, flights, timeout = 64, 2, 5 * time.Second
	w.claims = &group[Claim, *Claimed]{call: w.claimAll, most: most, flights: flights, timeout: timeout}
	w.finishes = &group[Finish, bool]{call: w.finishAll, most: most, flights: flights, timeout: timeout}
	w.mark = store.MarkLogin
	if marker, ok := store.(LoginMarker); ok {
		marks := &group[LoginMark, bool]{most: most, flights: flights, timeout: timeout}
		marks.call = func(ctx context.Context, in []LoginMark) ([]bool, error) { return markAll(ctx, marker, in) }
		w.mark = func(ctx context.Context, testID, leaseID string) (bool, error) {
			return marks.do(ctx, LoginMark{TestID: testID, LeaseID: leaseID})
		}
	}
	return w
}

// Run announces the worker and watches for tests that others ended, until ctx
// ends.
func (w *Worker) Run(ctx context.Context) error {
	var looking sync.WaitGroup
	looking.Go(func() { every(ctx, w.cfg.LookEvery, w.dropEnded) })
	every(ctx, w.cfg.AnnounceEvery, w.announceSelf)
	looking.Wait()
	return nil
}

// Stop ends the work: Handle refuses from now on; probes that have sent no
// login are cancelled and handed back at once; those that have may finish until
// ctx ends, and are then cancelled and recorded as interrupted. It returns when
// every claim is settled, with an error if some were cut off.
func (w *Worker) Stop(ctx context.Context) error {
	w.mu.Lock()
	w.stopping = true
	for _, p := range w.running {
		if !p.login.Load() || sabotage.On(sabotage.CutLogins) {
			p.cancel(errStopping)
		}
	}
	w.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		w.idle.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	w.mu.Lock()
	cut := len(w.running)
	for _, p := range w.running {
		p.cancel(errStopping)
	}
	w.mu.Unlock()
	w.hurried.Do(func() { close(w.hurry) })
	<-idle
	return fmt.Errorf("%d probes were cut off: %w", cut, ctx.Err())
}

// Look stops at once the probes whose test somebody else has finished, of which
// Run would find out a moment later.
func (w *Worker) Look(ctx context.Context) { w.dropEnded(ctx) }

// Running counts the tests in progress.
func (w *Worker) Running() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.running)
}

// dropEnded stops probes whose test somebody else has finished.
func (w *Worker) dropEnded(ctx context.Context) {
	w.mu.Lock()
	ids := make([]string, 0, len(w.running))
	for _, p := range w.running {
		ids = append(ids, p.testID)
	}
	w.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	ended, err := w.store.Finished(ctx, ids)
	if err != nil {
		if ctx.Err() == nil {
			w.log.WarnContext(ctx, "look for ended tests", "error", err)
		}
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.running {
		if slices.Contains(ended, p.testID) && !sabotage.On(sabotage.IgnoreCancel) {
			p.cancel(errEnded)
		}
	}
}

func (w *Worker) announceSelf(ctx context.Context) {
	if err := w.store.Announce(ctx, w.cfg.ID, w.cfg.Networks); err != nil && ctx.Err() == nil {
		w.log.WarnContext(ctx, "announce worker", "error", err)
	}
	if err := w.store.Forget(ctx, max(w.cfg.Limits.RefusalWindow, w.cfg.Limits.RepeatAfter)); err != nil && ctx.Err() == nil {
		w.log.WarnContext(ctx, "forget old logins", "error", err)
	}
}
