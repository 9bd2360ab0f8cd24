package chaos_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"dialtone/test/system"
)

// The time limits of the run, short enough for faults to outlast them.
const (
	lease = 3500 * time.Millisecond // probe and slack
	wait  = 10 * time.Second
	// late is how long after its deadline a test may be finished, and its
	// caller answered.
	late = 2 * time.Second
	// look is how long an api may ask the store what a key stands for. Before it
	// knows that it does not know the batch's deadline.
	look = 1500 * time.Millisecond
	// endpoints of each kind of target.
	endpoints = 24
)

func settings() []string {
	return []string{
		"DIALTONE_JOBS=any", "DIALTONE_CONNECT_TIMEOUT=1s", "DIALTONE_PROBE_TIMEOUT=3s", "DIALTONE_LEASE_SLACK=500ms",
		"DIALTONE_TASK_SLACK=1s", "DIALTONE_WAIT=10s", "DIALTONE_ASYNC_TIMEOUT=20s", "DIALTONE_POSTGRES_CONNECT_TIMEOUT=1s",
		"DIALTONE_ALLOW_RECOVERABLE_PASSWORD=true",
		"DIALTONE_RATE_LIMIT=0", // all batches are read at the end
	}
}

// TestChaos breaks everything in turn while batches come in.
func TestChaos(t *testing.T) {
	t.Parallel()
	chaosOn(t, newSingle, *duration)
}

// TestChaosOnSentinel does so on a Redis whose master changes.
func TestChaosOnSentinel(t *testing.T) {
	t.Parallel()
	chaosOn(t, newWatched, *others)
}

// TestChaosOnCluster does so on a Redis that is spread over nodes.
func TestChaosOnCluster(t *testing.T) {
	t.Parallel()
	chaosOn(t, newCluster, *others)
}

func chaosOn(t *testing.T, newFarm func(*testing.T) farm, long time.Duration) {
	t.Helper()
	seed := *seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("%s for %s, again with: -chaos.seed=%d", t.Name(), long, seed)

	c := &chaos{
		t: t, rng: rand.New(rand.NewPCG(seed, 0)), redis: newFarm(t), postgres: newPostgres(t),
		apiAddr: system.LastingAddr(t), injected: map[string]int{}, breaches: map[string]int{}, times: map[string][]time.Time{},
	}
	c.s = system.Prepare(t, system.Options{Postgres: c.postgres.dsn, RedisURL: c.redis.url(), Env: settings()})
	keepLogs(t, c.s)
	c.api = &member{postgres: system.NewForward(t, c.postgres.addr)}
	c.startAPI()
	for range 3 {
		w := &member{postgres: system.NewForward(t, c.postgres.addr)}
		c.workers = append(c.workers, w)
		c.startWorker(w)
	}

	// The callers have a copy: the original changes with every api.
	calls := *c.s
	m := &stream{t: t, s: &calls, targets: newTargets(t, endpoints), gone: c.gone}
	stop := make(chan struct{})
	t.Cleanup(c.healing.Wait)
	m.run(seed, stop)
	c.run(time.Now().Add(long))
	close(stop)
	m.calling.Wait()

	c.verify(m)
	for _, f := range c.faults() {
		if c.injected[f.name] == 0 {
			t.Errorf("not injected: %s", f.name)
		}
	}
	if c.killedIn == 0 {
		t.Error("no worker was killed between a login mark and its report")
	}
	if c.sleptOver == 0 {
		t.Error("no worker slept through a lease")
	}
}
