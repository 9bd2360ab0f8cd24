package batch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"dialtone/internal/probe"
	"dialtone/internal/sabotage"
)

// Handle works one task off. Nil: the task is done with, whatever became of
// the test. An error: this process could not, try again; its text is for the
// log only.
func (w *Worker) Handle(ctx context.Context, task Task) error {
	begin := time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	lease := sabotage.Swap(sabotage.ShortenLease, w.prober.Timeout()+w.cfg.LeaseSlack, w.prober.Timeout()/2)
	claim := Claim{TestID: task.TestID, LeaseID: NewID(), Worker: w.cfg.ID, Lease: lease, Limits: w.cfg.Limits}
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
		return nil // somebody else has it, or it is over, or it must wait
	}
	ctx = w.tracer.Join(ctx, claimed.Trace)
	if claimed.Suppressed != nil {
		return w.record(ctx, claimed, suppressed(claimed, begin))
	}
	w.observer.Claimed(*claimed)
	if claimed.Probes > w.cfg.MaxProbes && !sabotage.On(sabotage.ProbeForEver) {
		// A late task came between the end of the last lease and the sweep.
		return w.record(ctx, claimed, probe.Refused(probe.CodeWorkerLost, begin))
	}

	if sabotage.On(sabotage.StartClockLate) {
		begin = time.Now()
	}
	// The probe's time is counted from before the claim, as the lease is: a
	// process that slept in between finds its time gone.
	claiming := time.Since(begin)
	deadline := begin.Add(min(w.prober.Timeout(), claimed.Remaining))
	probeCtx, stop := context.WithDeadline(ctx, deadline)
	report, err := w.prober.Run(probeCtx, w.target(claimed, p))
	stop()
	report.Attempts, report.Waits = claimed.Probes, waits(claimed)
	ours := claiming + time.Duration(p.marking.Load())
	over := time.Since(deadline)
	short := claimed.Remaining < w.prober.Timeout() || ours > ourShare(w.prober.Timeout())
	if (over > overslept || short && over >= -shorter) && !sabotage.On(sabotage.BlameTheDatabase) {
		report = cutShort(report)
	}
	return w.settle(ctx, claimed, report, err)
}

// shorter is by how much a probe may end before its deadline and still have
// been ended by it.
const shorter = 50 * time.Millisecond

// overslept is by how much a probe may end after its deadline. Beyond it this
// process was stopped, or got no CPU: the answer may have come, and nobody looked.
const overslept = 400 * time.Millisecond

// ourShare is how much of a probe's time may go by while our store grants the
// claim and the login before that matters: a tenth, and no less than a worker
// needs that has just begun to talk to its store.
func ourShare(probe time.Duration) time.Duration { return max(probe/10, 500*time.Millisecond) }

// cutShort makes a time-out of a probe that did not have a probe's whole time
// our own affair: the test waited too long with us, or our store was slow or this
// process asleep while the endpoint's time ran, and another second might have
// done. What was seen stays in the evidence.
func cutShort(r probe.Report) probe.Report {
	switch r.Code {
	case probe.CodeTimeoutConnect, probe.CodeTimeoutNoReply, probe.CodeTimeoutTLS, probe.CodeTimeoutHandshake, probe.CodeDNSFailed:
		facts := maps.Clone(r.Evidence.Facts)
		if facts == nil {
			facts = map[string]string{}
		}
		facts["was"], facts["cut_short"] = "running", string(r.Code)
		r.Evidence.Facts, r.Code = facts, probe.CodeDeadlineExceeded
	default:
	}
	return r
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
		begin := time.Now()
		ok, err := w.mark(ctx, c.ID, c.LeaseID)
		p.marking.Add(int64(time.Since(begin)))
		switch {
		case err != nil:
			return fmt.Errorf("mark login: %w", err)
		case !ok:
			return errNotOurs
		default:
			return nil
		}
	}
	if sabotage.On(sabotage.SkipMark) {
		t.BeforeLogin = func(context.Context) error { return nil }
	}
	return t
}

// settle decides what becomes of a probe: a report to record, a claim to give
// back, or nothing at all.
func (w *Worker) settle(ctx context.Context, c *Claimed, report probe.Report, err error) error {
	switch {
	case err == nil && w.again(c, report):
		return w.release(ctx, c, Release{After: w.backoff(c.Probes), Rest: w.rest(report)})
	case err == nil:
		return w.record(ctx, c, report)
	case errors.Is(err, errNotOurs), errors.Is(err, errEnded):
		return nil
	case report.LoginSent:
		// Credentials may have left: nobody may try again, and what came of it
		// is not known.
		interrupted := probe.Refused(probe.CodeInterrupted, report.StartedAt)
		interrupted.LoginSent, interrupted.Attempts, interrupted.Waits = true, c.Probes, waits(c)
		return w.record(ctx, c, interrupted)
	case sabotage.On(sabotage.DropClaim):
		return nil
	default:
		if !errors.Is(err, errStopping) {
			w.log.WarnContext(ctx, "probe given back", "test", c.ID, "error", err)
		}
		return w.release(ctx, c, Release{HandBack: true})
	}
}

// again says whether another probe may help, is harmless, and has time. One that
// was cut short by us helps if nothing was sent.
func (w *Worker) again(c *Claimed, r probe.Report) bool {
	cut := r.Code == probe.CodeDeadlineExceeded && !r.LoginSent
	return (r.Retryable() || cut) && c.Probes < w.cfg.MaxProbes &&
		c.Remaining-time.Since(r.StartedAt)-w.backoff(c.Probes) >= w.prober.Timeout()
}

func (w *Worker) backoff(probes int) time.Duration {
	return w.cfg.Backoff[min(max(probes, 1), len(w.cfg.Backoff))-1]
}

// rest is how long the endpoint is to be left alone after the report.
func (w *Worker) rest(r probe.Report) time.Duration {
	if r.Code == probe.CodeTooManyConnections && !sabotage.On(sabotage.SkipRest) {
		return w.cfg.Rest
	}
	return 0
}

// release gives the claim back and puts its next task on the queue; should
// that fail, the Relay does it.
func (w *Worker) release(ctx context.Context, c *Claimed, r Release) error {
	why := "retry"
	if r.HandBack {
		why = "hand_back"
	}
	r.TestID, r.LeaseID = c.ID, c.LeaseID
	// A cancelled probe is the very reason to release.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	tasks, err := w.store.Release(ctx, []Release{r})
	if err != nil {
		return fmt.Errorf("release test %s: %w", c.ID, err)
	}
	w.observer.Released(*c, why)
	for i := range tasks {
		tasks[i].After = r.After
	}
	w.requeue(ctx, tasks)
	return nil
}

// requeue puts tasks on the queue; should that fail, the Relay does it.
func (w *Worker) requeue(ctx context.Context, tasks []Task) {
	if len(tasks) == 0 {
		return
	}
	if err := w.queue.Enqueue(ctx, tasks); err != nil {
		w.log.WarnContext(ctx, "tests not back on the queue yet, the relay will put them there", "tests", len(tasks), "error", err)
	}
}

// lastTry is how long a worker that must end still tries to record a report.
const lastTry = 3 * time.Second

// record stores the report. While the store is away it tries again: the
// report cannot be had a second time once a login was sent.
func (w *Worker) record(ctx context.Context, c *Claimed, report probe.Report) error {
	ctx = context.WithoutCancel(ctx)
	pause, hurry, giveUp := 50*time.Millisecond, w.hurry, time.After(w.cfg.FinishFor)
	for {
		recorded, err := w.finishes.do(ctx, Finish{TestID: c.ID, LeaseID: c.LeaseID, Report: report, Rest: w.rest(report), Followed: c.Followed})
		if err == nil || sabotage.On(sabotage.DropReport) {
			w.observer.Probed(ctx, *c, report, recorded)
			return nil
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		case <-hurry: // the process must end
			hurry, giveUp = nil, time.After(lastTry)
		case <-giveUp:
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
	recorded, err := w.store.Finish(ctx, reports)
	if err != nil {
		return nil, err
	}
	announce(ctx, w.log, w.signal, w.observer, recorded.Done)
	if !sabotage.On(sabotage.LetSleep) {
		w.requeue(ctx, recorded.Woken)
	}
	out := make([]bool, len(reports))
	for i, f := range reports {
		out[i] = slices.Contains(recorded.Accepted, f.TestID)
	}
	return out, nil
}
