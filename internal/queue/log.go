package queue

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
)

// asynqLogger passes on what asynq says. Its texts name task ids and Redis
// errors, never payloads; what it says about itself at start and stop is of
// interest to those who debug it.
type asynqLogger struct{ log *slog.Logger }

func (l asynqLogger) Debug(...any)     {}
func (l asynqLogger) Info(args ...any) { l.log.Debug("asynq", "text", fmt.Sprint(args...)) }
func (l asynqLogger) Warn(args ...any) { l.log.Warn("asynq", "text", fmt.Sprint(args...)) }
func (l asynqLogger) Error(args ...any) {
	l.log.Error("asynq", "text", fmt.Sprint(args...))
}

// Fatal does not end the process, as asynq's own logger would: that is for
// main to decide.
func (l asynqLogger) Fatal(args ...any) {
	l.log.Error("asynq", "text", fmt.Sprint(args...), "fatal", true)
}

// redisLogger passes on what the Redis library says, which it otherwise writes
// to standard error.
type redisLogger struct{ log *slog.Logger }

func (l redisLogger) Printf(ctx context.Context, format string, args ...any) {
	l.log.WarnContext(ctx, "redis", "text", strings.TrimPrefix(fmt.Sprintf(format, args...), "redis: "))
}
