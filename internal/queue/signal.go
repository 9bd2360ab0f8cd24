package queue

import (
	"context"
	"fmt"

	"dialtone/internal/batch"

	"github.com/redis/go-redis/v9"
)

var _ batch.Listener = (*Redis)(nil)

// Signal tells each waiting api process which of its batches are done, all in
// one round trip. Completions for which nobody waits are left out.
func (p *Producer) Signal(ctx context.Context, done []batch.Completion) error {
	pipe := p.redis.client.Pipeline()
	for _, d := range done {
		if d.ReplyTo != "" {
			pipe.Publish(ctx, doneChannel(d.ReplyTo), d.BatchID)
		}
	}
	if pipe.Len() == 0 {
		return nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("publish completed batches: %w", err)
	}
	return nil
}

// Listen calls done for each batch that a Signal names for replyTo, one call
// at a time, until ctx ends; then it returns nil. When the connection breaks
// it makes a new one; what was published in between is lost, as a hint may be.
func (r *Redis) Listen(ctx context.Context, replyTo string, done func(batchID string)) error {
	r.subscribe(ctx, []string{doneChannel(replyTo)}, func() {}, func(m *redis.Message) { done(m.Payload) })
	return nil
}

// SignalEnded has all workers look which of their tests were ended.
func (p *Producer) SignalEnded(ctx context.Context) error {
	if err := p.redis.client.Publish(ctx, endedChannel, "").Err(); err != nil {
		return fmt.Errorf("publish that tests were ended: %w", err)
	}
	return nil
}

// ListenEnded calls look after each SignalEnded until ctx ends; then it returns
// nil. It is as sure as Listen.
func (r *Redis) ListenEnded(ctx context.Context, look func(context.Context)) error {
	r.subscribe(ctx, []string{endedChannel}, func() {}, func(*redis.Message) { look(ctx) })
	return nil
}

// subscribe follows channels until ctx ends. It calls connected whenever a
// subscription has just begun, the first time and after each loss of the
// connection, and message for each message.
func (r *Redis) subscribe(ctx context.Context, channels []string, connected func(), message func(*redis.Message)) {
	sub := r.client.Subscribe(ctx, channels...)
	events := sub.ChannelWithSubscriptions()
	defer func() {
		_ = sub.Close()
		for range events { // until the library's goroutine has closed it
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case event, open := <-events:
			if !open {
				return
			}
			switch e := event.(type) {
			case *redis.Subscription:
				connected()
			case *redis.Message:
				message(e)
			}
		}
	}
}
