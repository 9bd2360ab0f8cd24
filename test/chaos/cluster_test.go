package chaos_test

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"dialtone/test/system"
)

// shards is how many masters a cluster has, each with one replica.
const shards, slots = 3, 16384

// cluster is a Redis Cluster.
type cluster struct {
	t       *testing.T
	servers []*node
	slot    int // of the queue
}

func newCluster(t *testing.T) farm {
	t.Helper()
	c := &cluster{t: t}
	bus := map[*node]string{}
	for range 2 * shards {
		c.servers = append(c.servers, newNode(t, func(n *node) []string {
			host, port := hostPort(n.way.Addr)
			_, bus[n] = hostPort(system.LastingAddr(t))
			return []string{
				"cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 1500", "cluster-port " + bus[n],
				"cluster-announce-ip " + host, "cluster-announce-port " + port, "cluster-announce-bus-port " + bus[n],
				"cluster-replica-validity-factor 0", "cluster-allow-replica-migration no",
			}
		}))
	}
	ctx := context.Background()
	for i, n := range c.servers {
		host, port := hostPort(n.way.Addr)
		c.must(n, "cluster", "set-config-epoch", i+1)
		if i < shards {
			c.must(n, "cluster", "addslotsrange", i*slots/shards, (i+1)*slots/shards-1)
		}
		c.must(c.servers[0], "cluster", "meet", host, port, bus[n])
	}
	for i, n := range c.servers[shards:] {
		master := c.id(c.servers[i])
		system.Eventually(t, failOver, "a replica knows its master", func() bool {
			return n.client.Do(ctx, "cluster", "replicate", master).Err() == nil
		})
	}
	slot, err := c.servers[0].client.ClusterKeySlot(ctx, "{"+queueTag+"}").Result()
	if err != nil {
		t.Fatal(err)
	}
	c.slot = int(slot)
	system.Eventually(t, failOver, "the cluster stands", c.healthy)
	return c
}

func (c *cluster) must(n *node, words ...any) {
	c.t.Helper()
	if err := n.client.Do(context.Background(), words...).Err(); err != nil {
		c.t.Fatalf("%v: %v", words, err)
	}
}

func (c *cluster) id(n *node) string {
	c.t.Helper()
	id, err := n.client.Do(context.Background(), "cluster", "myid").Text()
	if err != nil {
		c.t.Fatalf("cluster myid: %v", err)
	}
	return id
}

func (c *cluster) url() string {
	var addrs []string
	for _, n := range c.servers[:shards] {
		addrs = append(addrs, n.way.Addr)
	}
	return "redis+cluster://" + strings.Join(addrs, ",")
}

func (c *cluster) nodes() []*node { return c.servers }

// known is what a node thinks of itself.
type known struct {
	id, master string // master is "-" for one that is none's replica
	epoch      int
	serves     bool // the queue's slot
}

// myself reads what a node says of itself; false if it does not answer.
func (c *cluster) myself(n *node) (known, bool) {
	text, err := n.client.ClusterNodes(context.Background()).Result()
	if err != nil {
		return known{}, false
	}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 8 || !strings.Contains(words[2], "myself") {
			continue
		}
		k := known{id: words[0], master: words[3]}
		k.epoch, _ = strconv.Atoi(words[6])
		for _, list := range words[8:] {
			first, last, _ := strings.Cut(list, "-")
			from, err := strconv.Atoi(first)
			if err != nil {
				continue // a slot on its way
			}
			to := from
			if last != "" {
				to, _ = strconv.Atoi(last)
			}
			k.serves = k.serves || from <= c.slot && c.slot <= to
		}
		return k, true
	}
	return known{}, false
}

// owner is the node that serves the queue's slot: of several that think so, the
// one that was elected last. nil if nobody does.
func (c *cluster) owner() (owner *node) {
	epoch := -1
	for _, n := range c.servers {
		if k, ok := c.myself(n); ok && k.serves && k.epoch > epoch {
			owner, epoch = n, k.epoch
		}
	}
	return owner
}

func (c *cluster) queueNode() (n *node) {
	c.t.Helper()
	system.Eventually(c.t, failOver, "a node serves the queue", func() bool {
		n = c.owner()
		return n != nil
	})
	return n
}

// replica is a node whose master this is, nil if none is in step with it.
func (c *cluster) replica(master *node) *node {
	m, ok := c.myself(master)
	if !ok {
		return nil
	}
	for _, n := range c.servers {
		if k, ok := c.myself(n); ok && k.master == m.id && n.says("master_link_status") == "up" {
			return n
		}
	}
	return nil
}

// healthy says whether the cluster could bear the loss of the queue's node.
func (c *cluster) healthy() bool {
	owner := c.owner()
	if owner == nil || c.replica(owner) == nil {
		return false
	}
	for _, n := range c.servers {
		info, err := n.client.ClusterInfo(context.Background()).Result()
		if err != nil || !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_slots_ok:16384") ||
			!strings.Contains(info, "cluster_known_nodes:"+strconv.Itoa(2*shards)) {
			return false
		}
		nodes, err := n.client.ClusterNodes(context.Background()).Result()
		if err != nil || strings.Contains(nodes, "fail") || strings.Contains(nodes, "handshake") {
			return false
		}
	}
	return true
}

// replaced waits until another node serves the queue.
func (c *cluster) replaced(before *node) {
	c.t.Helper()
	system.Eventually(c.t, failOver, "the replica takes over", func() bool {
		now := c.owner()
		return now != nil && now != before
	})
}

func (c *cluster) faults(run *chaos) []fault {
	restart := func(kill bool) func() {
		return func() {
			n := c.queueNode()
			n.stop(kill)
			time.Sleep(run.between(100, 700)) // too short for a fail-over
			n.start()
		}
	}
	return []fault{
		{name: "restart a Redis node", ready: c.healthy, inject: restart(false)},
		{name: "kill a Redis node", ready: c.healthy, inject: restart(true)},
		{name: "kill a Redis node and fail over", ready: c.healthy, inject: func() {
			n := c.queueNode()
			n.stop(true)
			c.replaced(n)
			n.start()
		}},
		{name: "order a Redis fail-over", ready: c.healthy, inject: func() {
			n := c.queueNode()
			to := c.replica(n)
			if to == nil || to.client.ClusterFailover(context.Background()).Err() != nil {
				c.t.Error("CLUSTER FAILOVER: no replica is in step")
				return
			}
			c.replaced(n)
		}},
		{name: "move the queue to another Redis node", ready: func() bool { return !run.filled() && c.healthy() }, inject: func() { c.move(run) }},
	}
}

// move takes the queue's slot to another shard, key by key, while it is used.
func (c *cluster) move(run *chaos) {
	c.t.Helper()
	from := c.queueNode()
	var masters, others []*node
	for _, n := range c.servers {
		if k, ok := c.myself(n); ok && k.master == "-" {
			masters = append(masters, n)
			if n != from {
				others = append(others, n)
			}
		}
	}
	to := others[run.rng.IntN(len(others))]
	fromID, toID := c.id(from), c.id(to)
	c.must(to, "cluster", "setslot", c.slot, "importing", fromID)
	c.must(from, "cluster", "setslot", c.slot, "migrating", toID)
	host, port, _ := net.SplitHostPort(to.way.Addr)
	ctx := context.Background()
	system.Eventually(c.t, failOver, "all keys of the queue are moved", func() bool {
		keys, err := from.client.ClusterGetKeysInSlot(ctx, c.slot, 100).Result()
		if err != nil || len(keys) == 0 {
			return err == nil
		}
		words := []any{"migrate", host, port, "", 0, 1000, "keys"}
		for _, key := range keys {
			words = append(words, key)
		}
		_ = from.client.Do(ctx, words...).Err() // NOKEY: it was worked off
		return false
	})
	for _, n := range append([]*node{to, from}, masters...) {
		c.must(n, "cluster", "setslot", c.slot, "node", toID)
	}
}
