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
)

// Prober makes one probe; *probe.Runner is one.
type Prober interface {
	// Run tests the target. An error means that the report says nothing of the
	// endpoint: the login hook refused, or ctx was cancelled.
	Run(ctx context.Context, t probe.Target) (probe.Report, error)
	// Timeout bounds one Run.
	Timeout() time.Duration
}

// Requeuer puts a released test back on the queue.
type Requeuer interface {
	EnqueueAfter(ctx context.Context, t Task, delay time.Duration) error
}

// WorkerStore is what a Worker needs of the store.
type WorkerStore interface {
	Claims
	Announcer
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
}

// NewWorker wires a Worker. observer and tracer may be nil.
func NewWorker(log *slog.Logger, store WorkerStore, prober Prober, queue Requeuer, signal Signaler, observer Observer, tracer Tracer, cfg WorkerConfig) *Worker {
	cfg.LeaseSlack = cmp.Or(cfg.LeaseSlack, 2*time.Second)
	cfg.MaxProbes = cmp.Or(cfg.MaxProbes, 3)
	cfg.LookEvery = cmp.Or(cfg.LookEvery, 500*time.Millisecond)
	cfg.AnnounceEvery = cmp.Or(cfg.AnnounceEvery, 10*time.Second)
	cfg.FinishFor = cmp.Or(cfg.FinishFor, 30*time.Second)
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
		cfg: cfg, running: map[string]*probing{},
	}
	const most, flights, timeout = 64, 2, 10 * time.Second
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
		if !p.login.Load() {
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
	<-idle
	return fmt.Errorf("%d probes were cut off: %w", cut, ctx.Err())
}

// Running counts the tests in progress.
func (w *Worker) Running() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.running)
}

// Handle works one task off. Nil: the task is done with, whatever became of
// the test. An error: this process could not, try again; its text is for the
// log only.
func (w *Worker) Handle(ctx context.Context, task Task) error {
	begin := time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	claim := Claim{TestID: task.TestID, LeaseID: NewID(), Worker: w.cfg.ID, Lease: w.prober.Timeout() + w.cfg.LeaseSlack}
	p := &probing{testID: task.TestID, cancel: cancel}
	if !w.enter(claim, p) {
		return errStopping
	}
	defer w.leave(claim)

	claimed, err := w.claims.do(ctx, claim)
	if err != nil {
		return fmt.Errorf("claim test %s: %w", task.TestID, err)
	}
	if claimed == nil {
		return nil // somebody else has it, or it is over
	}
	ctx = w.tracer.Join(ctx, claimed.Trace)
	w.observer.Claimed(*claimed)

	// The probe's time is counted from before the claim, as the lease is: a
	// process that slept in between finds its time gone.
	deadline := begin.Add(min(w.prober.Timeout(), claimed.Remaining))
	probeCtx, stop := context.WithDeadline(ctx, deadline)
	report, err := w.prober.Run(probeCtx, w.target(claimed, p))
	stop()
	report.Attempts = claimed.Probes
	return w.settle(ctx, claimed, report, err)
}

// enter registers a task at work, unless the worker stops.
func (w *Worker) enter(c Claim, p *probing) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopping {
		return false
	}
	w.running[c.LeaseID] = p
	w.idle.Add(1)
	return true
}

func (w *Worker) leave(c Claim) {
	w.mu.Lock()
	delete(w.running, c.LeaseID)
	w.mu.Unlock()
	w.idle.Done()
}

// target is the claimed target with the login mark in its hook.
func (w *Worker) target(c *Claimed, p *probing) probe.Target {
	t := c.Target
	t.BeforeLogin = func(ctx context.Context) error {
		p.login.Store(true)
		ok, err := w.mark(ctx, c.ID, c.LeaseID)
		switch {
		case err != nil:
			return fmt.Errorf("mark login: %w", err)
		case !ok:
			return errNotOurs
		default:
			return nil
		}
	}
	return t
}

// settle decides what becomes of a probe: a report to record, a claim to give
// back, or nothing at all.
func (w *Worker) settle(ctx context.Context, c *Claimed, report probe.Report, err error) error {
	switch {
	case err == nil && w.again(c, report):
		return w.release(ctx, c, w.backoff(c.Probes), false)
	case err == nil:
		return w.record(ctx, c, report)
	case errors.Is(err, errNotOurs), errors.Is(err, errEnded):
		return nil
	case report.LoginSent:
		// Credentials may have left: nobody may try again, and what came of it
		// is not known.
		interrupted := probe.Refused(probe.CodeInterrupted, report.StartedAt)
		interrupted.LoginSent, interrupted.Attempts = true, c.Probes
		return w.record(ctx, c, interrupted)
	default:
		if !errors.Is(err, errStopping) {
			w.log.WarnContext(ctx, "probe given back", "test", c.ID, "error", err)
		}
		return w.release(ctx, c, 0, true)
	}
}

// again says whether another probe may help, is harmless, and has time.
func (w *Worker) again(c *Claimed, r probe.Report) bool {
	return r.Retryable() && c.Probes < w.cfg.MaxProbes &&
		c.Remaining-time.Since(r.StartedAt)-w.backoff(c.Probes) >= w.prober.Timeout()
}

func (w *Worker) backoff(probes int) time.Duration {
	return w.cfg.Backoff[min(max(probes, 1), len(w.cfg.Backoff))-1]
}

// release gives the claim back and puts its next task on the queue; should
// that fail, the Relay does it.
func (w *Worker) release(ctx context.Context, c *Claimed, after time.Duration, handBack bool) error {
	why := "retry"
	if handBack {
		why = "hand_back"
	}
	// A cancelled probe is the very reason to release.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	tasks, err := w.store.Release(ctx, []Release{{TestID: c.ID, LeaseID: c.LeaseID, After: after, HandBack: handBack}})
	if err != nil {
		return fmt.Errorf("release test %s: %w", c.ID, err)
	}
	w.observer.Released(*c, why)
	for _, t := range tasks {
		if err := w.queue.EnqueueAfter(ctx, t, after); err != nil {
			w.log.WarnContext(ctx, "test not back on the queue yet, the relay will put it there", "test", c.ID, "error", err)
		}
	}
	return nil
}

// record stores the report. While the store is away it tries again: the
// report cannot be had a second time once a login was sent.
func (w *Worker) record(ctx context.Context, c *Claimed, report probe.Report) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.FinishFor)
	defer cancel()
	pause := 50 * time.Millisecond
	for {
		recorded, err := w.finishes.do(ctx, Finish{TestID: c.ID, LeaseID: c.LeaseID, Report: report})
		if err == nil {
			w.observer.Probed(ctx, *c, report, recorded)
			return nil
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		case <-ctx.Done():
			return fmt.Errorf("record test %s: %w", c.ID, err)
		}
	}
}

// claimAll claims for all who gathered.
func (w *Worker) claimAll(ctx context.Context, claims []Claim) ([]*Claimed, error) {
	granted, err := w.store.Claim(ctx, claims)
	if err != nil {
		return nil, err
	}
	byLease := make(map[string]*Claimed, len(granted))
	for i := range granted {
		byLease[granted[i].LeaseID] = &granted[i]
	}
	out := make([]*Claimed, len(claims))
	for i, c := range claims {
		out[i] = byLease[c.LeaseID]
	}
	return out, nil
}

// markAll marks the logins of all who gathered.
func markAll(ctx context.Context, store LoginMarker, marks []LoginMark) ([]bool, error) {
	granted, err := store.MarkLogins(ctx, marks)
	if err != nil {
		return nil, err
	}
	out := make([]bool, len(marks))
	for i, m := range marks {
		out[i] = slices.Contains(granted, m.LeaseID)
	}
	return out, nil
}

// finishAll records for all who gathered, and signals what that completed.
func (w *Worker) finishAll(ctx context.Context, reports []Finish) ([]bool, error) {
	accepted, done, err := w.store.Finish(ctx, reports)
	if err != nil {
		return nil, err
	}
	announce(ctx, w.log, w.signal, w.observer, done)
	out := make([]bool, len(reports))
	for i, f := range reports {
		out[i] = slices.Contains(accepted, f.TestID)
	}
	return out, nil
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
		if slices.Contains(ended, p.testID) {
			p.cancel(errEnded)
		}
	}
}

func (w *Worker) announceSelf(ctx context.Context) {
	if err := w.store.Announce(ctx, w.cfg.ID, w.cfg.Networks); err != nil && ctx.Err() == nil {
		w.log.WarnContext(ctx, "announce worker", "error", err)
	}
}
