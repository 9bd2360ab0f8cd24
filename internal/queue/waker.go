package queue

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/encoding/protowire"
)

// waker hears the producers' wake-ups for all fetchers of a consumer.
type waker struct {
	log       *slog.Logger
	redis     *Redis
	queues    []string
	fetchers  []*fetcher
	connected atomic.Bool
	wakes     atomic.Uint64
}

// run listens until ctx ends.
func (w *waker) run(ctx context.Context) {
	channels := make([]string, len(w.queues))
	for i, q := range w.queues {
		channels[i] = wakeChannel(q)
	}
	w.redis.subscribe(ctx, channels, func() {
		w.connected.Store(true)
		w.wakeAll() // for what was published before
	}, func(*redis.Message) {
		w.wakes.Add(1)
		w.wakeAll()
	})
	w.connected.Store(false)
	w.wakeAll()
}

func (w *waker) wakeAll() {
	for _, f := range w.fetchers {
		f.awake()
	}
}

// publish wakes the other workers. It may fail: they look for themselves soon.
func (w *waker) publish(ctx context.Context, queues []string) {
	ctx, cancel := context.WithTimeout(ctx, giveBackTimeout)
	defer cancel()
	pipe := w.redis.client.Pipeline()
	addWakeUps(ctx, pipe, queues)
	if _, err := pipe.Exec(ctx); err != nil {
		w.log.WarnContext(ctx, "wake other workers", "error", err)
	}
}

// giveBackTimeout bounds what is done when there may be no Redis any more.
const giveBackTimeout = 2 * time.Second

// giveBackScript undoes a dequeue, if nobody else has done so: the task is the
// next one again.
const giveBackScript = `
if redis.call("LREM", KEYS[1], 1, ARGV[1]) == 0 then
	return 0
end
redis.call("ZREM", KEYS[2], ARGV[1])
redis.call("HSET", KEYS[3], "state", "pending")
redis.call("RPUSH", KEYS[4], ARGV[1])
return 1`

// giveBack puts fetched tasks back, the last one first so that they keep their
// order. Should it fail, asynq and before it the relay find them.
func (w *waker) giveBack(ctx context.Context, tasks []fetched) {
	if len(tasks) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, giveBackTimeout)
	defer cancel()
	pipe := w.redis.client.Pipeline()
	var queues []string
	for _, t := range slices.Backward(tasks) {
		id, ok := messageID(t.message)
		if !ok {
			w.log.ErrorContext(ctx, "give back a task: unreadable", "queue", t.queue)
			continue
		}
		keys := []string{asynqKey(t.queue, "active"), asynqKey(t.queue, "lease"), taskKey(t.queue, id), asynqKey(t.queue, "pending")}
		_ = pipe.Process(ctx, evalCmd(ctx, "eval", giveBackScript, keys, []any{id}))
		if !slices.Contains(queues, t.queue) {
			queues = append(queues, t.queue)
		}
	}
	addWakeUps(ctx, pipe, queues)
	if _, err := pipe.Exec(ctx); err != nil {
		w.log.WarnContext(ctx, "give back tasks", "tasks", len(tasks), "error", err)
	}
}

// messageID finds the task's id in asynq's encoding: field 3 of its protocol
// buffer.
func messageID(message string) (string, bool) {
	const idField = 3
	for b := []byte(message); len(b) > 0; {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return "", false
		}
		b = b[n:]
		if number == idField && kind == protowire.BytesType {
			id, n := protowire.ConsumeBytes(b)
			return string(id), n >= 0
		}
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return "", false
		}
		b = b[n:]
	}
	return "", false
}
