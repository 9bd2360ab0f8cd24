package queue_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"

	"dialtone/internal/batch"
	"dialtone/internal/queue"
	"dialtone/internal/secret"
)

func TestEnqueueIsOneRoundTrip(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"single", "in_process"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := servers()[name](t)
			p, net := producer(r), network()
			if err := p.Enqueue(t.Context(), tasks(net, 1)); err != nil { // Redis learns the script
				t.Fatal(err)
			}
			var sent trips
			r.Client().AddHook(&sent)
			list := append(tasks(net, 10), batch.Task{TestID: "other", Attempt: 3, Lane: batch.Bulk, Network: net})
			if err := p.Enqueue(t.Context(), list); err != nil {
				t.Fatal(err)
			}
			if got := sent.n.Load(); got != 1 {
				t.Errorf("%d round trips for 11 tasks of two queues, want 1", got)
			}
			got, err := r.Client().LRange(t.Context(), key(batch.Interactive, net, "pending"), 0, -1).Result()
			if err != nil || len(got) != 10 {
				t.Errorf("pending: %v, %v, want 10 tasks", got, err)
			}
			got, err = r.Client().LRange(t.Context(), key(batch.Bulk, net, "pending"), 0, -1).Result()
			if diff := cmp.Diff([]string{"other:3"}, got); diff != "" || err != nil {
				t.Errorf("pending in bulk (-want +got), %v:\n%s", err, diff)
			}
		})
	}
}

// After a start of Redis no script is known.
func TestEnqueueTeachesScript(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"single", "in_process", "cluster"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := servers()[name](t)
			if err := r.Client().ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			net := network()
			if err := producer(r).Enqueue(t.Context(), tasks(net, 3)); err != nil {
				t.Fatal(err)
			}
			if n, err := r.Client().LLen(t.Context(), key(batch.Interactive, net, "pending")).Result(); err != nil || n != 3 {
				t.Errorf("%d tasks pending, %v, want 3", n, err)
			}
		})
	}
}

func TestEnqueueTwice(t *testing.T) {
	t.Parallel()
	for name, start := range servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			p, net := producer(r), network()
			for range 2 {
				if err := p.Enqueue(t.Context(), tasks(net, 3)); err != nil {
					t.Fatal(err)
				}
			}
			if n, err := r.Client().LLen(t.Context(), key(batch.Interactive, net, "pending")).Result(); err != nil || n != 3 {
				t.Errorf("%d tasks pending, %v, want 3", n, err)
			}
		})
	}
}

func TestEnqueueNothing(t *testing.T) {
	t.Parallel()
	r := inProcess(t)
	var sent trips
	r.Client().AddHook(&sent)
	if err := producer(r).Enqueue(t.Context(), nil); err != nil || sent.n.Load() != 0 {
		t.Errorf("Enqueue(nil) = %v with %d round trips", err, sent.n.Load())
	}
}

func TestEnqueueRefusesStrangeQueue(t *testing.T) {
	t.Parallel()
	p := producer(inProcess(t))
	list := []batch.Task{{TestID: "a", Attempt: 1, Lane: batch.Bulk, Network: "x}y"}}
	if err := p.Enqueue(t.Context(), list); err == nil {
		t.Error("a network that would break a hash tag was taken")
	}
}

// What lies in Redis is read by every tool, backup and replica.
func TestTaskHoldsIDsOnly(t *testing.T) {
	t.Parallel()
	r := realRedis(t)
	net := network()
	if err := queue.NewProducer(r, queue.ProducerConfig{TaskTimeout: 17300 * time.Millisecond}).Enqueue(t.Context(), tasks(net, 1)); err != nil {
		t.Fatal(err)
	}
	info, err := asynq.NewInspectorFromRedisClient(r.Client()).GetTaskInfo("interactive:"+net, "test-0:1")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(info.Payload), "test-0:1"; got != want {
		t.Errorf("payload %q, want %q", got, want)
	}
	if info.Timeout != 18*time.Second || !info.Deadline.IsZero() || info.Retention != 0 || info.MaxRetry < 100 {
		t.Errorf("timeout %v, deadline %v, retention %v, retries %d; want 18s, none, none, many",
			info.Timeout, info.Deadline, info.Retention, info.MaxRetry)
	}
}

func TestEnqueueLaterIsNeverEarly(t *testing.T) {
	t.Parallel()
	for name, start := range servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			p, net := producer(r), network()
			ran := make(chan time.Time, 1)
			consume(t, r, queue.ConsumerConfig{Networks: []string{net}}, func(context.Context, batch.Task) error {
				ran <- time.Now()
				return nil
			})
			due := time.Now().Add(time.Second)
			if err := p.Enqueue(t.Context(), []batch.Task{after(task(net, 1), time.Second)}); err != nil {
				t.Fatal(err)
			}
			if late := (<-ran).Sub(due); late < 0 || late > 10*time.Second {
				t.Errorf("ran %v after it was due", late)
			}
		})
	}
}

func TestRestore(t *testing.T) {
	t.Parallel()
	for name, start := range servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			p, net, ctx := producer(r), network(), t.Context()
			name := "interactive:" + net
			lost, pending, scheduled, archived := task(net, 1), task(net, 2), task(net, 3), task(net, 4)
			retry, active, completed := task(net, 5), task(net, 6), task(net, 7)

			// The handler leaves its three tasks in the states that are theirs.
			release := make(chan struct{})
			var failed, running atomic.Bool
			c := consume(t, r, queue.ConsumerConfig{Networks: []string{net}, Backoff: time.Hour}, func(_ context.Context, k batch.Task) error {
				switch k {
				case retry:
					failed.Store(true)
					return errors.New("later")
				case active:
					running.Store(true)
					<-release
				}
				return nil
			})
			t.Cleanup(func() { close(release) })
			if err := p.Enqueue(ctx, []batch.Task{retry, active}); err != nil {
				t.Fatal(err)
			}
			client := asynq.NewClientFromRedisClient(r.Client())
			if _, err := client.Enqueue(asynq.NewTask("test", []byte("test-7:1")), asynq.TaskID("test-7:1"), asynq.Queue(name), asynq.Retention(time.Hour)); err != nil {
				t.Fatal(err)
			}
			inspector := asynq.NewInspectorFromRedisClient(r.Client())
			state := func(id string) asynq.TaskState {
				info, err := inspector.GetTaskInfo(name, id)
				if err != nil {
					return 0
				}
				return info.State
			}
			eventually(t, "one task each waits for its retry, is active and completed", func() bool {
				return state("test-5:1") == asynq.TaskStateRetry && state("test-6:1") == asynq.TaskStateActive && state("test-7:1") == asynq.TaskStateCompleted
			})
			c.Drain()
			if err := p.Enqueue(ctx, []batch.Task{pending, archived}); err != nil {
				t.Fatal(err)
			}
			if err := inspector.ArchiveTask(name, "test-4:1"); err != nil {
				t.Fatal(err)
			}
			if err := p.Enqueue(ctx, []batch.Task{after(scheduled, time.Hour)}); err != nil {
				t.Fatal(err)
			}

			stuck, err := p.Restore(ctx, []batch.Task{lost, pending, scheduled, archived, retry, active, completed})
			if err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(stuck, func(a, b batch.Task) int { return bytes.Compare([]byte(a.TestID), []byte(b.TestID)) })
			if diff := cmp.Diff([]batch.Task{archived, active, completed}, stuck); diff != "" {
				t.Errorf("stuck (-want +got):\n%s", diff)
			}
			if got := state("test-1:1"); got != asynq.TaskStatePending {
				t.Errorf("the lost task is %v, want pending", got)
			}
			if got := state("test-3:1"); got != asynq.TaskStateScheduled {
				t.Errorf("the scheduled task is %v, want scheduled still", got)
			}
		})
	}
}

// asynq's own client writes the name of a queue once in its life.
func TestFlushAll(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) *queue.Redis{
		"in_process": inProcess,
		"private": func(tb testing.TB) *queue.Redis {
			tb.Helper()
			return connect(tb, queue.Config{URL: secret.New("redis://" + privateRedis(tb).addr)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			p, net := producer(r), network()
			var ran atomic.Int64
			c := consume(t, r, queue.ConsumerConfig{Networks: []string{net}}, func(context.Context, batch.Task) error {
				ran.Add(1)
				return nil
			})
			woken(t, c)
			for round := range int64(2) {
				if err := p.Enqueue(t.Context(), tasks(net, 5)); err != nil {
					t.Fatal(err)
				}
				eventually(t, "the tasks run", func() bool { return ran.Load() == 5*(round+1) })
				queues, err := asynq.NewInspectorFromRedisClient(r.Client()).Queues()
				if err != nil || !slices.Contains(queues, "interactive:"+net) {
					t.Errorf("round %d: the inspector sees %v, %v", round, queues, err)
				}
				if err := r.Client().FlushAll(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// The fast path of a request has 100 ms, also with a Redis that says nothing.
func TestEnqueueHeedsDeadline(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	silent, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	closed, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	for name, addr := range map[string]string{"silent": silent.Addr().String(), "closed": closed.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := queue.Connect(queue.Config{URL: secret.New("redis://" + addr)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = r.Close() })
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			begin := time.Now()
			if err := producer(r).Enqueue(ctx, tasks(network(), 10)); err == nil {
				t.Error("no error without a Redis")
			}
			if took := time.Since(begin); took > 2*time.Second {
				t.Errorf("took %v, want about 100 ms", took)
			}
		})
	}
}
