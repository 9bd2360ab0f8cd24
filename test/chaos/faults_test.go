package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dialtone/test/system"

	"github.com/jackc/pgx/v5"
)

// member is a process with ways of its own to both servers.
type member struct {
	process         *system.Process
	postgres, redis *system.Forward
	paused          bool
}

// env leads a process over the member's ways.
func (m *member) env(s *system.System) []string {
	return []string{
		"DIALTONE_POSTGRES_DSN=" + strings.Replace(s.DSN, s.Postgres.Addr, m.postgres.Addr, 1),
		"DIALTONE_REDIS_URL=" + s.RedisURL(m.redis),
	}
}

// chaos is what is broken, and what came of it.
type chaos struct {
	t        *testing.T
	s        *system.System
	rng      *rand.Rand
	redis    *redisServer
	postgres *postgresServer
	api      *member
	apiAddr  string
	workers  []*member
	began    time.Time

	// injected counts faults by name.
	injected map[string]int
	// killedIn counts the tests whose worker was killed between their login
	// mark and their report; sleptOver those whose worker slept through its lease.
	killedIn, sleptOver int
	// healing are the faults that are still to be taken back.
	healing sync.WaitGroup

	mu      sync.Mutex
	apiAway bool
	apiBack time.Time // when it was last away
}

// fault is one way to break something. It returns when the next one may come,
// which may be before the damage is repaired.
type fault struct {
	name   string
	inject func()
}

func (c *chaos) faults() []fault {
	return []fault{
		{"kill a worker", c.killWorker},
		{"restart a worker", c.restartWorker},
		{"pause a worker past its lease", c.pauseWorker},
		{"kill the api", c.killAPI},
		{"restart Redis", func() { c.redis.restart(false, c.between(100, 1000)) }},
		{"kill Redis", func() { c.redis.restart(true, c.between(100, 1000)) }},
		{"flush Redis", c.s.FlushRedis},
		{"fill Redis", c.fillRedis},
		{"restart Postgres", func() { c.postgres.restart(false, c.between(100, 1000)) }},
		{"crash Postgres", func() { c.postgres.restart(true, c.between(100, 1000)) }},
		{"cut api from Postgres", func() { c.cut(c.api.postgres) }},
		{"cut api from Redis", func() { c.cut(c.api.redis) }},
		{"cut a worker from Postgres", func() { c.cut(c.worker().postgres) }},
		{"cut a worker from Redis", func() { c.cut(c.worker().redis) }},
	}
}

// between draws a time in milliseconds.
func (c *chaos) between(least, most int) time.Duration {
	return time.Duration(least+c.rng.IntN(most-least)) * time.Millisecond
}

// worker draws one that is awake.
func (c *chaos) worker() *member {
	var awake []*member
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.workers {
		if !w.paused {
			awake = append(awake, w)
		}
	}
	return awake[c.rng.IntN(len(awake))]
}

func (c *chaos) pause(w *member, paused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w.paused = paused
}

func (c *chaos) startWorker(w *member) { w.process = c.s.StartWorker(w.env(c.s)...) }

func (c *chaos) killWorker() {
	w := c.worker()
	c.await(w, "login_at is not null")
	w.process.Kill()
	c.killedIn += c.held(w, "login_at is not null")
	time.Sleep(c.between(0, 500))
	c.startWorker(w)
}

func (c *chaos) restartWorker() {
	w := c.worker()
	w.process.Stop(c.t)
	c.startWorker(w)
}

func (c *chaos) pauseWorker() {
	w := c.worker()
	c.await(w, "true")
	w.process.Signal(syscall.SIGSTOP)
	c.sleptOver += c.held(w, "true")
	c.pause(w, true)
	c.later(lease+c.between(500, 1500), func() {
		w.process.Signal(syscall.SIGCONT)
		c.pause(w, false)
	})
}

func (c *chaos) killAPI() {
	c.mu.Lock()
	c.apiAway = true
	c.mu.Unlock()
	c.s.API.Kill()
	time.Sleep(c.between(0, 1000))
	c.startAPI()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.apiAway, c.apiBack = false, time.Now()
}

// startAPI starts it where it was before, so that callers find it again.
func (c *chaos) startAPI() {
	c.s.StartAPI(append(c.api.env(c.s), "DIALTONE_LISTEN="+c.apiAddr)...)
	c.api.process = c.s.API
}

// gone says whether the api was away at some time since then.
func (c *chaos) gone(since time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.apiAway || c.apiBack.After(since)
}

func (c *chaos) fillRedis() {
	free := c.redis.fill()
	c.later(c.between(1000, 3000), free)
}

func (c *chaos) cut(way *system.Forward) {
	way.Cut()
	c.later(c.between(1000, 3000), way.Mend)
}

func (c *chaos) later(after time.Duration, heal func()) {
	c.healing.Go(func() {
		time.Sleep(after)
		heal()
	})
}

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
// time is over and every kind has been.
func (c *chaos) run(until time.Time) {
	c.began = time.Now()
	for round := 0; round == 0 || time.Now().Before(until); round++ {
		faults := c.faults()
		c.rng.Shuffle(len(faults), func(i, k int) { faults[i], faults[k] = faults[k], faults[i] })
		for _, f := range faults {
			if round > 0 && time.Now().After(until) {
				break
			}
			time.Sleep(c.between(100, 1000))
			c.t.Logf("%5.1f s: %s", time.Since(c.began).Seconds(), f.name)
			f.inject()
			c.injected[f.name]++
		}
	}
	c.healing.Wait()
}
