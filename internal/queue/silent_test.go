package queue_test

import (
	"context"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/queue"
	"dialtone/internal/secret"
)

// TestStopWithASilentRedis: a Redis that takes packets and does not answer keeps
// nobody from ending.
func TestStopWithASilentRedis(t *testing.T) {
	t.Parallel()
	private := privateRedis(t)
	r := connect(t, queue.Config{URL: secret.New("redis://" + private.addr)})
	c, err := queue.NewConsumer(r, func(context.Context, batch.Task) error { return nil }, queue.ConsumerConfig{
		Networks: []string{"eip", "vpn", "vpc"}, ShutdownTimeout: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	woken(t, c)
	chores, cancel := context.WithCancel(t.Context())
	done := make(chan struct{}, 1)
	chore := queue.NewChore(slog.New(slog.DiscardHandler), r, func(context.Context) { done <- struct{}{} }, queue.ChoreConfig{Name: "any", Every: time.Minute})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := chore.Run(chores); err != nil {
			t.Error(err)
		}
	}()
	<-done

	if err := private.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	cancel()
	c.Stop()
	<-ended
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the stop took %s", took)
	}
}
