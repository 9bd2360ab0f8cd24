package queue_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"dialtone/internal/batch"
	"dialtone/internal/queue"
)

func benchServers() map[string]func(testing.TB) *queue.Redis {
	return map[string]func(testing.TB) *queue.Redis{"single": realRedis, "in_process": inProcess}
}

// One batch of ten onto the queue.
func BenchmarkEnqueue10(b *testing.B) {
	for name, start := range benchServers() {
		b.Run(name, func(b *testing.B) {
			r := start(b)
			p, net := producer(r), network()
			for i := 0; b.Loop(); i++ {
				list := tasks(net, 10)
				for k := range list {
					list[k].Attempt = i + 1
				}
				if err := p.Enqueue(b.Context(), list); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			r.Client().Del(context.Background(), key(batch.Interactive, net, "pending"))
		})
	}
}

// From before Enqueue until the handlers of n tasks have run, one caller.
func BenchmarkPickUp(b *testing.B) {
	for name, start := range benchServers() {
		for _, n := range []int{1, 10} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				r := start(b)
				p, net := producer(r), network()
				ran := make(chan struct{}, n)
				c := consume(b, r, queue.ConsumerConfig{Networks: []string{net}}, func(context.Context, batch.Task) error {
					ran <- struct{}{}
					return nil
				})
				woken(b, c)
				for i := 0; b.Loop(); i++ {
					list := tasks(net, n)
					for k := range list {
						list[k].Attempt = i + 1
					}
					if err := p.Enqueue(b.Context(), list); err != nil {
						b.Fatal(err)
					}
					for range n {
						<-ran
					}
				}
			})
		}
	}
}

// A backlog of no-op tasks, worked off.
func BenchmarkBacklog(b *testing.B) {
	for name, start := range benchServers() {
		for _, servers := range []int{1, 2, 4} {
			for _, fetch := range []int{1, 16, 64} {
				b.Run(fmt.Sprintf("%s/servers=%d/fetch=%d", name, servers, fetch), func(b *testing.B) {
					r := start(b)
					p, net := producer(r), network()
					for done := 0; done < b.N; done += 500 {
						list := tasks(net, min(500, b.N-done))
						for k := range list {
							list[k].Attempt = done + 1
						}
						if err := p.Enqueue(b.Context(), list); err != nil {
							b.Fatal(err)
						}
					}
					var ran atomic.Int64
					all := make(chan struct{})
					b.ResetTimer()
					consume(b, r, queue.ConsumerConfig{Networks: []string{net}, Servers: servers, Fetch: fetch}, func(context.Context, batch.Task) error {
						if ran.Add(1) == int64(b.N) {
							close(all)
						}
						return nil
					})
					<-all
					b.StopTimer()
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
				})
			}
		}
	}
}
