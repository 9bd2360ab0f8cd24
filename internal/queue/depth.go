package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"dialtone/internal/batch"

	"github.com/hibiken/asynq"
)

// depthAge is how long figures are good for: each costs Redis several looks at
// each queue, and more than one may ask.
const depthAge = 3 * time.Second

// Depth is what one queue holds.
type Depth struct {
	Queue   string
	Lane    batch.Lane
	Network string
	// Sizes counts the tasks in each state: pending, active, scheduled, retry,
	// archived, completed.
	Sizes map[string]int
	// Processed counts the tasks whose handler returned nil, ever.
	Processed int
	// Oldest is how long the first of the pending tasks has waited.
	Oldest time.Duration
}

type depthCache struct {
	mu     sync.Mutex
	taken  time.Time
	depths []Depth
}

// Depths describes every queue that ever had a task, as it was at most three
// seconds ago.
func (r *Redis) Depths(ctx context.Context) ([]Depth, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.depths.mu.Lock()
	defer r.depths.mu.Unlock()
	if time.Since(r.depths.taken) < depthAge {
		return r.depths.depths, nil
	}
	inspector := asynq.NewInspectorFromRedisClient(r.client)
	names, err := inspector.Queues()
	if err != nil {
		return nil, fmt.Errorf("list queues: %w", err)
	}
	var depths []Depth
	for _, name := range names {
		lane, network, ours := parseName(name)
		if !ours {
			continue
		}
		info, err := inspector.GetQueueInfo(name)
		if errors.Is(err, asynq.ErrQueueNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at queue %s: %w", name, err)
		}
		depths = append(depths, Depth{
			Queue: name, Lane: lane, Network: network, Processed: info.ProcessedTotal, Oldest: info.Latency,
			Sizes: map[string]int{
				"pending": info.Pending, "active": info.Active, "scheduled": info.Scheduled,
				"retry": info.Retry, "archived": info.Archived, "completed": info.Completed,
			},
		})
	}
	r.depths.depths, r.depths.taken = depths, time.Now()
	return depths, nil
}
