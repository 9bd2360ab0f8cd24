// Package embedded holds what dialtone needs of servers when it runs alone: a
// Redis inside the process. It serves one process and keeps nothing on disk;
// the store is the truth, and puts back onto the queue what a restart loses.
package embedded

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"dialtone/internal/queue"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// NewRedis starts a Redis in this process, which has no TCP port: nobody else
// can reach it. Close it after everything that uses it has ended.
func NewRedis() (r *queue.Redis, closeRedis func(), err error) {
	server := miniredis.NewMiniRedis()
	// The first connection starts the server, and is as good as any other.
	first, err := server.Dial()
	if err != nil {
		return nil, nil, fmt.Errorf("start in-process Redis: %w", err)
	}
	client := redis.NewClient(&redis.Options{
		ClientName:            "dialtone",
		ContextTimeoutEnabled: true,
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			c, err := server.Dial()
			if err != nil {
				return nil, err
			}
			return newPipe(c), nil
		},
	})
	r = queue.Embedded(client)

	stop := make(chan struct{})
	var clock sync.WaitGroup
	clock.Go(func() { advance(server, stop) })
	var once sync.Once
	return r, func() {
		once.Do(func() {
			close(stop)
			clock.Wait()
			_ = r.Close()
			_ = first.Close()
			server.Close()
		})
	}, nil
}

// advance moves the server's clock, which stands still by itself: heartbeats
// and locks would never expire.
func advance(server *miniredis.Miniredis, stop <-chan struct{}) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-stop:
			return
		case now := <-ticker.C:
			server.FastForward(now.Sub(last))
			last = now
		}
	}
}
