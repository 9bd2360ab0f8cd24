package batch

import (
	"context"
	"sync"
	"time"
)

// announced remembers for a moment which networks workers stand in: workers
// come and go in seconds, and every batch asks.
type announced struct {
	store interface {
		Networks(ctx context.Context, age time.Duration) ([]string, error)
	}
	age  time.Duration // how long an announcement counts
	keep time.Duration // how long an answer does

	mu       sync.Mutex
	asked    time.Time
	networks []string
}

// list gives the networks; the slice is shared and must not be changed. An
// answer that names none is not kept: the first worker is about to come.
func (a *announced) list(ctx context.Context) ([]string, error) {
	a.mu.Lock()
	networks, fresh := a.networks, len(a.networks) > 0 && time.Since(a.asked) < a.keep
	a.mu.Unlock()
	if fresh {
		return networks, nil
	}
	asked := time.Now()
	networks, err := a.store.Networks(ctx, a.age)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked, a.networks = asked, networks
	return networks, nil
}
