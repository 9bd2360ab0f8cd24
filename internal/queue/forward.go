package queue

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"
)

// isForward recognises the question with which asynq moves tasks that have
// become due to the pending ones; now is its Unix time.
func (f *fetcher) isForward(keys []string, args []any) (now int64, ok bool) {
	if len(keys) != 2 || len(args) == 0 || !strings.HasSuffix(keys[1], "}:pending") ||
		!strings.HasSuffix(keys[0], "}:scheduled") && !strings.HasSuffix(keys[0], "}:retry") {
		return 0, false
	}
	now, ok = args[0].(int64)
	return now, ok
}

// forward lets asynq look once in each second, however often it asks: due
// times are whole seconds, so that asking often serves only to be there soon
// after the second has turned. When something became due it wakes workers,
// because nobody else does.
func (f *fetcher) forward(ctx context.Context, key string, now int64, run func() *redis.Cmd) *redis.Cmd {
	f.mu.Lock()
	idle := f.forwards[key] == now
	f.mu.Unlock()
	if idle {
		answer := redis.NewCmd(ctx)
		answer.SetVal(int64(0))
		return answer
	}
	answer := run()
	moved, err := answer.Int64()
	switch {
	case err != nil:
	case moved > 0:
		f.waker.wakeAll()
		queue := key[strings.IndexByte(key, '{')+1 : strings.LastIndexByte(key, '}')]
		f.waker.publish(ctx, []string{queue})
	default:
		f.mu.Lock()
		f.forwards[key] = now
		f.mu.Unlock()
	}
	return answer
}
