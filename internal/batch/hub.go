package batch

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"dialtone/internal/sabotage"
)

// Listener brings the signals that are meant for this process.
type Listener interface {
	// Listen calls done with the id of each completed batch until ctx ends. It
	// reconnects by itself and returns nil when ctx ends.
	Listen(ctx context.Context, replyTo string, done func(batchID string)) error
}

// Hub is where requests wait for their batches. A signal is a hint: once per
// Look it asks the store, in one query for all who wait.
type Hub struct {
	log   *slog.Logger
	store interface {
		Completed(ctx context.Context, ids []string) ([]string, error)
	}
	listen  Listener
	replyTo string
	look    time.Duration

	mu      sync.Mutex
	waiting map[string]*waited
}

// waited is a batch that requests wait for.
type waited struct {
	done    chan struct{}
	waiters int
}

// NewHub wires a Hub. look is how often it asks the store; zero means 1 s.
func NewHub(log *slog.Logger, store Reader, listen Listener, replyTo string, look time.Duration) *Hub {
	if look <= 0 {
		look = time.Second
	}
	return &Hub{log: log, store: store, listen: listen, replyTo: replyTo, look: look, waiting: map[string]*waited{}}
}

// Run listens and looks until ctx ends.
func (h *Hub) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() { every(ctx, h.look, h.lookUp) })
	err := h.listen.Listen(ctx, h.replyTo, h.Done)
	cancel()
	looking.Wait()
	return err
}

// expect makes the Hub remember a batch, so that a signal that comes before
// the Wait is not lost.
func (h *Hub) expect(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.waiting[id]
	if w == nil {
		w = &waited{done: make(chan struct{})}
		h.waiting[id] = w
	}
	w.waiters++
}

func (h *Hub) forget(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.waiting[id]
	if w == nil {
		return
	}
	if w.waiters--; w.waiters <= 0 {
		delete(h.waiting, id)
	}
}

// Wait returns nil once the batch is done, or the context's error. A batch
// that was not submitted with Request.Wait by this process is not waited for.
func (h *Hub) Wait(ctx context.Context, id string) error {
	h.mu.Lock()
	w := h.waiting[id]
	h.mu.Unlock()
	if w == nil {
		return nil
	}
	defer h.forget(id)
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Join is Wait for a batch that another process may have submitted. No signal
// says when that is done, so it takes up to a Look longer.
func (h *Hub) Join(ctx context.Context, id string) error {
	h.expect(id)
	return h.Wait(ctx, id)
}

// Done wakes who waits for the batch.
func (h *Hub) Done(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.waiting[id]
	if w == nil {
		return
	}
	select {
	case <-w.done:
	default:
		close(w.done)
	}
}

// Waiting counts the batches that somebody waits for.
func (h *Hub) Waiting() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.waiting)
}

func (h *Hub) lookUp(ctx context.Context) {
	h.mu.Lock()
	ids := slices.Collect(maps.Keys(h.waiting))
	h.mu.Unlock()
	if len(ids) == 0 || sabotage.On(sabotage.TrustSignal) {
		return
	}
	done, err := h.store.Completed(ctx, ids)
	if err != nil {
		h.log.WarnContext(ctx, "look for completed batches", "error", err)
		return
	}
	for _, id := range done {
		h.Done(id)
	}
}

// every calls do at once and then in each period until ctx ends. One call has
// ten seconds: a store that is frozen must not stop it for good.
func every(ctx context.Context, period time.Duration, do func(context.Context)) {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for ctx.Err() == nil {
		bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
		do(bounded)
		cancel()
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}
