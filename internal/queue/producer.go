package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/sabotage"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// ProducerConfig are a Producer's tunables.
type ProducerConfig struct {
	// TaskTimeout is how long a handler may take before asynq gives up on it:
	// the lease and some seconds, so that it never comes first. asynq counts
	// whole seconds, so it is rounded up. Default 22 s.
	TaskTimeout time.Duration
}

// maxRetry stands for "always": what ends a task is its test, not the queue.
const maxRetry = 1000

// Producer puts tasks on queues and publishes completions. It is safe for
// concurrent use.
type Producer struct {
	redis   *Redis
	timeout time.Duration
}

var (
	_ batch.Enqueuer = (*Producer)(nil)
	_ batch.Requeuer = (*Producer)(nil)
	_ batch.Signaler = (*Producer)(nil)
	_ batch.Stopper  = (*Producer)(nil)
)

// NewProducer makes a Producer.
func NewProducer(r *Redis, cfg ProducerConfig) *Producer {
	timeout := cmp.Or(cfg.TaskTimeout, 22*time.Second)
	return &Producer{redis: r, timeout: max(time.Second, roundUp(timeout))}
}

// roundUp gives whole seconds: asynq cuts off the rest, and takes zero for
// half an hour.
func roundUp(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

// Enqueue puts all tasks on their queues in one round trip and wakes their
// workers. A task that is there already is not an error. asynq knows whole
// seconds only: one that must wait runs at the turn of a second, up to one
// second late and never early, because a test that is not due yet would be
// refused and then wait for the relay.
func (p *Producer) Enqueue(ctx context.Context, tasks []batch.Task) error {
	_, err := p.send(ctx, tasks)
	return err
}

// Restore enqueues tasks that should be on the queue, and returns those that
// cannot be under their attempt, because the queue holds the task in a state
// from which it will not come to a worker: active, archived or completed.
func (p *Producer) Restore(ctx context.Context, tasks []batch.Task) ([]batch.Task, error) {
	there, err := p.send(ctx, tasks)
	if err != nil || len(there) == 0 {
		return nil, err
	}
	pipe := p.redis.client.Pipeline()
	states := make([]*redis.StringCmd, len(there))
	for i, t := range there {
		name, err := Name(t.Lane, t.Network)
		if err != nil {
			return nil, err
		}
		states[i] = pipe.HGet(ctx, taskKey(name, taskID(t)), "state")
	}
	_, _ = pipe.Exec(ctx) // each reply is looked at below
	var stuck []batch.Task
	for i, t := range there {
		switch state, err := states[i].Result(); {
		case errors.Is(err, redis.Nil):
			// Done with in this moment. Should its test still be open, it will
			// be asked for again.
		case err != nil:
			return nil, fmt.Errorf("ask for the states of tasks: %w", err)
		case slices.Contains([]string{"active", "archived", "completed"}, state):
			stuck = append(stuck, t)
		}
	}
	return stuck, nil
}

// send enqueues tasks and returns those that are there already.
func (p *Producer) send(ctx context.Context, tasks []batch.Task) ([]batch.Task, error) {
	if len(tasks) == 0 {
		return nil, nil
	}
	// A client of its own for each call: an asynq client that has written a
	// queue's name once never does so again, also not after a FLUSHALL.
	rec := &capture{UniversalClient: p.redis.client}
	client := asynq.NewClientFromRedisClient(rec)
	var (
		there, captured []batch.Task
		wake            []string
	)
	for _, t := range tasks {
		name, err := Name(t.Lane, t.Network)
		if err != nil {
			return nil, err
		}
		options := []asynq.Option{
			asynq.TaskID(taskID(t)), asynq.Queue(name), asynq.Timeout(p.timeout),
			asynq.MaxRetry(maxRetry), asynq.Retention(0),
		}
		if t.After <= 0 {
			if !slices.Contains(wake, name) {
				wake = append(wake, name)
			}
		} else {
			options = append(options, asynq.ProcessAt(time.Now().Add(t.After+time.Second-1).Truncate(time.Second)))
		}
		before := len(rec.calls)
		_, err = client.EnqueueContext(ctx, asynq.NewTask(taskType, []byte(sabotage.Swap(sabotage.QueueEndpoint, taskID(t), taskID(t)+" on "+t.Network))), options...)
		switch {
		case errors.Is(err, asynq.ErrTaskIDConflict):
			there = append(there, t)
		case err != nil:
			return nil, fmt.Errorf("enqueue test %s: %w", t.TestID, err)
		case len(rec.calls) > before:
			captured = append(captured, t)
		}
	}
	if err := rec.flush(ctx, wake); err != nil {
		return nil, fmt.Errorf("enqueue %d tests: %w", len(tasks), err)
	}
	for i, call := range rec.calls {
		if n, err := call.reply.Int64(); err == nil && n == 0 {
			there = append(there, captured[i])
		}
	}
	return there, nil
}
