package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/internal/batch"

	"github.com/hibiken/asynq"
)

// ConsumerConfig are a Consumer's tunables.
type ConsumerConfig struct {
	// Networks are those whose queues are served, both lanes of each. At least
	// one.
	Networks []string
	// Concurrency is how many tasks run at once. Default 256: probes wait much
	// and compute little. Bulk tasks have at most three quarters of the places,
	// where there is more than one.
	Concurrency int
	// Servers is how many asynq servers share them. One fetches one group of
	// tasks after the other; more help only where tasks take next to no time.
	// Default 1.
	Servers int
	// Fetch is the most tasks taken in one round trip. 1 takes them one by
	// one. Default 16.
	Fetch int
	// MaxWait is how long a worker goes without looking when nothing wakes it.
	// Default 1 s; it must stay below asynq's lease of 30 s.
	MaxWait time.Duration
	// PollInterval is how often empty queues are looked at while nothing can
	// wake the worker. Default 10 ms.
	PollInterval time.Duration
	// ShutdownTimeout is how long Stop waits for running handlers before it
	// puts their tasks back. Default 8 s.
	ShutdownTimeout time.Duration
	// Backoff is the pause before a task is handled again whose handler
	// returned an error; asynq makes it up to a second shorter. Default 2 s.
	Backoff time.Duration
	// Logger is required.
	Logger *slog.Logger
}

// Weights of the lanes: of two that are never empty, the interactive one gets
// six tasks for each of the other.
const (
	interactiveWeight = 6
	bulkWeight        = 1
)

// Consumer takes tasks off the queues and hands them to a handler.
type Consumer struct {
	log      *slog.Logger
	handle   func(context.Context, batch.Task) error
	servers  []*asynq.Server
	redis    *Redis
	waker    *waker
	handlers time.Duration // how long a stop waits for them
	running  atomic.Int64
	draining atomic.Bool

	cancel  context.CancelFunc
	started sync.WaitGroup
	stop    sync.Once
}

// pollingGrace is how long after Start a worker may be without a connection.
const pollingGrace = 5 * time.Second

// errNotDone is what asynq stores of every failed task, and shows to whoever
// looks: a handler's own error may hold what must not be seen.
var errNotDone = errors.New("not done; the worker's log says why")

// NewConsumer makes a Consumer. The handler's nil means that the task is done
// with. An error or a panic means that this process could not do it: it is
// logged, and the task comes again. The context ends with the task's timeout;
// a handler that does not heed it takes up a slot for longer than asynq knows.
func NewConsumer(r *Redis, handle func(ctx context.Context, t batch.Task) error, cfg ConsumerConfig) (*Consumer, error) {
	cfg.Concurrency = cmp.Or(cfg.Concurrency, 256)
	cfg.Servers = cmp.Or(cfg.Servers, 1)
	cfg.Fetch = cmp.Or(cfg.Fetch, 16)
	cfg.MaxWait = cmp.Or(cfg.MaxWait, time.Second)
	cfg.PollInterval = cmp.Or(cfg.PollInterval, 10*time.Millisecond)
	cfg.ShutdownTimeout = cmp.Or(cfg.ShutdownTimeout, 8*time.Second)
	cfg.Backoff = cmp.Or(cfg.Backoff, 2*time.Second)
	weights, err := cfg.weights()
	if err := errors.Join(err, cfg.validate()); err != nil {
		return nil, err
	}
	c := &Consumer{
		log: cfg.Logger, handle: handle, redis: r, handlers: cfg.ShutdownTimeout,
		waker: &waker{log: cfg.Logger, redis: r, queues: slices.Sorted(maps.Keys(weights))},
	}
	once := newRepeats()
	for i := range cfg.Servers {
		// The remainder goes to the first ones.
		slots := (cfg.Concurrency + cfg.Servers - 1 - i) / cfg.Servers
		f := newFetcher(r.client, c.waker, weights, slots, cfg.Fetch, cfg.MaxWait)
		c.waker.fetchers = append(c.waker.fetchers, f)
		c.servers = append(c.servers, asynq.NewServerFromRedisClient(f, asynq.Config{
			Concurrency:              slots,
			Queues:                   weights,
			TaskCheckInterval:        cfg.PollInterval,
			DelayedTaskCheckInterval: 100 * time.Millisecond,
			ShutdownTimeout:          cfg.ShutdownTimeout,
			RetryDelayFunc: func(int, error, *asynq.Task) time.Duration {
				if c.draining.Load() {
					return 0 // it is this worker that cannot; another can
				}
				return cfg.Backoff
			},
			// Retries do not count: what ends a task is its test.
			IsFailure: func(error) bool { return false },
			Logger:    asynqLogger{cfg.Logger, once},
		}))
	}
	return c, nil
}

func (cfg ConsumerConfig) validate() error {
	var problems []error
	if cfg.Logger == nil {
		problems = append(problems, errors.New("queue: no logger"))
	}
	if cfg.Concurrency < cfg.Servers || cfg.Servers < 1 {
		problems = append(problems, fmt.Errorf("queue: %d tasks at once over %d servers", cfg.Concurrency, cfg.Servers))
	}
	if cfg.Fetch < 1 {
		problems = append(problems, fmt.Errorf("queue: fetch %d tasks at a time", cfg.Fetch))
	}
	if cfg.MaxWait < 10*time.Millisecond || cfg.MaxWait > 10*time.Second {
		problems = append(problems, fmt.Errorf("queue: a wait of %v is not between 10 ms and 10 s", cfg.MaxWait))
	}
	if cfg.PollInterval < 0 || cfg.ShutdownTimeout < 0 || cfg.Backoff < 0 {
		problems = append(problems, errors.New("queue: a duration is negative"))
	}
	return errors.Join(problems...)
}

// weights names the queues: asynq drops those that it does not like without a
// word, so they are checked here.
func (cfg ConsumerConfig) weights() (map[string]int, error) {
	if len(cfg.Networks) == 0 {
		return nil, errors.New("queue: no network to serve")
	}
	weights := map[string]int{}
	for _, network := range cfg.Networks {
		for lane, weight := range map[batch.Lane]int{batch.Interactive: interactiveWeight, batch.Bulk: bulkWeight} {
			name, err := Name(lane, network)
			if err != nil {
				return nil, err
			}
			weights[name] = weight
		}
	}
	return weights, nil
}

// Start begins to take tasks. It does not need Redis to be there. Signals are
// left to main.
func (c *Consumer) Start() error {
	ctx, cancel := context.WithCancel(context.Background()) // ended by Stop
	c.cancel = cancel
	c.started.Go(func() { c.waker.run(ctx) })
	c.started.Go(func() { c.watch(ctx) })
	for i, server := range c.servers {
		if err := server.Start(c.handler(c.waker.fetchers[i])); err != nil {
			c.Stop()
			return fmt.Errorf("start asynq: %w", err)
		}
	}
	return nil
}

// watch says so when the worker has been left to poll: that works, but puts a
// load on Redis which grows with the workers, and costs each task some
// milliseconds.
func (c *Consumer) watch(ctx context.Context) {
	timer := time.NewTimer(pollingGrace)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
		if c.Stats().Mode == Polling {
			c.log.WarnContext(ctx, "workers poll Redis instead of being woken: it is away, forbids pub/sub, or this asynq is not the one that is known",
				"connected", c.waker.connected.Load())
		}
	}
}

// Drain ends the taking of tasks; those that run go on. A worker that stops
// drains, cancels and releases what runs, and then calls Stop.
func (c *Consumer) Drain() {
	c.draining.Store(true)
	var closing sync.WaitGroup
	for _, f := range c.waker.fetchers {
		closing.Go(func() { f.close(context.Background()) }) // the end of a process has no other
	}
	closing.Wait()
}

// Stop drains, waits for running handlers as long as ShutdownTimeout says, and
// puts back the tasks of those that still run: asynq does so before it cancels
// their contexts. It may be called more than once.
func (c *Consumer) Stop() {
	c.stop.Do(func() {
		c.Drain()
		var down sync.WaitGroup
		for _, server := range c.servers {
			down.Go(func() { c.redis.shutdown(server, c.handlers) })
		}
		down.Wait()
		if c.cancel != nil {
			c.cancel()
			c.waker.publish(context.Background(), c.waker.queues) // for what asynq put back
		}
		c.started.Wait()
	})
}

// handler is what asynq calls.
func (c *Consumer) handler(f *fetcher) asynq.HandlerFunc {
	return func(ctx context.Context, t *asynq.Task) (result error) {
		queue, _ := asynq.GetQueueName(ctx)
		defer f.done(queue)
		c.running.Add(1)
		defer c.running.Add(-1)
		task, err := parseTask(queue, t.Payload())
		if err != nil || t.Type() != taskType {
			// Somebody else's, and it would never become one of ours.
			c.log.ErrorContext(ctx, "task dropped", "queue", queue, "error", cmp.Or(err, errNotATask))
			return nil
		}
		defer func() {
			if v := recover(); v != nil {
				// The value may hold anything; where it came from says enough.
				c.log.ErrorContext(ctx, "task panicked", "test", task.TestID, "attempt", task.Attempt,
					"panic_type", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
				result = errNotDone
			}
		}()
		if err := c.handle(ctx, task); err != nil {
			level := slog.LevelWarn
			if c.draining.Load() {
				level = slog.LevelInfo
			}
			c.log.Log(ctx, level, "task not done", "test", task.TestID, "attempt", task.Attempt, "queue", queue, "error", err)
			return errNotDone
		}
		return nil
	}
}

// Mode is how a Consumer learns of new tasks.
type Mode string

// The modes.
const (
	// Woken: a producer's wake-up reaches the worker within a millisecond.
	Woken Mode = "woken"
	// Polling: every PollInterval the worker looks. It is the state before the
	// first connection to Redis, where Redis forbids pub/sub, and with an asynq
	// whose questions are not recognised.
	Polling Mode = "polling"
)

// Stats is what a Consumer did and does; the counts begin with the process.
type Stats struct {
	Mode    Mode
	Running int
	// Wakes counts wake-ups heard; RoundTrips the questions for tasks, Fetched
	// the tasks that they brought, Failed those that Redis did not answer.
	Wakes, RoundTrips, Fetched, Failed uint64
}

// Stats gives the present figures.
func (c *Consumer) Stats() Stats {
	s := Stats{Mode: Polling, Running: int(c.running.Load()), Wakes: c.waker.wakes.Load()}
	recognised := true
	for _, f := range c.waker.fetchers {
		recognised = recognised && f.recognised.Load()
		s.RoundTrips += f.counts.roundTrips.Load()
		s.Fetched += f.counts.tasks.Load()
		s.Failed += f.counts.failed.Load()
	}
	if recognised && c.waker.connected.Load() {
		s.Mode = Woken
	}
	return s
}
