package queue_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/queue"
)

func bulk(network string, from, n int) []batch.Task {
	list := make([]batch.Task, n)
	for i := range list {
		list[i] = task(network, from+i)
		list[i].Lane = batch.Bulk
	}
	return list
}

// Bulk tasks that hang do not take the places of those that somebody waits for,
// and take every other one as it becomes free.
func TestBulkLeavesPlacesFree(t *testing.T) {
	t.Parallel()
	for name, start := range servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			net := network()
			var hanging, most atomic.Int64
			release := make(chan struct{})
			ran := make(chan batch.Task, 100)
			c := consume(t, r, queue.ConsumerConfig{Networks: []string{net}, Concurrency: 8, MaxWait: 10 * time.Second}, func(_ context.Context, k batch.Task) error {
				if k.Lane == batch.Bulk {
					n := hanging.Add(1)
					for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
					}
					<-release
					hanging.Add(-1)
				}
				ran <- k
				return nil
			})
			t.Cleanup(sync.OnceFunc(func() { close(release) }))
			woken(t, c)
			if err := producer(r).Enqueue(t.Context(), bulk(net, 0, 40)); err != nil {
				t.Fatal(err)
			}
			eventually(t, "bulk tasks have their places", func() bool { return hanging.Load() == 6 })
			for i := range 10 {
				if err := producer(r).Enqueue(t.Context(), []batch.Task{task(net, 100+i)}); err != nil {
					t.Fatal(err)
				}
				select {
				case k := <-ran:
					if k.Lane != batch.Interactive {
						t.Fatalf("%v ran", k)
					}
				case <-time.After(20 * time.Second):
					t.Fatal("an interactive task waits behind bulk ones that hang")
				}
			}
			began := time.Now()
			for range 34 {
				release <- struct{}{}
				<-ran
			}
			eventually(t, "the last bulk tasks run", func() bool { return hanging.Load() == 6 })
			for range 6 {
				release <- struct{}{}
				<-ran
			}
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("it took %v to work them off: a place that is free is not seen before the next look", took)
			}
			if most.Load() != 6 {
				t.Errorf("%d bulk tasks at once, want 6 of 8 places", most.Load())
			}
		})
	}
}

// From before Enqueue until the handler of an interactive task runs: alone, and
// while a backlog of bulk tasks is worked off, of which each takes 20 ms.
func BenchmarkPickUpUnderBulk(b *testing.B) {
	for name, start := range benchServers() {
		b.Run(name, func(b *testing.B) {
			r := start(b)
			p, net := producer(r), network()
			ran := make(chan struct{}, 1)
			var left atomic.Int64
			c := consume(b, r, queue.ConsumerConfig{Networks: []string{net}, Concurrency: 64}, func(ctx context.Context, k batch.Task) error {
				if k.Lane == batch.Interactive {
					ran <- struct{}{}
					return nil
				}
				left.Add(-1)
				select {
				case <-time.After(20 * time.Millisecond):
				case <-ctx.Done():
				}
				return nil
			})
			woken(b, c)
			n := 0
			pickUp := func() time.Duration {
				n++
				began := time.Now()
				if err := p.Enqueue(b.Context(), []batch.Task{task(net, n)}); err != nil {
					b.Fatal(err)
				}
				<-ran
				return time.Since(began)
			}
			var alone, beside []time.Duration
			for b.Loop() {
				alone = append(alone, pickUp())
			}
			for range len(alone) {
				if left.Load() < 200 {
					left.Add(1000)
					if err := p.Enqueue(b.Context(), bulk(net, 1_000_000+n*1000, 1000)); err != nil {
						b.Fatal(err)
					}
				}
				beside = append(beside, pickUp())
			}
			slices.Sort(alone)
			slices.Sort(beside)
			half, most := len(alone)/2, len(alone)*99/100
			b.ReportMetric(float64(alone[half].Microseconds())/1000, "ms/alone")
			b.ReportMetric(float64(beside[half].Microseconds())/1000, "ms/beside")
			b.ReportMetric(float64(beside[half])/float64(alone[half]), "ratio")
			b.ReportMetric(float64(beside[most].Microseconds())/1000, "ms/beside_p99")
		})
	}
}
