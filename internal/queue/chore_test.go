package queue_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dialtone/internal/queue"
)

// Of three processes one does the chore of each window.
func TestChoreOncePerWindow(t *testing.T) {
	t.Parallel()
	for name, start := range servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			const every = 2 * time.Second
			var mu sync.Mutex
			windows := map[int64]int{}
			do := func(context.Context) {
				mu.Lock()
				defer mu.Unlock()
				windows[time.Now().Unix()/2]++
			}
			ctx, stop := context.WithCancel(t.Context())
			var all sync.WaitGroup
			name := network()
			begun := time.Now()
			for range 3 {
				c := queue.NewChore(slog.New(slog.DiscardHandler), r, do, queue.ChoreConfig{Name: name, Every: every})
				all.Go(func() {
					if err := c.Run(ctx); err != nil {
						t.Error(err)
					}
				})
			}
			total := func() (n int) {
				mu.Lock()
				defer mu.Unlock()
				for _, one := range windows {
					n += one
				}
				return n
			}
			eventually(t, "three windows have gone by", func() bool { return total() >= 3 })
			took := time.Since(begun)
			stop()
			all.Wait()
			// As many windows as were touched, each once; a late start may have
			// put one into the next.
			if most := int(took/every) + 2; total() > most {
				t.Errorf("done %d times in %v: %v", total(), took, windows)
			}
		})
	}
}

// A chore that is under way ends when its process stops.
func TestChoreIsCutOff(t *testing.T) {
	t.Parallel()
	for name, start := range servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun := make(chan struct{}, 1)
			var cut atomic.Bool
			c := queue.NewChore(slog.New(slog.DiscardHandler), start(t), func(ctx context.Context) {
				begun <- struct{}{}
				<-ctx.Done()
				cut.Store(true)
			}, queue.ChoreConfig{Name: network(), Every: time.Minute})
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- c.Run(ctx) }()
			<-begun
			stop()
			if err := <-ended; err != nil || !cut.Load() {
				t.Errorf("Run = %v, cut off: %t", err, cut.Load())
			}
		})
	}
}

// A process that has nothing to do stops without waiting for the next look.
func TestChoreStopsWhenIdle(t *testing.T) {
	t.Parallel()
	for name, start := range servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			done := make(chan struct{}, 1)
			c := queue.NewChore(slog.New(slog.DiscardHandler), start(t), func(context.Context) { done <- struct{}{} },
				queue.ChoreConfig{Name: network(), Every: time.Minute})
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- c.Run(ctx) }()
			<-done // from here on asynq sleeps between looks
			stop()
			select {
			case err := <-ended:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(2 * time.Second):
				t.Error("an idle chore has not stopped after 2 s")
				<-ended
			}
		})
	}
}
