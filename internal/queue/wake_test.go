package queue_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/queue"
	"dialtone/internal/secret"
)

// This says which of the two is in force with the asynq that is linked: waking
// depends on the shape of its scripts.
func TestWorkersAreWoken(t *testing.T) {
	t.Parallel()
	for name, start := range servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			net := network()
			c := consume(t, r, queue.ConsumerConfig{Networks: []string{net}}, func(context.Context, batch.Task) error { return nil })
			woken(t, c)
			before := c.Stats().Wakes
			if err := producer(r).Enqueue(t.Context(), tasks(net, 10)); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the wake-up is heard and the tasks are fetched", func() bool {
				s := c.Stats()
				return s.Wakes > before && s.Fetched == 10 && s.Running == 0
			})
		})
	}
}

// pickup is the median time from before Enqueue to the handler, each time with
// a worker that had nothing to do.
func pickup(tb testing.TB, r *queue.Redis, c *queue.Consumer, net string, ran <-chan time.Time, n int) time.Duration {
	tb.Helper()
	times := make([]time.Duration, n)
	for i := range times {
		trips := c.Stats().RoundTrips
		eventually(tb, "the worker has looked in vain", func() bool { return c.Stats().RoundTrips > trips || i == 0 })
		begin := time.Now()
		if err := producer(r).Enqueue(tb.Context(), []batch.Task{task(net, i)}); err != nil {
			tb.Fatal(err)
		}
		times[i] = (<-ran).Sub(begin)
	}
	slices.Sort(times)
	return times[n/2]
}

// Where Redis forbids pub/sub, workers poll, and work. Both ways side by side
// show what waking is worth.
func TestPollingWithoutPubSub(t *testing.T) {
	t.Parallel()
	admin := realRedis(t)
	addr := need(t, "DIALTONE_TEST_REDIS_ADDR")
	user := network()
	if err := admin.Client().Do(t.Context(), "ACL", "SETUSER", user, "on", ">pw", "~*", "resetchannels", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Client().Do(context.Background(), "ACL", "DELUSER", user) })

	measure := func(r *queue.Redis, want queue.Mode) time.Duration {
		net := network()
		ran := make(chan time.Time, 1)
		c := consume(t, r, queue.ConsumerConfig{Networks: []string{net}, PollInterval: 100 * time.Millisecond, MaxWait: 150 * time.Millisecond},
			func(context.Context, batch.Task) error {
				ran <- time.Now()
				return nil
			})
		eventually(t, "the mode is "+string(want), func() bool { return c.Stats().Mode == want && c.Stats().RoundTrips > 0 })
		got := pickup(t, r, c, net, ran, 15)
		if mode := c.Stats().Mode; mode != want {
			t.Errorf("mode %s, want %s", mode, want)
		}
		return got
	}
	polled := measure(connect(t, queue.Config{URL: secret.New("redis://" + user + ":pw@" + addr)}), queue.Polling)
	waked := measure(admin, queue.Woken)
	t.Logf("from Enqueue to handler: polled every 100 ms %v, woken %v", polled, waked)
	if waked*2 > polled {
		t.Errorf("woken %v is not much better than polled %v", waked, polled)
	}
}

// What becomes due is moved by one worker, and wakes all.
func TestDueTasksWakeWorkers(t *testing.T) {
	t.Parallel()
	for name, start := range servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			net := network()
			ran := make(chan time.Time, 1)
			cfg := queue.ConsumerConfig{Networks: []string{net}, MaxWait: 10 * time.Second}
			c := consume(t, r, cfg, func(context.Context, batch.Task) error {
				ran <- time.Now()
				return nil
			})
			woken(t, c)
			if err := producer(r).Enqueue(t.Context(), []batch.Task{after(task(net, 1), time.Second)}); err != nil {
				t.Fatal(err)
			}
			select {
			case <-ran:
			case <-time.After(8 * time.Second):
				t.Error("the worker waited on although a task became due")
			}
		})
	}
}
