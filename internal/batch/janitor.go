package batch

import (
	"cmp"
	"context"
	"log/slog"
	"time"
)

// Remover removes what has had its time, in steps that hold nobody up. Steps
// may be made by several processes at once: they skip each other's rows.
type Remover interface {
	// RemoveBatches removes batches that have been done for longer than age,
	// with all that belongs to them, oldest first and each as a whole: as many
	// as fit in about limit rows, and one if there is any.
	RemoveBatches(ctx context.Context, age time.Duration, limit int) (batches, tests int, err error)
	// RemoveKeys removes at most limit keys that are older than age.
	RemoveKeys(ctx context.Context, age time.Duration, limit int) (int, error)
}

// JanitorConfig are the Janitor's tunables.
type JanitorConfig struct {
	// Retention is how long a batch is kept once it is done. Zero: for ever.
	Retention time.Duration
	// Step is about how many rows are removed in one transaction. Default 1,000.
	Step int
}

// Janitor removes what has had its time. It may stop and start anywhere.
type Janitor struct {
	log      *slog.Logger
	observer Sweeps
	steps    []removal
}

// removal removes about a step of rows, and says how many of what.
type removal struct {
	what string
	step func(ctx context.Context) (map[string]int, error)
}

// NewJanitor wires a Janitor. observer may be nil.
func NewJanitor(log *slog.Logger, store Remover, observer Sweeps, cfg JanitorConfig) *Janitor {
	step := cmp.Or(cfg.Step, 1000)
	if observer == nil {
		observer = Quiet{}
	}
	j := &Janitor{log: log, observer: observer}
	if cfg.Retention > 0 {
		j.steps = append(j.steps, removal{"batches", func(ctx context.Context) (map[string]int, error) {
			batches, tests, err := store.RemoveBatches(ctx, cfg.Retention, step)
			return map[string]int{"batches": batches, "tests": tests}, err
		}})
	}
	// One entry for each kind of rows that age by themselves.
	j.steps = append(j.steps, removal{"keys", func(ctx context.Context) (map[string]int, error) {
		keys, err := store.RemoveKeys(ctx, KeyLife, step)
		return map[string]int{"keys": keys}, err
	}})
	return j
}

// Clean removes step by step until nothing is left to remove, or ctx ends.
func (j *Janitor) Clean(ctx context.Context) {
	for _, r := range j.steps {
		for ctx.Err() == nil {
			removed, err := r.step(ctx)
			if err != nil {
				if ctx.Err() == nil {
					j.log.WarnContext(ctx, "remove what is old", "what", r.what, "error", err)
				}
				break
			}
			if removed[r.what] == 0 {
				break
			}
			for what, n := range removed {
				j.observer.Removed(what, n)
			}
		}
	}
}
