package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"dialtone/internal/job"
	"dialtone/internal/probe"
	"dialtone/internal/sabotage"
)

// Request is a validated request, ready to be accepted.
type Request struct {
	Project string
	// Caller is who asks: a token's name or an access key.
	Caller string
	Call   job.Call
	Lane   Lane
	// Force says that the caller may log in against what the ledger says.
	Force bool
	// Wait says that this process will wait for the batch: see Hub.
	Wait bool
	// Trace carries the request's trace.
	Trace string
	// Once, if set, has the request carried out once.
	Once    *Once
	Entries []RequestEntry
}

// RequestEntry is one entry: the connection call's hold one endpoint, the
// cluster call's one or more.
type RequestEntry struct {
	JobID     string
	Endpoints []Endpoint
}

// SubmitConfig are the Submitter's tunables.
type SubmitConfig struct {
	// Timeout is how long an interactive batch may take. Default 60 s.
	Timeout time.Duration
	// BulkTimeout is how long a bulk batch may take. Default 15 min.
	BulkTimeout time.Duration
	// EnqueueTimeout bounds the fast path to the queue, for each hundred tests;
	// the Relay does what it did not. Default 100 ms.
	EnqueueTimeout time.Duration
	// VantageAge is how long a worker's announcement counts. Default 10 min.
	VantageAge time.Duration
	// VantageLook is how long what was read of the announcements is good for.
	// Default 1 s.
	VantageLook time.Duration
	// Backlog bounds the open tests of a project in each lane; a lane without a
	// bound has none.
	Backlog map[Lane]int
	// BacklogLook is how long what was read of a backlog is good for. Default 1 s.
	BacklogLook time.Duration
	// AnyJob takes job ids as labels, and applies no rule to them.
	AnyJob bool
	// Verify is how strictly certificates are judged where the caller does not
	// say. Default VerifyCA.
	Verify probe.Verify
	// ReplyTo names this process to those that signal completions.
	ReplyTo string
	// ProbesPerSecond is how many probes a project may begin, after a burst of
	// ProbeBurst; what is more waits its turn. Defaults 200 and 2000; a negative
	// rate lifts the limit. It is for each process.
	ProbesPerSecond float64
	ProbeBurst      int
}

// Submitter accepts batches.
type Submitter struct {
	log      *slog.Logger
	store    Creator
	queue    Enqueuer
	hub      *Hub
	observer Observer
	cfg      SubmitConfig
	vantages announced
	backlog  *backlog
	shares   *shares
	started  time.Time
}

// NewSubmitter wires a Submitter. observer may be nil.
func NewSubmitter(log *slog.Logger, store Creator, queue Enqueuer, hub *Hub, observer Observer, cfg SubmitConfig) *Submitter {
	cfg.Timeout = cmp.Or(cfg.Timeout, time.Minute)
	cfg.BulkTimeout = cmp.Or(cfg.BulkTimeout, 15*time.Minute)
	cfg.EnqueueTimeout = cmp.Or(cfg.EnqueueTimeout, 100*time.Millisecond)
	cfg.VantageAge = cmp.Or(cfg.VantageAge, 10*time.Minute)
	cfg.VantageLook = cmp.Or(cfg.VantageLook, time.Second)
	cfg.Verify = cmp.Or(cfg.Verify, probe.VerifyCA)
	cfg.ProbesPerSecond = cmp.Or(cfg.ProbesPerSecond, 200)
	cfg.ProbeBurst = cmp.Or(cfg.ProbeBurst, 2000)
	if observer == nil {
		observer = Quiet{}
	}
	return &Submitter{
		log: log, store: store, queue: queue, hub: hub, observer: observer, cfg: cfg, started: time.Now(),
		vantages: announced{store: store, age: cfg.VantageAge, keep: cfg.VantageLook},
		backlog:  &backlog{store: store, most: cfg.Backlog, keep: cmp.Or(cfg.BacklogLook, time.Second)},
		shares:   newShares(cfg.ProbesPerSecond, cfg.ProbeBurst),
	}
}

// Submit stores the batch and puts its tests on the queue. Entries that their
// job's state forbids, and those that no worker's network can reach, are
// finished at once; the others run. An error means that nothing was stored: a
// FullError that the project has enough open tests in the lane, ErrKeyTaken
// that r.Once has a batch already.
//
// With r.Wait the caller must call Hub.Wait with the batch's id afterwards.
func (s *Submitter) Submit(ctx context.Context, r Request) (Batch, error) {
	b := Batch{
		ID: NewID(), Project: r.Project, Call: r.Call, Lane: r.Lane, Entries: len(r.Entries),
		Caller: r.Caller, Trace: r.Trace, Force: r.Force, Timeout: s.cfg.Timeout,
	}
	if r.Lane == Bulk {
		b.Timeout = s.cfg.BulkTimeout
	}
	if r.Wait {
		b.ReplyTo = s.cfg.ReplyTo
	}
	refused, err := s.refusals(ctx, r)
	if err != nil {
		return Batch{}, fmt.Errorf("look up jobs: %w", err)
	}
	networks, err := s.vantages.list(ctx)
	if err != nil {
		return Batch{}, fmt.Errorf("look up networks: %w", err)
	}
	tests := s.tests(b, r, refused, networks)
	entered, err := s.backlog.enter(ctx, b.Project, b.Lane, open(tests))
	if err != nil {
		if _, full := errors.AsType[*FullError](err); full {
			s.observer.Full(b.Lane)
		}
		return Batch{}, err
	}

	if r.Wait {
		s.hub.expect(b.ID)
	}
	stored, err := s.create(ctx, b, tests, r.Once)
	entered(err == nil)
	if err != nil {
		s.hub.forget(b.ID)
		return Batch{}, fmt.Errorf("store batch: %w", err)
	}
	b = stored
	s.observer.Accepted(b)
	if b.FinishedAt != nil {
		s.hub.Done(b.ID)
		return b, nil
	}
	s.enqueue(ctx, b, tests)
	return b, nil
}

func (s *Submitter) create(ctx context.Context, b Batch, tests []Test, once *Once) (Batch, error) {
	if once != nil {
		return s.store.CreateOnce(ctx, b, tests, *once)
	}
	return s.store.Create(ctx, b, tests)
}

// open counts the tests that are to be made.
func open(tests []Test) int {
	n := 0
	for _, t := range tests {
		if t.Report == nil {
			n++
		}
	}
	return n
}

// refusals judges each entry's job; fine entries have no code.
func (s *Submitter) refusals(ctx context.Context, r Request) ([]probe.Code, error) {
	codes := make([]probe.Code, len(r.Entries))
	if s.cfg.AnyJob {
		return codes, nil
	}
	ids := make([]string, len(r.Entries))
	for i, e := range r.Entries {
		ids[i] = e.JobID
	}
	slices.Sort(ids)
	jobs, err := s.store.TestableJobs(ctx, r.Project, slices.Compact(ids))
	if err != nil {
		return nil, err
	}
	for i, e := range r.Entries {
		var known *job.Job
		found, ok := jobs[e.JobID]
		if ok {
			known = &found.Job
		}
		codes[i] = refusalCode(job.Testable(known, found.ForwardStatus, r.Call))
	}
	return codes, nil
}

// refusalCode gives each refusal its verdict.
func refusalCode(r job.Refusal) probe.Code {
	switch r {
	case job.Fine:
		return ""
	case job.Unknown:
		return probe.CodeJobUnknown
	case job.Gone:
		return probe.CodeJobDeleted
	case job.IsParent:
		return probe.CodeJobIsParent
	case job.IsChild:
		return probe.CodeJobIsChild
	case job.WrongStatus:
		return probe.CodeJobWrongStatus
	case job.ForwardNotReady:
		return probe.CodeJobForwardNotReady
	default:
		return probe.CodeInternal
	}
}

// tests makes the batch's rows.
func (s *Submitter) tests(b Batch, r Request, refused []probe.Code, networks []string) []Test {
	var tests []Test
	seen := map[identity]string{}
	for i, entry := range r.Entries {
		for k, e := range entry.Endpoints {
			t := Test{
				ID: NewID(), BatchID: b.ID, Project: b.Project, Entry: i, Object: k, JobID: entry.JobID,
				EndPointType: cmp.Or(e.EndPointType, "so"), Target: e.Target(b.Project, s.cfg.Verify), Attempt: 1,
			}
			code := refused[i]
			network, announced := vantage(t.Target.Network, networks)
			t.Network = network
			if code == "" && !announced && time.Since(s.started) > s.cfg.VantageAge {
				code = probe.CodeNoVantage
			}
			if code != "" {
				report := probe.Refused(code, time.Now())
				t.Report = &report
			} else {
				s.spare(&t, seen)
			}
			tests = append(tests, t)
		}
	}
	return tests
}

// spare has a test wait for one that is the same, or for its project's share.
func (s *Submitter) spare(t *Test, seen map[identity]string) {
	id, ok := identify(t.Network, t.Target)
	if first := seen[id]; ok && first != "" && !sabotage.On(sabotage.ProbeTwins) {
		t.SameAs = first
		return
	}
	if ok {
		seen[id] = t.ID
	}
	t.ShareWait = s.shares.take(t.Project, time.Now())
}

// vantage chooses the queue for a wanted network: the most specific one that a
// worker announced. Where none was, the entry waits on the queue of its kind,
// which is a closed set: a name out of a request never makes a queue.
func vantage(wanted string, announced []string) (network string, ok bool) {
	if slices.Contains(announced, wanted) {
		return wanted, true
	}
	kind, _, _ := strings.Cut(wanted, "-")
	return kind, slices.Contains(announced, kind)
}

// enqueue is the fast path. What it does not do, the Relay does: the caller's
// answer must not hang on the queue.
func (s *Submitter) enqueue(ctx context.Context, b Batch, tests []Test) {
	var tasks []Task
	for _, t := range tests {
		if t.Report == nil && t.SameAs == "" {
			tasks = append(tasks, Task{TestID: t.ID, Attempt: t.Attempt, Lane: b.Lane, Network: t.Network, After: t.ShareWait})
		}
	}
	// The batch is stored: it goes on even if the caller is gone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.EnqueueTimeout*time.Duration(1+len(tasks)/100))
	defer cancel()
	if err := s.queue.Enqueue(ctx, tasks); err != nil {
		s.log.WarnContext(ctx, "batch not on the queue yet, the relay will put it there", "batch", b.ID, "error", err)
	}
}
