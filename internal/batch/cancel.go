package batch

import (
	"context"
	"log/slog"
	"time"
)

// Canceller ends batches that nobody wants any more, and tells whoever is at
// work on them or waits for them.
type Canceller struct {
	log      *slog.Logger
	store    Ender
	signal   Signaler
	stop     Stopper
	observer Observer
}

// NewCanceller wires a Canceller. observer may be nil.
func NewCanceller(log *slog.Logger, store Ender, signal Signaler, stop Stopper, observer Observer) *Canceller {
	if observer == nil {
		observer = Quiet{}
	}
	return &Canceller{log: log, store: store, signal: signal, stop: stop, observer: observer}
}

// Cancel ends what is open of one batch; ErrNotFound when the project has no
// such batch. Queued tests are over when it returns, the probes of running ones
// a moment later.
func (c *Canceller) Cancel(ctx context.Context, project, id string) error {
	done, n, err := c.store.Cancel(ctx, project, id)
	if err != nil {
		return err
	}
	if n == 0 {
		return nil
	}
	c.observer.Swept("cancelled", n)
	announce(ctx, c.log, c.signal, c.observer, done)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := c.stop.SignalEnded(ctx); err != nil { // they look by themselves
		c.log.WarnContext(ctx, "workers not told of cancelled tests", "batch", id, "error", err)
	}
	return nil
}
