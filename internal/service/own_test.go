package service

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestOwnServersAreFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var server atomic.Value
		server.Store("10.0.0.1:5432")
		own := &ownServers{list: func(context.Context) []string { return []string{server.Load().(string)} }} //nolint:forcetypeassert // nothing else is stored
		if got := own.look(t.Context()); len(got) != 1 {
			t.Fatalf("look() = %v, want one address", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var news atomic.Int32
		done := make(chan struct{})
		go func() {
			defer close(done)
			own.follow(ctx, time.Minute, func(context.Context) { news.Add(1) })
		}()
		time.Sleep(90 * time.Second) // in the bubble's time: one look
		if n := news.Load(); n != 0 {
			t.Errorf("%d news of what was known", n)
		}
		server.Store("10.0.0.2:5432") // it moved
		time.Sleep(time.Minute)
		if n := news.Load(); n != 1 {
			t.Errorf("%d news, want one", n)
		}
		if got := own.look(ctx); len(got) != 2 {
			t.Errorf("look() = %v, want the old address kept", got)
		}
		cancel()
		<-done
	})
}
