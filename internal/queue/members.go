package queue

import (
	"context"
	"net"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Members lists the servers behind those that the URL named: a Sentinel's
// master and replicas, a cluster's nodes; none where there are none or where
// nobody answers.
func (r *Redis) Members(ctx context.Context) []string {
	switch client := r.client.(type) {
	case *redis.ClusterClient:
		var mu sync.Mutex
		var list []string
		_ = client.ForEachShard(ctx, func(_ context.Context, node *redis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			list = append(list, node.Options().Addr)
			return nil
		})
		return list
	default:
		for _, sentinel := range r.sentinels {
			if list := r.watchedBy(ctx, sentinel); len(list) > 0 {
				return list
			}
		}
		return nil
	}
}

// watchedBy asks one sentinel for the master and the replicas.
func (r *Redis) watchedBy(ctx context.Context, options *redis.Options) []string {
	sentinel := redis.NewSentinelClient(options)
	defer func() { _ = sentinel.Close() }() // only asked
	master, err := sentinel.GetMasterAddrByName(ctx, r.master).Result()
	if err != nil || len(master) != 2 {
		return nil
	}
	list := []string{net.JoinHostPort(master[0], master[1])}
	replicas, err := sentinel.Replicas(ctx, r.master).Result()
	if err != nil {
		return list
	}
	for _, replica := range replicas {
		list = append(list, net.JoinHostPort(replica["ip"], replica["port"]))
	}
	return list
}
