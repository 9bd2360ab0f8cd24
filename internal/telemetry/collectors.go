package telemetry

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// QueueDepth is what one queue holds.
type QueueDepth struct {
	Queue string
	// Sizes counts tasks by state.
	Sizes map[string]int
	// Processed counts the tasks done, ever.
	Processed int
	// Oldest is how long the first of the pending tasks has waited.
	Oldest time.Duration
}

// queuePatience is how long a scrape waits for Redis: one that hangs must not
// cost the scrape its other figures.
const queuePatience = time.Second

// WatchQueue shows the depth of the queues.
func (m *Metrics) WatchQueue(depths func(context.Context) ([]QueueDepth, error)) {
	m.registry.MustRegister(&queueCollector{
		depths: depths,
		up:     describe("dialtone_queue_up", "Whether Redis could be asked for the depth of its queues."),
		tasks:  describe("dialtone_queue_tasks", "Tasks on a queue, by state.", "queue", "state"),
		done:   describe("dialtone_queue_processed_total", "Tasks of a queue that are done.", "queue"),
		oldest: describe("dialtone_queue_oldest_seconds", "Time that the oldest pending task of a queue has waited.", "queue"),
	})
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

type queueCollector struct {
	depths                  func(context.Context) ([]QueueDepth, error)
	up, tasks, done, oldest *prometheus.Desc

	mu     sync.Mutex
	flight *queueFlight
}

// queueFlight is one question to Redis; several scrapes share it.
type queueFlight struct {
	landed chan struct{}
	depths []QueueDepth
	err    error
}

// Describe names the metrics.
func (c *queueCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.up, c.tasks, c.done, c.oldest} {
		to <- d
	}
}

// Collect asks Redis, for as long as a scrape can wait.
func (c *queueCollector) Collect(to chan<- prometheus.Metric) {
	flight := c.ask()
	timer := time.NewTimer(queuePatience)
	defer timer.Stop()
	up := 0.0
	select {
	case <-flight.landed:
		if flight.err == nil {
			up = 1
			c.show(to, flight.depths)
		}
	case <-timer.C:
	}
	to <- prometheus.MustNewConstMetric(c.up, prometheus.GaugeValue, up)
}

// ask joins the question under way or puts a new one.
func (c *queueCollector) ask() *queueFlight {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flight != nil {
		return c.flight
	}
	flight := &queueFlight{landed: make(chan struct{})}
	c.flight = flight
	go func() {
		// A scrape brings no context, and others may be waiting by the time it
		// has gone.
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		flight.depths, flight.err = c.depths(ctx)
		c.mu.Lock()
		c.flight = nil
		c.mu.Unlock()
		close(flight.landed)
	}()
	return flight
}

func (c *queueCollector) show(to chan<- prometheus.Metric, depths []QueueDepth) {
	for _, d := range depths {
		for state, n := range d.Sizes {
			to <- prometheus.MustNewConstMetric(c.tasks, prometheus.GaugeValue, float64(n), d.Queue, state)
		}
		to <- prometheus.MustNewConstMetric(c.done, prometheus.CounterValue, float64(d.Processed), d.Queue)
		to <- prometheus.MustNewConstMetric(c.oldest, prometheus.GaugeValue, d.Oldest.Seconds(), d.Queue)
	}
}

// PostgresPool are the figures of a pool of connections to Postgres.
type PostgresPool struct {
	Acquired, Idle, Constructing, Max int
	// Acquires counts those that got a connection, Waits those that had to
	// wait for one, Cancelled those that gave up; Waited is how long all of
	// them took together.
	Acquires, Waits, Cancelled int64
	Waited                     time.Duration
}

// WatchPostgres shows the figures of the Postgres pool.
func (m *Metrics) WatchPostgres(stat func() PostgresPool) {
	conns := describe("dialtone_postgres_connections", "Connections to Postgres, by state.", "state")
	most := describe("dialtone_postgres_connections_max", "Most connections to Postgres.")
	acquires := describe("dialtone_postgres_acquires_total", "Times that a connection to Postgres was taken from the pool.")
	waits := describe("dialtone_postgres_acquire_waits_total", "Times that no connection to Postgres was free at once.")
	cancelled := describe("dialtone_postgres_acquires_cancelled_total", "Times that whoever waited for a connection to Postgres gave up.")
	waited := describe("dialtone_postgres_acquire_wait_seconds_total", "Time spent on taking connections to Postgres from the pool.")
	m.registry.MustRegister(&poolCollector{
		describe: []*prometheus.Desc{conns, most, acquires, waits, cancelled, waited},
		collect: func(gauge, counter show) {
			s := stat()
			gauge(conns, float64(s.Acquired), "acquired")
			gauge(conns, float64(s.Idle), "idle")
			gauge(conns, float64(s.Constructing), "constructing")
			gauge(most, float64(s.Max))
			counter(acquires, float64(s.Acquires))
			counter(waits, float64(s.Waits))
			counter(cancelled, float64(s.Cancelled))
			counter(waited, s.Waited.Seconds())
		},
	})
}

// RedisPool are the figures of a pool of connections to Redis.
type RedisPool struct {
	Total, Idle int
	// Hits and Misses count how often a free connection was there or not,
	// Timeouts how often none came in time, Stale those thrown away.
	Hits, Misses, Timeouts, Stale int64
}

// WatchRedis shows the figures of the Redis pool.
func (m *Metrics) WatchRedis(stat func() RedisPool) {
	conns := describe("dialtone_redis_connections", "Connections to Redis, by state.", "state")
	hits := describe("dialtone_redis_pool_hits_total", "Times that a free connection to Redis was there.")
	misses := describe("dialtone_redis_pool_misses_total", "Times that no free connection to Redis was there.")
	timeouts := describe("dialtone_redis_pool_timeouts_total", "Times that no connection to Redis came free in time.")
	stale := describe("dialtone_redis_stale_connections_total", "Connections to Redis that were thrown away.")
	m.registry.MustRegister(&poolCollector{
		describe: []*prometheus.Desc{conns, hits, misses, timeouts, stale},
		collect: func(gauge, counter show) {
			s := stat()
			gauge(conns, float64(s.Idle), "idle")
			gauge(conns, float64(max(s.Total-s.Idle, 0)), "busy")
			counter(hits, float64(s.Hits))
			counter(misses, float64(s.Misses))
			counter(timeouts, float64(s.Timeouts))
			counter(stale, float64(s.Stale))
		},
	})
}

// show hands one figure over.
type show func(d *prometheus.Desc, value float64, labels ...string)

// poolCollector takes all figures of a pool at one moment.
type poolCollector struct {
	describe []*prometheus.Desc
	collect  func(gauge, counter show)
}

// Describe names the metrics.
func (c *poolCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.describe {
		to <- d
	}
}

// Collect takes the figures.
func (c *poolCollector) Collect(to chan<- prometheus.Metric) {
	as := func(kind prometheus.ValueType) show {
		return func(d *prometheus.Desc, value float64, labels ...string) {
			to <- prometheus.MustNewConstMetric(d, kind, value, labels...)
		}
	}
	c.collect(as(prometheus.GaugeValue), as(prometheus.CounterValue))
}
