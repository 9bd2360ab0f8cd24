package embedded_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/embedded"
	"dialtone/internal/queue"

	"github.com/redis/go-redis/v9"
)

func start(t *testing.T) *queue.Redis {
	t.Helper()
	r, stop, err := embedded.NewRedis()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return r
}

// A pipeline is longer than the nothing that a bare net.Pipe holds, and its
// answers are longer than one read.
func TestLongPipeline(t *testing.T) {
	t.Parallel()
	r := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	value := strings.Repeat("x", 10_000)
	pipe := r.Client().Pipeline()
	gets := make([]*redis.StringCmd, 500)
	for i := range gets {
		key := fmt.Sprint("key", i)
		pipe.Set(ctx, key, value, 0)
		gets[i] = pipe.Get(ctx, key)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	for i, get := range gets {
		if get.Val() != value {
			t.Fatalf("key %d holds %d bytes, want %d", i, len(get.Val()), len(value))
		}
	}
}

func TestQueueRunsOnIt(t *testing.T) {
	t.Parallel()
	r := start(t)
	const n = 200
	var (
		mu   sync.Mutex
		seen = map[string]bool{}
		all  = make(chan struct{})
	)
	c, err := queue.NewConsumer(r, func(_ context.Context, k batch.Task) error {
		mu.Lock()
		defer mu.Unlock()
		if seen[k.TestID] = true; len(seen) == n {
			close(all)
		}
		return nil
	}, queue.ConsumerConfig{Networks: []string{"eip"}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	tasks := make([]batch.Task, n)
	for i := range tasks {
		tasks[i] = batch.Task{TestID: fmt.Sprint("test-", i), Attempt: 1, Lane: batch.Bulk, Network: "eip"}
	}
	if err := queue.NewProducer(r, queue.ProducerConfig{}).Enqueue(t.Context(), tasks); err != nil {
		t.Fatal(err)
	}
	select {
	case <-all:
	case <-time.After(30 * time.Second):
		t.Fatal("not all tasks ran")
	}
}

// Keys expire although the server's clock does not move by itself.
func TestClockMoves(t *testing.T) {
	t.Parallel()
	r := start(t)
	if err := r.Client().Set(t.Context(), "k", "v", time.Second).Err(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		n, err := r.Client().Exists(t.Context(), "k").Result()
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the key did not expire")
		}
		<-time.After(20 * time.Millisecond)
	}
}

// Nobody else can reach it: it listens nowhere.
func TestNoListener(t *testing.T) { //nolint:paralleltest // counts what the process listens on
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	before := listeners(t)
	r := start(t)
	if err := r.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := listeners(t); after != before {
		t.Errorf("%d listening sockets, before %d", after, before)
	}
	// The count must be one that sees a listener.
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if after := listeners(t); after != before+1 {
		t.Errorf("a listener is not counted: %d, want %d", after, before+1)
	}
}

// listeners counts this process's own TCP sockets that listen.
func listeners(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	mine := map[string]bool{}
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(target, "socket:[") {
			mine[strings.Trim(strings.TrimPrefix(target, "socket:"), "[]")] = true
		}
	}
	count := 0
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue // no IPv6 here
		}
		for line := range strings.Lines(string(text)) {
			const state, inode, listening = 3, 9, "0A"
			if f := strings.Fields(line); len(f) > inode && f[state] == listening && mine[f[inode]] {
				count++
			}
		}
	}
	return count
}

// After the end nothing is left, and a second end does nothing.
func TestClose(t *testing.T) { //nolint:paralleltest // counts the process's goroutines
	before := runtime.NumGoroutine()
	r, stop, err := embedded.NewRedis()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	stop()
	if err := r.Ping(t.Context()); err == nil {
		t.Error("it answers after its end")
	}
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			all := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, before %d:\n%s", runtime.NumGoroutine(), before, all[:runtime.Stack(all, true)])
		}
		<-time.After(5 * time.Millisecond)
	}
}
