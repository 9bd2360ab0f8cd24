package batch_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/secret"
)

// memory is a Creator and Reader that keeps just what the Hub and the
// Submitter are tested on. The stores have a suite of their own.
type memory struct {
	batch.Reader

	mu       sync.Mutex
	created  []batch.Test
	networks []string
	jobs     map[string]batch.TestableJob
	done     map[string]bool
	fail     error
	// once are the keys that were made; open and looks are for the backlog.
	once  []batch.Once
	open  int
	looks int
}

func (m *memory) CreateOnce(ctx context.Context, b batch.Batch, tests []batch.Test, o batch.Once) (batch.Batch, error) {
	m.mu.Lock()
	m.once = append(m.once, o)
	m.mu.Unlock()
	return m.Create(ctx, b, tests)
}

func (m *memory) Backlog(context.Context, string, batch.Lane, int) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looks++
	return m.open, nil
}

func (m *memory) Create(_ context.Context, b batch.Batch, tests []batch.Test) (batch.Batch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.created = tests
	b.Total = len(tests)
	for _, t := range tests {
		if t.Report == nil {
			b.Open++
		}
	}
	if b.Open == 0 {
		now := time.Now()
		b.FinishedAt = &now
	}
	return b, m.fail
}

func (m *memory) Networks(context.Context, time.Duration) ([]string, error) { return m.networks, nil }

func (m *memory) TestableJobs(context.Context, string, []string) (map[string]batch.TestableJob, error) {
	return m.jobs, nil
}

func (m *memory) Completed(_ context.Context, ids []string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var done []string
	for _, id := range ids {
		if m.done[id] {
			done = append(done, id)
		}
	}
	return done, nil
}

// line is a queue and signal in memory.
type line struct {
	mu    sync.Mutex
	tasks []batch.Task
	fail  error
	done  chan string
}

func (l *line) Enqueue(_ context.Context, tasks []batch.Task) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tasks = append(l.tasks, tasks...)
	return l.fail
}

func (l *line) Restore(context.Context, []batch.Task) ([]batch.Task, error) { return nil, nil }

func (l *line) Listen(ctx context.Context, _ string, done func(string)) error {
	for {
		select {
		case id := <-l.done:
			done(id)
		case <-ctx.Done():
			return nil
		}
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func oneEndpoint() batch.Endpoint {
	return batch.Endpoint{NetType: "vpc", VpcID: "abc", DBType: "mysql", IP: "192.0.2.1", DBPort: 3306, User: "u", Password: secret.New("p")}
}

func submitAny(t *testing.T, store *memory, queue *line, cfg batch.SubmitConfig) (*batch.Hub, batch.Batch) {
	t.Helper()
	hub := batch.NewHub(quiet(), store, queue, "api-1", time.Second)
	s := batch.NewSubmitter(quiet(), store, queue, hub, nil, cfg)
	b, err := s.Submit(t.Context(), batch.Request{
		Project: "p", Call: job.Connection, Lane: batch.Interactive, Wait: true,
		Entries: []batch.RequestEntry{{JobID: "j1", Endpoints: []batch.Endpoint{oneEndpoint()}}},
	})
	if err != nil {
		t.Fatalf("Submit: %v", err)
	}
	return hub, b
}

func TestWaitEndsWithASignal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, queue := &memory{}, &line{done: make(chan string)}
		hub, b := submitAny(t, store, queue, batch.SubmitConfig{AnyJob: true})
		go func() { _ = hub.Run(t.Context()) }()
		queue.done <- b.ID
		if err := hub.Wait(t.Context(), b.ID); err != nil {
			t.Errorf("Wait = %v", err)
		}
		if hub.Waiting() != 0 {
			t.Error("the hub still remembers a batch that was answered")
		}
	})
}

func TestWaitEndsWithoutASignal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, queue := &memory{}, &line{done: make(chan string)}
		hub, b := submitAny(t, store, queue, batch.SubmitConfig{AnyJob: true})
		go func() { _ = hub.Run(t.Context()) }()
		time.Sleep(1500 * time.Millisecond) // in the bubble's time: one look has passed
		store.mu.Lock()
		store.done = map[string]bool{b.ID: true}
		store.mu.Unlock()
		begin := time.Now()
		patient, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := hub.Wait(patient, b.ID); err != nil {
			t.Errorf("Wait = %v", err)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("found after %s, want within one look", took)
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	store, queue := &memory{}, &line{}
	hub, b := submitAny(t, store, queue, batch.SubmitConfig{AnyJob: true})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := hub.Wait(ctx, b.ID); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait = %v, want the context's error", err)
	}
}

func TestSubmitChoosesTheVantage(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		announced []string
		want      string
	}{
		"the most specific announced": {[]string{"vpc", "vpc-abc"}, "vpc-abc"},
		"else its kind":               {[]string{"eip", "vpc"}, "vpc"},
		"else its kind, to wait":      {nil, "vpc"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			queue := &line{}
			submitAny(t, &memory{networks: c.announced}, queue, batch.SubmitConfig{AnyJob: true})
			if len(queue.tasks) != 1 || queue.tasks[0].Network != c.want {
				t.Errorf("tasks = %+v, want one on network %q", queue.tasks, c.want)
			}
		})
	}
}

func TestSubmitAnswersNoVantageOnceItIsCertain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, queue := &memory{networks: []string{"eip"}}, &line{}
		hub := batch.NewHub(quiet(), store, queue, "api-1", time.Second)
		s := batch.NewSubmitter(quiet(), store, queue, hub, nil, batch.SubmitConfig{AnyJob: true})
		time.Sleep(11 * time.Minute) // in the bubble's time
		b, err := s.Submit(t.Context(), batch.Request{
			Project: "p", Lane: batch.Interactive, Wait: true,
			Entries: []batch.RequestEntry{{JobID: "j", Endpoints: []batch.Endpoint{oneEndpoint()}}},
		})
		if err != nil || b.FinishedAt == nil {
			t.Fatalf("Submit = %+v, %v; want a batch that is done", b, err)
		}
		if r := store.created[0].Report; r == nil || r.Code != "no_vantage" {
			t.Errorf("report = %+v, want no_vantage", r)
		}
		if err := hub.Wait(t.Context(), b.ID); err != nil {
			t.Errorf("Wait = %v", err)
		}
	})
}

func TestSubmitRefusesByJobState(t *testing.T) {
	t.Parallel()
	ready := batch.TestableJob{Job: job.Job{Status: job.Configuration, Role: job.Standalone}}
	started := batch.TestableJob{Job: job.Job{Status: job.StartJobing, Role: job.Standalone}}
	backward := batch.TestableJob{Job: job.Job{Status: job.Configuration, Role: job.Backward}, ForwardStatus: job.Configuration}
	parent := batch.TestableJob{Job: job.Job{Status: job.Configuration, Role: job.Parent}}
	store := &memory{jobs: map[string]batch.TestableJob{"ready": ready, "started": started, "backward": backward, "parent": parent}}
	queue := &line{}
	hub := batch.NewHub(quiet(), store, queue, "api-1", time.Second)
	s := batch.NewSubmitter(quiet(), store, queue, hub, nil, batch.SubmitConfig{})
	ids := []string{"unknown", "ready", "started", "backward", "parent"}
	var entries []batch.RequestEntry
	for _, id := range ids {
		entries = append(entries, batch.RequestEntry{JobID: id, Endpoints: []batch.Endpoint{oneEndpoint()}})
	}
	if _, err := s.Submit(t.Context(), batch.Request{Project: "p", Call: job.Connection, Entries: entries}); err != nil {
		t.Fatal(err)
	}
	want := []string{"job_unknown", "", "job_wrong_status", "job_forward_not_ready", "job_is_parent"}
	for i, test := range store.created {
		got := ""
		if test.Report != nil {
			got = string(test.Report.Code)
		}
		if got != want[i] {
			t.Errorf("job %s: code %q, want %q", ids[i], got, want[i])
		}
	}
	if len(queue.tasks) != 1 {
		t.Errorf("%d tasks queued, want the one of the job that is ready", len(queue.tasks))
	}
}

func TestSubmitSurvivesTheQueue(t *testing.T) {
	t.Parallel()
	queue := &line{fail: errors.New("no Redis")}
	_, b := submitAny(t, &memory{}, queue, batch.SubmitConfig{AnyJob: true})
	if b.Open != 1 {
		t.Errorf("batch = %+v, want it accepted and open", b)
	}
}

func TestSubmitThatIsNotStoredIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	store, queue := &memory{fail: errors.New("no Postgres")}, &line{}
	hub := batch.NewHub(quiet(), store, queue, "api-1", time.Second)
	s := batch.NewSubmitter(quiet(), store, queue, hub, nil, batch.SubmitConfig{AnyJob: true})
	_, err := s.Submit(t.Context(), batch.Request{Wait: true, Entries: []batch.RequestEntry{{Endpoints: []batch.Endpoint{oneEndpoint()}}}})
	if err == nil || hub.Waiting() != 0 || len(queue.tasks) != 0 {
		t.Errorf("err %v, waiting %d, tasks %d; want an error and nothing left", err, hub.Waiting(), len(queue.tasks))
	}
}
