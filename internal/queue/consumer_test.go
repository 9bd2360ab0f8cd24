package queue_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"dialtone/internal/batch"
	"dialtone/internal/queue"
	"dialtone/internal/secret"
)

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestConsume(t *testing.T) {
	t.Parallel()
	for name, start := range servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			one, two := network(), network()
			var (
				mu  sync.Mutex
				got = map[batch.Task]int{}
			)
			c := consume(t, r, queue.ConsumerConfig{Networks: []string{one, two}, Concurrency: 8}, func(_ context.Context, k batch.Task) error {
				mu.Lock()
				defer mu.Unlock()
				got[k]++
				return nil
			})
			woken(t, c)
			want := append(tasks(one, 60), tasks(two, 60)...)
			for i := range 30 {
				want[4*i].Lane = batch.Bulk
			}
			if err := producer(r).Enqueue(t.Context(), want); err != nil {
				t.Fatal(err)
			}
			eventually(t, "all tasks run", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return len(got) == len(want)
			})
			for _, k := range want {
				if got[k] != 1 {
					t.Errorf("%v ran %d times", k, got[k])
				}
			}
			eventually(t, "asynq counts them as processed", func() bool {
				fresh := queue.Embedded(r.Client()) // without the figures of a moment ago
				depths, err := fresh.Depths(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				processed := 0
				for _, d := range depths {
					if d.Network == one || d.Network == two {
						processed += d.Processed
					}
				}
				return processed == len(want)
			})
		})
	}
}

// An error of a handler may hold anything. It belongs into the log, not into
// Redis, where every tool shows it.
func TestFailedTaskKeepsItsErrorToItself(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		handle func() error
		logged string
	}{
		{"error", func() error { return errors.New("dial postgres://u:hush@h: refused") }, "refused"},
		{"panic", func() error { panic("hush") }, "panic_type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for name, start := range servers() {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					r := start(t)
					net := network()
					var (
						log  syncBuffer
						runs atomic.Int64
					)
					consume(t, r, queue.ConsumerConfig{Networks: []string{net}, Backoff: time.Hour, Logger: slog.New(slog.NewJSONHandler(&log, nil))},
						func(context.Context, batch.Task) error {
							runs.Add(1)
							return c.handle()
						})
					if err := producer(r).Enqueue(t.Context(), tasks(net, 1)); err != nil {
						t.Fatal(err)
					}
					inspector := asynq.NewInspectorFromRedisClient(r.Client())
					eventually(t, "the task waits for its retry", func() bool {
						info, err := inspector.GetTaskInfo("interactive:"+net, "test-0:1")
						return err == nil && info.State == asynq.TaskStateRetry
					})
					info, err := inspector.GetTaskInfo("interactive:"+net, "test-0:1")
					if err != nil {
						t.Fatal(err)
					}
					if want := "not done; the worker's log says why"; info.LastErr != want || info.Retried != 0 {
						t.Errorf("stored error %q after %d retries, want %q after 0", info.LastErr, info.Retried, want)
					}
					if n := strings.Count(log.String(), c.logged); n != 1 {
						t.Errorf("logged %d times, want once:\n%s", n, log.String())
					}
					if c.name == "panic" && strings.Contains(log.String(), "hush") {
						t.Errorf("the log shows the value of the panic:\n%s", log.String())
					}
				})
			}
		})
	}
}

func TestFailedTaskComesAgain(t *testing.T) {
	t.Parallel()
	for name, start := range servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			net := network()
			var runs atomic.Int64
			consume(t, r, queue.ConsumerConfig{Networks: []string{net}, Backoff: time.Second}, func(context.Context, batch.Task) error {
				switch runs.Add(1) {
				case 1:
					return errors.New("no")
				case 2:
					panic("no")
				default:
					return nil
				}
			})
			if err := producer(r).Enqueue(t.Context(), tasks(net, 1)); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the third run", func() bool { return runs.Load() == 3 })
		})
	}
}

func TestForeignTaskIsDropped(t *testing.T) {
	t.Parallel()
	r, net := inProcess(t), network()
	var log syncBuffer
	consume(t, r, queue.ConsumerConfig{Networks: []string{net}, Logger: slog.New(slog.NewJSONHandler(&log, nil))},
		func(_ context.Context, k batch.Task) error {
			t.Errorf("handled %v", k)
			return nil
		})
	client := asynq.NewClientFromRedisClient(r.Client())
	if _, err := client.Enqueue(asynq.NewTask("mail", []byte("to hush")), asynq.Queue("bulk:"+net)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the task is dropped", func() bool {
		info, err := asynq.NewInspectorFromRedisClient(r.Client()).GetQueueInfo("bulk:" + net)
		return err == nil && info.Size == 0
	})
	if !strings.Contains(log.String(), "task dropped") || strings.Contains(log.String(), "hush") {
		t.Errorf("the log must tell it without the payload:\n%s", log.String())
	}
}

// A task that was fetched and has no free slot could be run by another worker.
func TestNoMoreThanFreeSlots(t *testing.T) {
	t.Parallel()
	for name, start := range servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			net := network()
			release := make(chan struct{})
			var running, most atomic.Int64
			handle := func(context.Context, batch.Task) error {
				n := running.Add(1)
				for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
				}
				<-release
				running.Add(-1)
				return nil
			}
			if err := producer(r).Enqueue(t.Context(), tasks(net, 40)); err != nil {
				t.Fatal(err)
			}
			first := consume(t, r, queue.ConsumerConfig{Networks: []string{net}, Concurrency: 5}, handle)
			eventually(t, "all slots are taken", func() bool { return first.Stats().Running == 5 })
			active := func() int64 {
				n, err := r.Client().LLen(t.Context(), key(batch.Interactive, net, "active")).Result()
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			if got := active(); got != 5 {
				t.Errorf("%d tasks are active with 5 slots", got)
			}
			second := consume(t, r, queue.ConsumerConfig{Networks: []string{net}, Concurrency: 7, Servers: 3}, handle)
			eventually(t, "the other worker takes its share", func() bool { return second.Stats().Running == 7 })
			if got := active(); got != 12 {
				t.Errorf("%d tasks are active with 12 slots", got)
			}
			close(release)
			eventually(t, "all tasks are done", func() bool { return active() == 0 && running.Load() == 0 })
			if most.Load() > 12 {
				t.Errorf("%d tasks ran at once with 12 slots", most.Load())
			}
		})
	}
}

func TestWeights(t *testing.T) {
	t.Parallel()
	r, net := realRedis(t), network()
	list := tasks(net, 400)
	for i := range list {
		if i%2 == 0 {
			list[i].Lane = batch.Bulk
		}
	}
	if err := producer(r).Enqueue(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	var (
		mu    sync.Mutex
		order []batch.Lane
	)
	consume(t, r, queue.ConsumerConfig{Networks: []string{net}, Concurrency: 1}, func(_ context.Context, k batch.Task) error {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, k.Lane)
		return nil
	})
	eventually(t, "all tasks run", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(order) == len(list)
	})
	bulk := 0
	for _, lane := range order[:140] {
		if lane == batch.Bulk {
			bulk++
		}
	}
	// One in seven is 20; far from it on both sides is a weight that is not kept.
	if bulk < 5 || bulk > 45 {
		t.Errorf("%d of the first 140 tasks were bulk, want about 20", bulk)
	}
}

func TestDrainAndStopPutWorkBack(t *testing.T) {
	t.Parallel()
	for name, start := range servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			net := network()
			quit := make(chan struct{})
			t.Cleanup(func() { close(quit) })
			c := consume(t, r, queue.ConsumerConfig{Networks: []string{net}, Concurrency: 3, ShutdownTimeout: 50 * time.Millisecond},
				func(context.Context, batch.Task) error {
					<-quit // a handler that heeds nothing
					return nil
				})
			if err := producer(r).Enqueue(t.Context(), tasks(net, 10)); err != nil {
				t.Fatal(err)
			}
			eventually(t, "all slots are taken", func() bool { return c.Stats().Running == 3 })
			c.Drain()
			c.Stop()
			c.Stop() // does nothing
			length := func(part string) int64 {
				n, err := r.Client().LLen(t.Context(), key(batch.Interactive, net, part)).Result()
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			if p, a := length("pending"), length("active"); p != 10 || a != 0 {
				t.Errorf("after Stop %d tasks are pending and %d active, want 10 and 0", p, a)
			}
			if n, err := r.Client().ZCard(t.Context(), key(batch.Interactive, net, "lease")).Result(); err != nil || n != 0 {
				t.Errorf("%d leases are left, %v", n, err)
			}
			// And they are as good as new.
			var (
				mu  sync.Mutex
				ran []string
			)
			consume(t, r, queue.ConsumerConfig{Networks: []string{net}}, func(_ context.Context, k batch.Task) error {
				mu.Lock()
				defer mu.Unlock()
				ran = append(ran, k.TestID)
				return nil
			})
			eventually(t, "another worker does them", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return len(ran) == 10
			})
			slices.Sort(ran)
			if len(slices.Compact(ran)) != 10 {
				t.Errorf("ran %v, want each once", ran)
			}
		})
	}
}

// A worker that stops refuses what it was handed a moment before; another one
// gets it without the pause that follows a failure.
func TestRefusedWhileDraining(t *testing.T) {
	t.Parallel()
	r, net := inProcess(t), network()
	begun, refuse := make(chan struct{}), make(chan struct{})
	c := consume(t, r, queue.ConsumerConfig{Networks: []string{net}, Backoff: time.Hour}, func(context.Context, batch.Task) error {
		close(begun)
		<-refuse
		return errors.New("stopping")
	})
	if err := producer(r).Enqueue(t.Context(), tasks(net, 1)); err != nil {
		t.Fatal(err)
	}
	<-begun
	c.Drain()
	close(refuse)
	c.Stop()
	ran := make(chan struct{})
	consume(t, r, queue.ConsumerConfig{Networks: []string{net}}, func(context.Context, batch.Task) error {
		close(ran)
		return nil
	})
	select {
	case <-ran:
	case <-time.After(20 * time.Second):
		t.Error("nobody else got the task")
	}
}

func TestStopWithoutStart(t *testing.T) {
	t.Parallel()
	c, err := queue.NewConsumer(inProcess(t), func(context.Context, batch.Task) error { return nil },
		queue.ConsumerConfig{Networks: []string{"eip"}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	c.Stop()
}

func TestTimeoutReachesHandler(t *testing.T) {
	t.Parallel()
	r, net := inProcess(t), network()
	left := make(chan time.Duration, 1)
	consume(t, r, queue.ConsumerConfig{Networks: []string{net}}, func(ctx context.Context, _ batch.Task) error {
		deadline, _ := ctx.Deadline()
		left <- time.Until(deadline)
		return nil
	})
	p := queue.NewProducer(r, queue.ProducerConfig{TaskTimeout: 300 * time.Millisecond})
	if err := p.Enqueue(t.Context(), tasks(net, 1)); err != nil {
		t.Fatal(err)
	}
	if got := <-left; got > time.Second || got < -10*time.Second {
		t.Errorf("the handler has %v, want the timeout of a second", got)
	}
}

func TestConsumerConfig(t *testing.T) {
	t.Parallel()
	good := queue.ConsumerConfig{Networks: []string{"eip"}, Logger: slog.New(slog.DiscardHandler)}
	for _, c := range []struct {
		name   string
		change func(*queue.ConsumerConfig)
	}{
		{"no network", func(c *queue.ConsumerConfig) { c.Networks = nil }},
		{"strange network", func(c *queue.ConsumerConfig) { c.Networks = []string{"a b"} }},
		{"no logger", func(c *queue.ConsumerConfig) { c.Logger = nil }},
		{"more servers than slots", func(c *queue.ConsumerConfig) { c.Concurrency, c.Servers = 1, 2 }},
		{"negative servers", func(c *queue.ConsumerConfig) { c.Servers = -1 }},
		{"negative fetch", func(c *queue.ConsumerConfig) { c.Fetch = -1 }},
		{"longer than a lease", func(c *queue.ConsumerConfig) { c.MaxWait = time.Minute }},
		{"negative backoff", func(c *queue.ConsumerConfig) { c.Backoff = -1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := good
			c.change(&cfg)
			if _, err := queue.NewConsumer(inProcess(t), nil, cfg); err == nil {
				t.Error("no error")
			}
		})
	}
}

// Redis dies and comes back empty; the workers go on, and are woken again.
func TestRedisRestart(t *testing.T) {
	t.Parallel()
	server := privateRedis(t)
	r := connect(t, queue.Config{URL: secret.New("redis://" + server.addr)})
	p, net := producer(r), network()
	var ran atomic.Int64
	c := consume(t, r, queue.ConsumerConfig{Networks: []string{net}}, func(context.Context, batch.Task) error {
		ran.Add(1)
		return nil
	})
	woken(t, c)
	if err := p.Enqueue(t.Context(), tasks(net, 3)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first tasks run", func() bool { return ran.Load() == 3 })
	server.kill()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := p.Enqueue(ctx, tasks(net, 3)); err == nil {
		t.Error("no error without a Redis")
	}
	server.start()
	if err := p.Enqueue(t.Context(), tasks(net, 3)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second tasks run", func() bool { return ran.Load() == 6 })
	wakes := c.Stats().Wakes
	eventually(t, "wake-ups are heard again", func() bool {
		if err := p.Enqueue(t.Context(), tasks(net, 1)); err != nil {
			t.Fatal(err)
		}
		return c.Stats().Wakes > wakes
	})
}
