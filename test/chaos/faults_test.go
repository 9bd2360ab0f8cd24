package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dialtone/test/system"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

// chaos is what is broken, and what came of it.
type chaos struct {
	t        *testing.T
	s        *system.System
	rng      *rand.Rand
	redis    farm
	postgres *postgresServer
	api      *member
	apiAddr  string
	workers  []*member
	began    time.Time

	// injected counts faults by name, breaches promises that were not kept.
	injected, breaches map[string]int
	// times are when a fault was injected; fine are the tests of healthy targets
	// that passed while somebody waited, from their batch's acceptance to their end.
	times map[string][]time.Time
	fine  []span
	// killedIn counts the tests whose worker was killed between their login
	// mark and their report; sleptOver those whose worker slept through its lease.
	killedIn, sleptOver int
	// healing are the faults that are still to be taken back.
	healing sync.WaitGroup
	// ballast counts the fillings of Redis that are still there.
	ballast atomic.Int32
	// away is when the api was, for its callers.
	away absence
}

// fault is one way to break something. inject returns when the next one may
// come, which may be before the damage is repaired.
type fault struct {
	name string
	// ready says whether it can be injected now; nil: always.
	ready  func() bool
	inject func()
}

func (c *chaos) faults() []fault {
	faults := []fault{
		c.killAWorker(),
		{name: "restart a worker", inject: c.restartWorker},
		c.pauseAWorker(),
		{name: "kill the api", inject: func() { c.restartAPI((*system.Process).Kill) }},
		{name: "restart the api", inject: func() { c.restartAPI(func(p *system.Process) { p.Stop(c.t) }) }},
		{name: "flush Redis", inject: c.flushRedis},
		{name: "fill Redis", inject: c.fillRedis},
		{name: "restart Postgres", inject: func() { c.postgres.restart(false, c.between(100, 1000)) }},
		{name: "crash Postgres", inject: func() { c.postgres.restart(true, c.between(100, 1000)) }},
	}
	for _, silence := range []bool{false, true} {
		how := "cut "
		if silence {
			how = "silence between "
		}
		faults = append(faults,
			fault{name: how + "api and Postgres", inject: func() { c.cutStore(c.api, silence) }},
			fault{name: how + "api and Redis", inject: func() { c.cutRedis(c.api, silence) }},
			fault{name: how + "worker and Postgres", inject: func() { c.cutStore(c.worker(), silence) }},
			fault{name: how + "worker and Redis", inject: func() { c.cutRedis(c.worker(), silence) }},
		)
	}
	return append(faults, c.redis.faults(c)...)
}

// between draws a time in milliseconds.
func (c *chaos) between(least, most int) time.Duration {
	return time.Duration(least+c.rng.IntN(most-least)) * time.Millisecond
}

// worker draws one that is awake.
func (c *chaos) worker() *member {
	var awake []*member
	for _, w := range c.workers {
		if !w.sleeps() {
			awake = append(awake, w)
		}
	}
	return awake[c.rng.IntN(len(awake))]
}

func (c *chaos) startWorker(w *member) { w.process = c.s.StartWorker(w.env(c.s)) }

func (c *chaos) killWorker() {
	w := c.worker()
	c.await(w, "login_at is not null")
	back := w.storeless.begin()
	w.process.Kill()
	c.killedIn += c.held(w, "login_at is not null")
	time.Sleep(c.between(0, 500))
	c.startWorker(w)
	back()
}

func (c *chaos) restartWorker() {
	w := c.worker()
	back := w.storeless.begin()
	w.process.Stop(c.t)
	c.startWorker(w)
	back()
}

func (c *chaos) pauseWorker() {
	w := c.worker()
	c.await(w, "true")
	back := w.pause()
	w.process.Signal(syscall.SIGSTOP)
	c.sleptOver += c.held(w, "true")
	c.later(lease+c.between(500, 1500), func() {
		w.process.Signal(syscall.SIGCONT)
		back()
	})
}

func (c *chaos) restartAPI(end func(*system.Process)) {
	gone, storeless := c.away.begin(), c.api.storeless.begin()
	end(c.api.process)
	time.Sleep(c.between(0, 1000))
	c.startAPI()
	gone()
	storeless()
}

// startAPI starts it where it was before, so that callers find it again.
func (c *chaos) startAPI() {
	c.s.StartAPI(c.api.env(c.s), "DIALTONE_LISTEN="+c.apiAddr)
	c.api.process = c.s.API
}

// gone says whether the api was away at some time since then.
func (c *chaos) gone(since time.Time) bool {
	for _, s := range c.away.list() {
		if s.to.IsZero() || s.to.After(since) {
			return true
		}
	}
	return false
}

func (c *chaos) flushRedis() {
	for _, n := range c.redis.nodes() {
		if err := n.flush(); err != nil {
			c.t.Errorf("flush Redis: %v", err)
		}
	}
}

func (c *chaos) fillRedis() {
	c.ballast.Add(1)
	var err error
	for end := time.Now().Add(failOver); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		// The node may just become a replica.
		if err = c.redis.queueNode().fill(); redis.HasErrorPrefix(err, "OOM") {
			break
		}
	}
	if !redis.HasErrorPrefix(err, "OOM") {
		c.t.Errorf("Redis could not be filled to its limit: %v", err)
	}
	c.later(c.between(1000, 3000), func() {
		lightenAll(c.t, c.redis)
		c.ballast.Add(-1)
	})
}

// filled says whether Redis is full.
func (c *chaos) filled() bool { return c.ballast.Load() > 0 }

// await gives a worker a while to come to hold a test of which the condition is
// true. Whether it does is counted when it is too late for the worker.
func (c *chaos) await(w *member, condition string) {
	for end := time.Now().Add(5 * time.Second); c.held(w, condition) == 0 && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
}

// held counts the tests that a worker has a lease on.
func (c *chaos) held(w *member, condition string) int {
	return c.count("select count(*) from tests where finished_at is null and lease_until > clock_timestamp() and worker like $1 and "+condition,
		fmt.Sprintf("worker-%%-%d-%%", w.process.PID()))
}

// count asks the store, past everything that is cut.
func (c *chaos) count(question string, args ...any) (n int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.s.DSN)
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, question, args...).Scan(&n); err != nil {
		c.t.Fatal(err)
	}
	return n
}

// run breaks one thing after the other, each kind once per round, until the
// time is over and every kind has been. A kill or a pause that found its worker
// without work, because something else was broken, is made again at the end.
func (c *chaos) run(until time.Time) {
	c.began = time.Now()
	for round := 0; round == 0 || time.Now().Before(until); round++ {
		faults := c.faults()
		c.rng.Shuffle(len(faults), func(i, k int) { faults[i], faults[k] = faults[k], faults[i] })
		for len(faults) > 0 && (round == 0 || time.Now().Before(until)) {
			time.Sleep(c.between(100, 1000))
			var f fault
			f, faults = c.next(faults)
			c.inject(f)
		}
	}
	c.healing.Wait()
	for range 5 {
		if c.killedIn == 0 {
			c.inject(c.killAWorker())
		}
		if c.sleptOver == 0 {
			c.inject(c.pauseAWorker())
		}
		c.healing.Wait()
	}
}

func (c *chaos) inject(f fault) {
	c.t.Helper()
	c.t.Logf("%5.1f s: %s", time.Since(c.began).Seconds(), f.name)
	c.times[f.name] = append(c.times[f.name], time.Now())
	f.inject()
	c.injected[f.name]++
}

func (c *chaos) killAWorker() fault { return fault{name: "kill a worker", inject: c.killWorker} }

func (c *chaos) pauseAWorker() fault {
	return fault{name: "pause a worker past its lease", inject: c.pauseWorker}
}

// next takes the first fault that is ready off the list.
func (c *chaos) next(faults []fault) (f fault, rest []fault) {
	c.t.Helper()
	system.Eventually(c.t, 2*time.Minute, "one of the faults is ready: "+faults[0].name, func() bool {
		for i := range faults {
			if faults[i].ready == nil || faults[i].ready() {
				f = faults[i]
				rest = append(faults[:i:i], faults[i+1:]...)
				return true
			}
		}
		return false
	})
	return f, rest
}
