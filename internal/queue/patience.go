package queue

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// asynq gives what it asks of Redis no time limit, or that of a lease, and the
// library tries four times: a Redis that takes packets and does not answer holds
// each question up for twenty seconds, and a stop, which waits for one after the
// other, for minutes. patience puts a limit where there is none or a longer one,
// and such questions fail at once when a stop has waited long enough.
type patience struct{ over atomic.Bool }

const (
	// longestCommand is how long a command may take, its repetitions included.
	longestCommand = 5 * time.Second
	// goodbye is how long asynq may take to end beyond what it waits for handlers.
	goodbye = 2 * time.Second
)

var errStopped = errors.New("redis does not answer, and the process ends")

// bound gives a context a deadline that has none, or a far one.
func (p *patience) bound(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if end, set := ctx.Deadline(); set && time.Until(end) <= longestCommand {
		return ctx, func() {}, nil
	}
	if p.over.Load() {
		return nil, nil, errStopped
	}
	ctx, cancel := context.WithTimeout(ctx, longestCommand)
	return ctx, cancel, nil
}

// DialHook changes nothing.
func (p *patience) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook bounds a command.
func (p *patience) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		bounded, cancel, err := p.bound(ctx)
		if err != nil {
			cmd.SetErr(err)
			return err
		}
		defer cancel()
		return next(bounded, cmd)
	}
}

// ProcessPipelineHook bounds a pipeline.
func (p *patience) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		bounded, cancel, err := p.bound(ctx)
		if err != nil {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
			return err
		}
		defer cancel()
		return next(bounded, cmds)
	}
}

// shutdown ends an asynq server, which waits so long for handlers.
func (r *Redis) shutdown(server *asynq.Server, handlers time.Duration) {
	timer := time.AfterFunc(handlers+goodbye, func() { r.patience.over.Store(true) })
	defer timer.Stop()
	server.Shutdown()
}
