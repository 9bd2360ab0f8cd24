package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/hibiken/asynq"
)

// ChoreConfig are a Chore's tunables.
type ChoreConfig struct {
	// Name is the chore's, of letters.
	Name string
	// Every is the length of a window of time, in whole seconds. Default 1 min.
	Every time.Duration
}

// choreInterval is about how often an idle process looks whether there is a
// chore to do: a compromise between what that costs Redis and how long a stop
// takes.
const choreInterval = 500 * time.Millisecond

// Chore is something that is done once in each window of time, by one of all
// the processes that have it. Each of them enqueues it, under an id that names
// the window; one enqueue wins, and the id stays taken until the window is over.
// Should Redis forget the id within its window, the chore is done again: it must
// bear that, as it must bear being cut off.
type Chore struct {
	log   *slog.Logger
	redis *Redis
	do    func(ctx context.Context)
	name  string
	every time.Duration
}

// NewChore makes a Chore. The context of do ends with the window.
func NewChore(log *slog.Logger, r *Redis, do func(ctx context.Context), cfg ChoreConfig) *Chore {
	return &Chore{log: log, redis: r, do: do, name: cfg.Name, every: max(time.Second, roundUp(cmp.Or(cfg.Every, time.Minute)))}
}

// Run takes part until ctx ends, and then cuts off what it is doing.
func (c *Chore) Run(ctx context.Context) error {
	server := asynq.NewServerFromRedisClient(c.redis.client, asynq.Config{
		Concurrency: 1,
		Queues:      map[string]int{c.queue(): 1},
		// asynq sleeps for up to one and a half of these between two looks, also
		// when it is told to stop.
		TaskCheckInterval:        choreInterval,
		DelayedTaskCheckInterval: c.every,
		ShutdownTimeout:          time.Second,
		BaseContext:              func() context.Context { return ctx },
		Logger:                   asynqLogger{c.log, newRepeats()},
	})
	err := server.Start(asynq.HandlerFunc(func(ctx context.Context, _ *asynq.Task) error {
		c.do(ctx)
		return nil
	}))
	if err != nil {
		return fmt.Errorf("start asynq: %w", err)
	}
	defer c.redis.shutdown(server, time.Second)
	for {
		c.enqueue(ctx)
		now := time.Now()
		timer := time.NewTimer(now.Truncate(c.every).Add(c.every).Sub(now))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

func (c *Chore) queue() string { return choreQueue + ":" + c.name }

// enqueue puts the chore of this window on its queue, if nobody else has.
func (c *Chore) enqueue(ctx context.Context) {
	window := time.Now().Unix() / int64(c.every/time.Second)
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	client := asynq.NewClientFromRedisClient(c.redis.client)
	_, err := client.EnqueueContext(ctx, asynq.NewTask(c.name, nil),
		asynq.TaskID(c.name+":"+strconv.FormatInt(window, 10)), asynq.Queue(c.queue()),
		// One that was cut off by a crash comes again, in whichever window.
		asynq.MaxRetry(1), asynq.Timeout(c.every), asynq.Retention(2*c.every))
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) && ctx.Err() == nil {
		c.log.WarnContext(ctx, "chore not enqueued", "chore", c.name, "error", err)
	}
}
