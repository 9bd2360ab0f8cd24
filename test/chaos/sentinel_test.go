package chaos_test

import (
	"context"
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

// watchedName is what the sentinels call the master.
const watchedName = "dialtone"

// failOver is how long a fail-over may take.
const failOver = 30 * time.Second

// watched is a master with a replica, and three sentinels over them, of which
// two must agree.
type watched struct {
	t         *testing.T
	servers   []*node
	addrs     []string
	sentinels []*redis.SentinelClient
}

func newWatched(t *testing.T) farm {
	t.Helper()
	w := &watched{t: t}
	announce := func(n *node) []string {
		host, port := hostPort(n.way.Addr)
		return []string{"replica-announce-ip " + host, "replica-announce-port " + port}
	}
	master := newNode(t, announce)
	host, port := hostPort(master.way.Addr)
	replica := newNode(t, func(n *node) []string { return append(announce(n), "replicaof "+host+" "+port) })
	w.servers = []*node{master, replica}
	for range 3 {
		w.watch(master)
	}
	system.Eventually(t, failOver, "the sentinels agree", w.healthy)
	return w
}

// watch starts one more sentinel.
func (w *watched) watch(master *node) {
	w.t.Helper()
	addr, dir := system.LastingAddr(w.t), w.t.TempDir()
	host, port := hostPort(addr)
	masterHost, masterPort := hostPort(master.way.Addr)
	// It rewrites this file.
	conf := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf(`port %s
bind %s
dir %s
sentinel monitor %[4]s %s %s 2
sentinel down-after-milliseconds %[4]s 1000
sentinel failover-timeout %[4]s 2000
`, port, host, dir, watchedName, masterHost, masterPort)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	newDaemon(w.t, syscall.SIGTERM, system.Program(w.t, "redis-server"), conf, "--sentinel").start()
	client := redis.NewSentinelClient(&redis.Options{Addr: addr, MaxRetries: -1})
	w.t.Cleanup(func() { _ = client.Close() })
	w.addrs, w.sentinels = append(w.addrs, addr), append(w.sentinels, client)
}

func (w *watched) url() string {
	return "redis+sentinel://" + strings.Join(w.addrs, ",") + "/" + watchedName
}

func (w *watched) nodes() []*node { return w.servers }

// master is the server that a sentinel names, nil if it does not answer.
func (w *watched) master(sentinel *redis.SentinelClient) *node {
	addr, err := sentinel.GetMasterAddrByName(context.Background(), watchedName).Result()
	if err != nil || len(addr) != 2 {
		return nil
	}
	for _, n := range w.servers {
		if n.way.Addr == net.JoinHostPort(addr[0], addr[1]) {
			return n
		}
	}
	return nil
}

func (w *watched) queueNode() *node {
	w.t.Helper()
	var n *node
	system.Eventually(w.t, failOver, "a sentinel names the master", func() bool {
		n = w.master(w.sentinels[0])
		return n != nil
	})
	return n
}

func (w *watched) other(n *node) *node {
	if n == w.servers[0] {
		return w.servers[1]
	}
	return w.servers[0]
}

// healthy says whether all sentinels could carry a fail-over out now.
func (w *watched) healthy() bool {
	ctx := context.Background()
	first := w.master(w.sentinels[0])
	for _, s := range w.sentinels {
		if first == nil || w.master(s) != first {
			return false
		}
		master, err := s.Master(ctx, watchedName).Result()
		if err != nil || master["flags"] != "master" || master["num-other-sentinels"] != "2" || master["num-slaves"] != "1" {
			return false
		}
		replicas, err := s.Replicas(ctx, watchedName).Result()
		if err != nil || len(replicas) != 1 || replicas[0]["flags"] != "slave" || replicas[0]["master-link-status"] != "ok" {
			return false
		}
	}
	return first.says("role") == "master" && w.other(first).says("master_link_status") == "up"
}

// replaced waits until the sentinels name another than the master of before.
func (w *watched) replaced(before *node) {
	w.t.Helper()
	system.Eventually(w.t, failOver, "the replica takes over", func() bool {
		for _, s := range w.sentinels {
			if now := w.master(s); now == nil || now == before {
				return false
			}
		}
		return true
	})
}

func (w *watched) faults(c *chaos) []fault {
	return []fault{
		{name: "restart the Redis master", ready: w.healthy, inject: func() {
			n := w.queueNode()
			n.stop(false)
			time.Sleep(c.between(100, 700))
			n.start()
		}},
		{name: "kill the Redis master and fail over", ready: w.healthy, inject: func() {
			n := w.queueNode()
			n.stop(true)
			w.replaced(n)
			n.start() // as a master, until the sentinels tell it otherwise
		}},
		{name: "order a Redis fail-over", ready: w.healthy, inject: func() {
			n := w.queueNode()
			if err := w.sentinels[0].Failover(context.Background(), watchedName).Err(); err != nil {
				w.t.Errorf("SENTINEL FAILOVER: %v", err)
				return
			}
			w.replaced(n)
		}},
		// It wakes up as a second master.
		{name: "freeze the Redis master and fail over", ready: w.healthy, inject: func() {
			n := w.queueNode()
			n.daemon.signal(syscall.SIGSTOP)
			w.replaced(n)
			n.daemon.signal(syscall.SIGCONT)
		}},
	}
}
