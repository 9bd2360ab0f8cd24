package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dialtone/test/system"

	"github.com/redis/go-redis/v9"
)

// redisMemory is the limit of each Redis: filled within a moment.
const redisMemory = "24mb"

// queueTag is the hash tag of the queue that callers wait for.
const queueTag = "interactive:eip"

// farm is a way in which Redis is run.
type farm interface {
	// url is what the binaries are told.
	url() string
	// nodes are all servers that hold data.
	nodes() []*node
	// queueNode is the server that the queue is on now.
	queueNode() *node
	// faults are the ways in which this farm breaks.
	faults(c *chaos) []fault
}

// node is one Redis server that the test may break. It keeps its data over an
// orderly restart and loses them when it is killed.
type node struct {
	t    *testing.T
	addr string
	dir  string
	// way is the address that everybody but the test knows.
	way    *system.Forward
	daemon *daemon
	client *redis.Client
}

// newNode starts a server. more are options, which may depend on the node. They
// are in a file, which a server that is told to change writes anew, so that it
// still knows after a restart.
func newNode(t *testing.T, more func(n *node) []string) *node {
	t.Helper()
	n := &node{t: t, addr: system.LastingAddr(t), dir: t.TempDir()}
	n.way = system.NewForward(t, n.addr)
	host, port := hostPort(n.addr)
	options := append([]string{
		"bind " + host, "port " + port, "dir " + n.dir, "save 900 1", "appendonly no", "shutdown-timeout 1", "repl-diskless-sync-delay 0",
		"maxmemory " + redisMemory, "maxmemory-policy noeviction",
	}, more(n)...)
	file := filepath.Join(n.dir, "redis.conf")
	if err := os.WriteFile(file, []byte(strings.Join(options, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.daemon = newDaemon(t, syscall.SIGTERM, system.Program(t, "redis-server"), file)
	n.client = redis.NewClient(&redis.Options{Addr: n.addr, MaxRetries: -1, DialTimeout: time.Second, DialerRetries: 1, ReadTimeout: time.Second})
	t.Cleanup(func() { _ = n.client.Close() })
	n.start()
	return n
}

func hostPort(addr string) (host, port string) {
	host, port, _ = net.SplitHostPort(addr)
	return host, port
}

func (n *node) start() {
	n.t.Helper()
	n.daemon.start()
	system.Eventually(n.t, system.WaitForServers, "Redis answers", func() bool {
		return n.client.Ping(context.Background()).Err() == nil
	})
}

// stop stops the server, or kills it, so that it loses all it has.
func (n *node) stop(kill bool) {
	n.t.Helper()
	if !kill {
		n.daemon.end(syscall.SIGTERM)
		return
	}
	n.daemon.end(syscall.SIGKILL)
	// What an earlier stop has left would come back.
	_ = os.Remove(filepath.Join(n.dir, "dump.rdb"))
}

// says is the value of a field of INFO replication, empty if the server does not
// answer.
func (n *node) says(field string) string {
	info, err := n.client.Info(context.Background(), "replication").Result()
	if err != nil {
		return ""
	}
	for line := range strings.Lines(info) {
		if value, found := strings.CutPrefix(line, field+":"); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// flush makes the server forget everything, as far as it is one to be asked.
func (n *node) flush() error {
	if err := n.client.FlushDB(context.Background()).Err(); err != nil && !redis.HasErrorPrefix(err, "READONLY") {
		return err
	}
	return nil
}

// fill writes until the server takes no more, which it says in the end.
func (n *node) fill() (last error) {
	for size := 1 << 20; size >= 64; size /= 4 {
		for i := 0; ; i++ {
			key := fmt.Sprintf("ballast-{%s}-%d-%d", queueTag, size, i)
			if last = n.client.Set(context.Background(), key, make([]byte, size), 0).Err(); last != nil {
				break
			}
		}
	}
	return last
}

// errBallast says that some was there.
var errBallast = errors.New("there is ballast")

// lighten takes what fill has written out again; nil if there was nothing.
func (n *node) lighten() error {
	ctx := context.Background()
	if n.says("role") == "slave" {
		return nil // its master's is its own
	}
	var keys []string
	found := n.client.Scan(ctx, 0, "ballast-*", 1000).Iterator()
	for found.Next(ctx) {
		keys = append(keys, found.Val())
	}
	if err := found.Err(); err != nil {
		return err
	}
	for _, key := range keys {
		if err := n.client.Unlink(ctx, key).Err(); err != nil {
			return err
		}
	}
	if len(keys) > 0 {
		return errBallast
	}
	return nil
}

// lightenAll tries until no node has any ballast: one may be about to restart,
// or to change its place.
func lightenAll(t *testing.T, f farm) {
	t.Helper()
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		err = nil
		for _, n := range f.nodes() {
			err = errors.Join(err, n.lighten())
		}
		if err == nil {
			return
		}
	}
	t.Errorf("empty Redis: %v", err)
}

// left lists the keys of the service's queues that a node still holds.
func (n *node) left() (keys []string, err error) {
	ctx := context.Background()
	for _, part := range []string{"t:*", "pending", "active", "lease", "scheduled", "retry", "archived", "unique:*"} {
		for _, lane := range []string{"interactive", "bulk"} {
			found := n.client.Scan(ctx, 0, "asynq:{"+lane+":*}:"+part, 1000).Iterator()
			for found.Next(ctx) {
				keys = append(keys, found.Val())
			}
			err = errors.Join(err, found.Err())
		}
	}
	return keys, err
}

// single is one Redis server.
type single struct{ *node }

func newSingle(t *testing.T) farm {
	t.Helper()
	return single{newNode(t, func(*node) []string { return nil })}
}

func (s single) url() string      { return "redis://" + s.way.Addr + "/0" }
func (s single) nodes() []*node   { return []*node{s.node} }
func (s single) queueNode() *node { return s.node }

func (s single) faults(c *chaos) []fault {
	restart := func(kill bool) func() {
		return func() {
			s.stop(kill)
			time.Sleep(c.between(100, 1000))
			s.start()
		}
	}
	return []fault{
		{name: "restart Redis", inject: restart(false)},
		{name: "kill Redis", inject: restart(true)},
	}
}
