package queue

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// asynqLogger passes on what asynq says. Its texts name task ids and Redis
// errors, never payloads; what it says about itself at start and stop is of
// interest to those who debug it.
type asynqLogger struct {
	log  *slog.Logger
	once *repeats
}

// Debug says nothing: asynq would report each look at an empty queue.
func (l asynqLogger) Debug(...any)     {}
func (l asynqLogger) Info(args ...any) { l.log.Debug("asynq", "text", fmt.Sprint(args...)) }
func (l asynqLogger) Warn(args ...any) { l.say(slog.LevelWarn, args) }

func (l asynqLogger) Error(args ...any) { l.say(slog.LevelError, args) }

// Fatal does not end the process, as asynq's own logger would: that is for
// main to decide.
func (l asynqLogger) Fatal(args ...any) { l.say(slog.LevelError, args) }

func (l asynqLogger) say(level slog.Level, args []any) {
	text := fmt.Sprint(args...)
	// The beginning says what happened, the rest to which task.
	if missed, ok := l.once.allow(text[:min(len(text), 24)], time.Now()); ok {
		l.log.Log(context.Background(), level, "asynq", "text", text, "repeats", missed) // asynq has no context for it
	}
}

// redisLogger passes on what the Redis library says, which it otherwise writes
// to standard error.
type redisLogger struct {
	log  *slog.Logger
	once *repeats
}

// Printf is the library's interface. It knows no levels: what begins with
// "sentinel" is mostly how it found the master.
func (l redisLogger) Printf(ctx context.Context, format string, args ...any) {
	missed, ok := l.once.allow(format, time.Now())
	if !ok {
		return
	}
	level := slog.LevelWarn
	if strings.HasPrefix(format, "sentinel: ") {
		level = slog.LevelInfo
	}
	l.log.Log(ctx, level, "redis", "text", strings.TrimPrefix(fmt.Sprintf(format, args...), "redis: "), "repeats", missed)
}

// repeats keeps a Redis that is away from filling the log: both libraries
// would say so several times per second.
type repeats struct {
	mu     sync.Mutex
	said   map[string]time.Time
	missed map[string]int
}

// repeatEvery is how often the same thing is said.
const repeatEvery = 10 * time.Second

func newRepeats() *repeats {
	return &repeats{said: map[string]time.Time{}, missed: map[string]int{}}
}

// allow says whether to log a thing now, and how often it was kept back since
// it was logged last.
func (r *repeats) allow(what string, now time.Time) (missed int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, found := r.said[what]; found && now.Sub(last) < repeatEvery {
		r.missed[what]++
		return 0, false
	}
	const most = 256 // different things; more are not expected
	if len(r.said) >= most {
		clear(r.said)
		clear(r.missed)
	}
	missed = r.missed[what]
	r.said[what] = now
	delete(r.missed, what)
	return missed, true
}
