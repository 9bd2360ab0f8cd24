package queue

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"
)

// capture is the Redis that asynq's client sees while it enqueues: it answers
// "done" and writes down what was asked, so that any number of tasks go to the
// real Redis in one round trip. What it does not recognise it lets through,
// which is slower and just as right. A capture serves one call.
type capture struct {
	redis.UniversalClient
	marks []*redis.IntCmd
	calls []*scriptCall
	sha   string
}

// scriptCall is one enqueued task: asynq's script and what it is called with.
type scriptCall struct {
	sha, source string
	keys        []string
	args        []any
	reply       *redis.Cmd
}

// SAdd is asynq's entry of the queue's name into the set of queues.
func (c *capture) SAdd(ctx context.Context, key string, members ...any) *redis.IntCmd {
	c.marks = append(c.marks, redis.NewIntCmd(ctx, append([]any{"sadd", key}, members...)...))
	answer := redis.NewIntCmd(ctx)
	answer.SetVal(1)
	return answer
}

// EvalSha says that the script is not known: asynq then calls Eval, and its
// source is known to us as well.
func (c *capture) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	if !enqueues(keys) {
		return c.UniversalClient.EvalSha(ctx, sha, keys, args...)
	}
	c.sha = sha
	answer := redis.NewCmd(ctx)
	answer.SetErr(redis.ErrNoScript)
	return answer
}

// Eval notes the call.
func (c *capture) Eval(ctx context.Context, source string, keys []string, args ...any) *redis.Cmd {
	if !enqueues(keys) || c.sha == "" {
		return c.UniversalClient.Eval(ctx, source, keys, args...)
	}
	c.calls = append(c.calls, &scriptCall{sha: c.sha, source: source, keys: keys, args: args})
	c.sha = ""
	answer := redis.NewCmd(ctx)
	answer.SetVal(int64(1))
	return answer
}

// enqueues recognises asynq's scripts for tasks that are due and for tasks
// that are due later.
func enqueues(keys []string) bool {
	return len(keys) == 2 && strings.Contains(keys[0], "}:t:") &&
		(strings.HasSuffix(keys[1], "}:pending") || strings.HasSuffix(keys[1], "}:scheduled"))
}

// flush sends what was captured, and behind it a wake-up for each queue. It
// returns Redis's own error for the first thing that did not work; a wake-up
// is a hint, and its failure is none.
func (c *capture) flush(ctx context.Context, wake []string) error {
	pipe := c.Pipeline()
	for _, mark := range c.marks {
		_ = pipe.Process(ctx, mark)
	}
	for _, call := range c.calls {
		call.reply = evalCmd(ctx, "evalsha", call.sha, call.keys, call.args)
		_ = pipe.Process(ctx, call.reply)
	}
	addWakeUps(ctx, pipe, wake)
	_, _ = pipe.Exec(ctx) // each reply is looked at below
	if err := c.flushUnknown(ctx, wake); err != nil {
		return err
	}
	for _, mark := range c.marks {
		if err := mark.Err(); err != nil {
			return err
		}
	}
	for _, call := range c.calls {
		if err := call.reply.Err(); err != nil {
			return err
		}
	}
	return nil
}

// flushUnknown sends those calls again, with their source, whose script Redis
// has not got: once after each start of a Redis.
func (c *capture) flushUnknown(ctx context.Context, wake []string) error {
	pipe := c.Pipeline()
	for _, call := range c.calls {
		if redis.HasErrorPrefix(call.reply.Err(), "NOSCRIPT") {
			call.reply = evalCmd(ctx, "eval", call.source, call.keys, call.args)
			_ = pipe.Process(ctx, call.reply)
		}
	}
	if pipe.Len() == 0 {
		return nil
	}
	addWakeUps(ctx, pipe, wake)
	_, _ = pipe.Exec(ctx) // as above
	return nil
}

// evalCmd is a script call that a pipeline can carry; name is eval or evalsha.
func evalCmd(ctx context.Context, name, script string, keys []string, args []any) *redis.Cmd {
	words := make([]any, 0, 3+len(keys)+len(args))
	words = append(words, name, script, len(keys))
	for _, k := range keys {
		words = append(words, k)
	}
	cmd := redis.NewCmd(ctx, append(words, args...)...)
	cmd.SetFirstKeyPos(3)
	return cmd
}

// addWakeUps publishes to the workers of the queues. On a cluster a wake-up
// must not overtake its tasks, so the channel is treated as a key: its hash
// tag sends it to the node that has the queue, behind the tasks.
func addWakeUps(ctx context.Context, pipe redis.Pipeliner, queues []string) {
	for _, q := range queues {
		cmd := redis.NewIntCmd(ctx, "publish", wakeChannel(q), "")
		cmd.SetFirstKeyPos(1)
		_ = pipe.Process(ctx, cmd)
	}
}
