package batch_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
	"dialtone/internal/store/sqlite"
)

// bench is a store with a worker on it; the queue is this test.
type bench struct {
	*testing.T
	store  *sqlite.Store
	prober *scripted
	queue  *requeued
	worker *batch.Worker
}

// scripted is a prober that does what the test says.
type scripted struct {
	run func(ctx context.Context, t probe.Target) (probe.Report, error)
}

func (s *scripted) Run(ctx context.Context, t probe.Target) (probe.Report, error) {
	return s.run(ctx, t)
}

func (s *scripted) Timeout() time.Duration { return 2 * time.Second }

// requeued notes what a worker puts back and signals.
type requeued struct {
	mu     sync.Mutex
	tasks  []batch.Task
	signal []batch.Completion
}

func (r *requeued) Enqueue(_ context.Context, tasks []batch.Task) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tasks = append(r.tasks, tasks...)
	return nil
}

// taken gives what was put back, once.
func (r *requeued) taken() []batch.Task {
	r.mu.Lock()
	defer r.mu.Unlock()
	tasks := r.tasks
	r.tasks = nil
	return tasks
}

func (r *requeued) Signal(_ context.Context, done []batch.Completion) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.signal = append(r.signal, done...)
	return nil
}

func newBench(t *testing.T, cfg batch.WorkerConfig) *bench {
	t.Helper()
	keyset, err := secret.NewKeyset()
	if err != nil {
		t.Fatal(err)
	}
	box, err := secret.OpenBox(keyset)
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "db"), Box: box})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, store: store, prober: &scripted{}, queue: &requeued{}}
	cfg.ID, cfg.Networks = "worker-1", []string{"eip"}
	b.worker = batch.NewWorker(quiet(), store, b.prober, b.queue, b.queue, nil, nil, cfg)
	return b
}

// submit stores a batch of n tests and gives their tasks.
func (b *bench) submit(n int, timeout time.Duration) (string, []batch.Task) {
	b.Helper()
	id := batch.NewID()
	var tests []batch.Test
	var tasks []batch.Task
	for i := range n {
		test := batch.Test{
			ID: batch.NewID(), BatchID: id, Project: "p", Entry: i, JobID: "j", EndPointType: "so", Network: "eip", Attempt: 1,
			Target: oneEndpoint().Target("p", probe.VerifyCA),
		}
		// Each its own endpoint, or they would wait for each other.
		test.Target.Addresses[0].Host = fmt.Sprint("db", i)
		tests = append(tests, test)
		tasks = append(tasks, batch.Task{TestID: test.ID, Attempt: 1, Lane: batch.Interactive, Network: "eip"})
	}
	whole := batch.Batch{ID: id, Project: "p", Call: job.Connection, Lane: batch.Interactive, Entries: n, Timeout: timeout, ReplyTo: "api-1"}
	if _, err := b.store.Create(b.Context(), whole, tests); err != nil {
		b.Fatal(err)
	}
	return id, tasks
}

// tests reads the batch back.
func (b *bench) tests(id string) []batch.Test {
	b.Helper()
	_, tests, err := b.store.Batch(b.Context(), "p", id)
	if err != nil {
		b.Fatal(err)
	}
	return tests
}

func ok(_ context.Context, _ probe.Target) (probe.Report, error) {
	return probe.Report{Code: probe.CodeOK, StartedAt: time.Now()}, nil
}

func TestHandleRecordsAndSignals(t *testing.T) {
	t.Parallel()
	b := newBench(t, batch.WorkerConfig{})
	var password string
	b.prober.run = func(ctx context.Context, target probe.Target) (probe.Report, error) {
		password = target.Password.Reveal()
		return ok(ctx, target)
	}
	id, tasks := b.submit(1, time.Minute)
	if err := b.worker.Handle(t.Context(), tasks[0]); err != nil {
		t.Fatal(err)
	}
	got := b.tests(id)[0]
	if got.Report == nil || !got.Report.OK() || got.Report.Attempts != 1 || got.Worker != "worker-1" || got.Seq != 1 {
		t.Errorf("test = %+v, report %+v", got, got.Report)
	}
	if password != "p" {
		t.Error("the probe did not get the password")
	}
	if len(b.queue.signal) != 1 || b.queue.signal[0].ReplyTo != "api-1" {
		t.Errorf("signals = %+v, want one for api-1", b.queue.signal)
	}
	if err := b.worker.Handle(t.Context(), tasks[0]); err != nil {
		t.Errorf("a doubled task: %v, want it dropped", err)
	}
}

func TestHandleManyAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, batch.WorkerConfig{})
	b.prober.run = ok
	id, tasks := b.submit(40, time.Minute)
	var wg sync.WaitGroup
	for _, task := range append(tasks, tasks...) { // each twice
		wg.Go(func() {
			if err := b.worker.Handle(t.Context(), task); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i, test := range b.tests(id) {
		if test.Report == nil || test.Probes != 1 {
			t.Errorf("test %d: %d probes, report %v", i, test.Probes, test.Report)
		}
	}
	if len(b.queue.signal) != 1 {
		t.Errorf("%d signals, want one", len(b.queue.signal))
	}
}

func TestHandleRetriesBeforeALogin(t *testing.T) {
	t.Parallel()
	b := newBench(t, batch.WorkerConfig{Backoff: []time.Duration{time.Millisecond}, MaxProbes: 3})
	b.prober.run = func(context.Context, probe.Target) (probe.Report, error) {
		return probe.Report{Code: probe.CodeConnectionRefused, StartedAt: time.Now()}, nil
	}
	id, tasks := b.submit(1, time.Minute)
	task := tasks[0]
	for probes := 1; ; probes++ {
		if err := b.worker.Handle(t.Context(), task); err != nil {
			t.Fatal(err)
		}
		test := b.tests(id)[0]
		if test.Report != nil {
			if probes != 3 || test.Report.Attempts != 3 || test.Probes != 3 {
				t.Errorf("finished after %d probes, report says %d, row says %d; want 3", probes, test.Report.Attempts, test.Probes)
			}
			return
		}
		next := b.queue.tasks[len(b.queue.tasks)-1]
		if next.Attempt != task.Attempt+1 {
			t.Fatalf("attempt %d follows %d", next.Attempt, task.Attempt)
		}
		task = next
		waitDue(t, test)
	}
}

// waitDue polls until the test may be claimed again.
func waitDue(t *testing.T, test batch.Test) {
	t.Helper()
	for test.NotBefore != nil && time.Now().Before(*test.NotBefore) {
		time.Sleep(time.Millisecond) // a poll
	}
}

func TestHandleDoesNotRetryWhenTimeIsShort(t *testing.T) {
	t.Parallel()
	b := newBench(t, batch.WorkerConfig{Backoff: []time.Duration{time.Second}})
	b.prober.run = func(context.Context, probe.Target) (probe.Report, error) {
		return probe.Report{Code: probe.CodeTimeoutConnect, StartedAt: time.Now()}, nil
	}
	id, tasks := b.submit(1, 2500*time.Millisecond) // less than a pause and a probe
	if err := b.worker.Handle(t.Context(), tasks[0]); err != nil {
		t.Fatal(err)
	}
	if got := b.tests(id)[0]; got.Report == nil || len(b.queue.tasks) != 0 {
		t.Errorf("report %v, %d tasks put back; want the report kept", got.Report, len(b.queue.tasks))
	}
}

func TestHandleDoesNotRetryAfterALogin(t *testing.T) {
	t.Parallel()
	b := newBench(t, batch.WorkerConfig{})
	b.prober.run = func(ctx context.Context, target probe.Target) (probe.Report, error) {
		if err := target.BeforeLogin(ctx); err != nil {
			return probe.Report{}, err
		}
		return probe.Report{Code: probe.CodeTooManyConnections, LoginSent: true, StartedAt: time.Now()}, nil
	}
	id, tasks := b.submit(1, time.Minute)
	if err := b.worker.Handle(t.Context(), tasks[0]); err != nil {
		t.Fatal(err)
	}
	got := b.tests(id)[0]
	if got.Report == nil || got.Report.Code != probe.CodeTooManyConnections || got.LoginAt == nil {
		t.Errorf("report %v, login at %v; want the report kept", got.Report, got.LoginAt)
	}
}

func TestLoginIsRefusedOnceTheTestIsOver(t *testing.T) {
	t.Parallel()
	b := newBench(t, batch.WorkerConfig{})
	id, tasks := b.submit(1, time.Minute)
	refused := errors.New("not called")
	b.prober.run = func(ctx context.Context, target probe.Target) (probe.Report, error) {
		if _, _, err := b.store.Cancel(ctx, "p", id); err != nil {
			t.Error(err)
		}
		refused = target.BeforeLogin(ctx)
		return probe.Report{}, refused
	}
	if err := b.worker.Handle(t.Context(), tasks[0]); err != nil {
		t.Errorf("Handle = %v, want the task dropped in silence", err)
	}
	if refused == nil {
		t.Error("a login was permitted on a cancelled test")
	}
	if got := b.tests(id)[0]; got.Report.Code != probe.CodeCancelled || got.LoginAt != nil {
		t.Errorf("report %v, login at %v", got.Report.Code, got.LoginAt)
	}
}

func TestCancelStopsAProbe(t *testing.T) {
	t.Parallel()
	b := newBench(t, batch.WorkerConfig{LookEvery: 5 * time.Millisecond})
	id, tasks := b.submit(1, time.Minute)
	begun := make(chan struct{})
	b.prober.run = func(ctx context.Context, _ probe.Target) (probe.Report, error) {
		close(begun)
		<-ctx.Done()
		if !errors.Is(ctx.Err(), context.Canceled) {
			t.Errorf("the probe went on until its own end: %v", ctx.Err())
		}
		return probe.Report{}, context.Cause(ctx)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = b.worker.Run(ctx) })
	handled := make(chan error, 1)
	go func() { handled <- b.worker.Handle(t.Context(), tasks[0]) }()
	<-begun
	if _, _, err := b.store.Cancel(t.Context(), "p", id); err != nil {
		t.Fatal(err)
	}
	if err := <-handled; err != nil {
		t.Errorf("Handle = %v", err)
	}
	cancel()
	wg.Wait()
	if len(b.queue.tasks) != 0 {
		t.Error("a cancelled test was put back on the queue")
	}
}

func TestStopHandsBackWhatHasSentNoLogin(t *testing.T) {
	t.Parallel()
	b := newBench(t, batch.WorkerConfig{})
	id, tasks := b.submit(1, time.Minute)
	begun := make(chan struct{})
	b.prober.run = func(ctx context.Context, _ probe.Target) (probe.Report, error) {
		close(begun)
		<-ctx.Done()
		return probe.Report{}, context.Cause(ctx)
	}
	handled := make(chan error, 1)
	go func() { handled <- b.worker.Handle(t.Context(), tasks[0]) }()
	<-begun
	if err := b.worker.Stop(t.Context()); err != nil {
		t.Errorf("Stop = %v", err)
	}
	if err := <-handled; err != nil {
		t.Errorf("Handle = %v", err)
	}
	got := b.tests(id)[0]
	if got.State() != batch.Queued || got.Probes != 0 || len(b.queue.tasks) != 1 {
		t.Errorf("test %s with %d probes, %d tasks; want it queued again and not counted", got.State(), got.Probes, len(b.queue.tasks))
	}
	if err := b.worker.Handle(t.Context(), tasks[0]); err == nil {
		t.Error("a stopped worker took a task")
	}
}

func TestStopLetsALoginFinish(t *testing.T) {
	t.Parallel()
	b := newBench(t, batch.WorkerConfig{})
	id, tasks := b.submit(1, time.Minute)
	begun, finish := make(chan struct{}), make(chan struct{})
	b.prober.run = func(ctx context.Context, target probe.Target) (probe.Report, error) {
		if err := target.BeforeLogin(ctx); err != nil {
			return probe.Report{}, err
		}
		close(begun)
		<-finish
		if ctx.Err() != nil {
			t.Errorf("the stop cut the login off: %v", context.Cause(ctx))
		}
		return probe.Report{Code: probe.CodeOK, LoginSent: true, StartedAt: time.Now()}, ctx.Err()
	}
	handled := make(chan error, 1)
	go func() { handled <- b.worker.Handle(t.Context(), tasks[0]) }()
	<-begun
	stopped := make(chan error, 1)
	go func() { stopped <- b.worker.Stop(t.Context()) }()
	for b.worker.Handle(t.Context(), batch.Task{TestID: batch.NewID()}) == nil {
		time.Sleep(time.Millisecond) // until it takes no task any more, and has cancelled what it would
	}
	close(finish)
	if err := errors.Join(<-stopped, <-handled); err != nil {
		t.Error(err)
	}
	if got := b.tests(id)[0]; got.Report == nil || !got.Report.OK() {
		t.Errorf("report %+v, want ok", got.Report)
	}
}

func TestStopThatCannotWaitLeavesInterrupted(t *testing.T) {
	t.Parallel()
	b := newBench(t, batch.WorkerConfig{})
	id, tasks := b.submit(1, time.Minute)
	begun := make(chan struct{})
	b.prober.run = func(ctx context.Context, target probe.Target) (probe.Report, error) {
		if err := target.BeforeLogin(ctx); err != nil {
			return probe.Report{}, err
		}
		close(begun)
		<-ctx.Done()
		return probe.Report{LoginSent: true, StartedAt: time.Now()}, context.Cause(ctx)
	}
	handled := make(chan error, 1)
	go func() { handled <- b.worker.Handle(t.Context(), tasks[0]) }()
	<-begun
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.worker.Stop(impatient); err == nil {
		t.Error("Stop says nothing of the probe that it cut off")
	}
	if err := <-handled; err != nil {
		t.Error(err)
	}
	if got := b.tests(id)[0]; got.Report == nil || got.Report.Code != probe.CodeInterrupted || !got.Report.LoginSent {
		t.Errorf("report %+v, want interrupted", got.Report)
	}
}

// TestAReportOutlivesItsTask: what was seen of a server is recorded although the
// task was given up in that moment.
func TestAReportOutlivesItsTask(t *testing.T) {
	t.Parallel()
	b := newBench(t, batch.WorkerConfig{FinishFor: time.Second})
	ctx, giveUp := context.WithCancel(t.Context())
	b.prober.run = func(ctx context.Context, target probe.Target) (probe.Report, error) {
		report, err := ok(ctx, target)
		giveUp()
		return report, err
	}
	id, tasks := b.submit(1, time.Minute)
	if err := b.worker.Handle(ctx, tasks[0]); err != nil {
		t.Errorf("Handle = %v", err)
	}
	if got := b.tests(id)[0].Report; got == nil || !got.OK() {
		t.Errorf("report %v, want it recorded", got)
	}
}

// flaky is a store that loses its connection for the first calls of Finish.
type flaky struct {
	*sqlite.Store
	mu    sync.Mutex
	fails int
}

func (f *flaky) Finish(ctx context.Context, reports []batch.Finish) (batch.Recorded, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails > 0 {
		f.fails--
		return batch.Recorded{}, errors.New("the store is away")
	}
	return f.Store.Finish(ctx, reports)
}

func TestAReportIsKeptUntilTheStoreIsBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, batch.WorkerConfig{})
	b.prober.run = ok
	w := batch.NewWorker(quiet(), &flaky{Store: b.store, fails: 3}, b.prober, b.queue, b.queue, nil, nil, batch.WorkerConfig{ID: "w"})
	id, tasks := b.submit(1, time.Minute)
	if err := w.Handle(t.Context(), tasks[0]); err != nil {
		t.Fatal(err)
	}
	if got := b.tests(id)[0]; got.Report == nil || !got.Report.OK() {
		t.Errorf("report %+v, want ok", got.Report)
	}
}

func TestATimeOutForLackOfOurTimeIsOurs(t *testing.T) {
	t.Parallel()
	b := newBench(t, batch.WorkerConfig{})
	b.prober.run = func(ctx context.Context, _ probe.Target) (probe.Report, error) {
		<-ctx.Done() // a server that needed a little longer
		return probe.Report{Code: probe.CodeTimeoutNoReply, Phase: probe.PhaseProtocol, StartedAt: time.Now()}, nil
	}
	id, tasks := b.submit(1, 300*time.Millisecond) // a probe may take 2 s
	if err := b.worker.Handle(t.Context(), tasks[0]); err != nil {
		t.Fatal(err)
	}
	var got *probe.Report
	for deadline := time.Now().Add(5 * time.Second); got == nil && time.Now().Before(deadline); {
		got = b.tests(id)[0].Report
	}
	if got == nil || got.Code != probe.CodeDeadlineExceeded || got.Code.Verdict().Owner != probe.OwnerService || got.Evidence.Facts["cut_short"] != "timeout_no_reply" {
		t.Errorf("report %+v, want deadline_exceeded with what was seen", got)
	}
}

// hesitant is a store that takes its time to grant claims and logins.
type hesitant struct {
	*sqlite.Store
	claim, mark time.Duration
}

func (s *hesitant) Claim(ctx context.Context, claims []batch.Claim) ([]batch.Claimed, error) {
	<-time.After(s.claim)
	return s.Store.Claim(ctx, claims)
}

func (s *hesitant) MarkLogin(ctx context.Context, testID, leaseID string) (bool, error) {
	<-time.After(s.mark)
	return s.Store.MarkLogin(ctx, testID, leaseID)
}

// What the store takes of a probe's time is not held against the endpoint. Once
// a login was sent that is the end, before it the probe is made again.
func TestATimeOutBehindASlowStoreIsOurs(t *testing.T) {
	t.Parallel()
	const pause = 700 * time.Millisecond // of a probe's 2 s
	for name, tt := range map[string]struct {
		store  hesitant
		login  bool
		probes int
		want   probe.Code
	}{
		"slow mark":              {hesitant{mark: pause}, true, 1, probe.CodeDeadlineExceeded},
		"slow claim, login":      {hesitant{claim: pause}, true, 1, probe.CodeDeadlineExceeded},
		"slow claim":             {hesitant{claim: pause}, false, 2, probe.CodeTimeoutNoReply},
		"quick":                  {hesitant{}, true, 1, probe.CodeTimeoutHandshake},
		"quick, without a login": {hesitant{}, false, 1, probe.CodeTimeoutNoReply},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, batch.WorkerConfig{})
			store := tt.store
			store.Store = b.store
			w := batch.NewWorker(quiet(), &store, b.prober, b.queue, b.queue, nil, nil, batch.WorkerConfig{ID: "w"})
			b.prober.run = func(ctx context.Context, target probe.Target) (probe.Report, error) {
				r := probe.Report{Code: probe.CodeTimeoutNoReply, StartedAt: time.Now()}
				if tt.login {
					r.Code, r.LoginSent = probe.CodeTimeoutHandshake, true
					if err := target.BeforeLogin(ctx); err != nil {
						t.Error(err)
					}
				}
				<-ctx.Done()
				return r, nil
			}
			id, tasks := b.submit(1, time.Minute)
			for begin := time.Now(); len(tasks) > 0 && time.Since(begin) < 20*time.Second; tasks = b.queue.taken() {
				waitDue(t, b.tests(id)[0])
				if err := w.Handle(t.Context(), tasks[0]); err != nil {
					t.Fatal(err)
				}
				store.claim = 0 // it has recovered
			}
			got := b.tests(id)[0]
			if got.Report == nil || got.Report.Code != tt.want || got.Probes != tt.probes || got.Report.LoginSent != tt.login {
				t.Errorf("%d probes, report %+v; want %d and %s", got.Probes, got.Report, tt.probes, tt.want)
			}
		})
	}
}

// A process that slept through a probe's end did not see whether the answer came.
func TestATimeOutThatWasSleptThroughIsOurs(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		asleep time.Duration
		want   probe.Code
	}{
		"asleep": {600 * time.Millisecond, probe.CodeDeadlineExceeded},
		"awake":  {0, probe.CodeTimeoutHandshake},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, batch.WorkerConfig{})
			b.prober.run = func(ctx context.Context, _ probe.Target) (probe.Report, error) {
				<-ctx.Done()
				<-time.After(tt.asleep)
				return probe.Report{Code: probe.CodeTimeoutHandshake, LoginSent: true, StartedAt: time.Now()}, nil
			}
			id, tasks := b.submit(1, time.Minute)
			if err := b.worker.Handle(t.Context(), tasks[0]); err != nil {
				t.Fatal(err)
			}
			if got := b.tests(id)[0].Report; got == nil || got.Code != tt.want || !got.LoginSent {
				t.Errorf("report %+v, want %s", got, tt.want)
			}
		})
	}
}

func TestATimeOutAfterAWholeProbeIsTheServers(t *testing.T) {
	t.Parallel()
	b := newBench(t, batch.WorkerConfig{MaxProbes: 1})
	b.prober.run = func(context.Context, probe.Target) (probe.Report, error) {
		return probe.Report{Code: probe.CodeTimeoutNoReply, StartedAt: time.Now()}, nil
	}
	id, tasks := b.submit(1, time.Second) // less than a probe's time is left, but it was not used
	if err := b.worker.Handle(t.Context(), tasks[0]); err != nil {
		t.Fatal(err)
	}
	if got := b.tests(id)[0].Report; got == nil || got.Code != probe.CodeTimeoutNoReply {
		t.Errorf("report %+v, want the time-out as it was", got)
	}
}
