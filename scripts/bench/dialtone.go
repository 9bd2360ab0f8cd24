package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/internal/api"
	"dialtone/internal/audit"
	"dialtone/internal/auth"
	"dialtone/internal/batch"
	"dialtone/internal/queue"
	"dialtone/internal/secret"
	"dialtone/internal/service"
	"dialtone/internal/store/postgres"
	"dialtone/internal/telemetry"
)

// token is what the one caller shows.
const token = "bench-token-that-is-long-enough"

// through is dialtone: an api and a worker in this process, each with a store
// and a queue of its own, as two processes have. Logs are formatted and thrown
// away, metrics are counted.
type through struct {
	client  *caller
	stages  *stages
	cancel  context.CancelFunc
	running sync.WaitGroup
	opened  []func()
	mu      sync.Mutex
	failed  error
}

// start wires and starts dialtone for a kind of probes. Stop it.
func start(ctx context.Context, g *ground, s subject, size int) (_ *through, err error) {
	d := &through{stages: newStages()}
	parts, cancel := context.WithCancel(ctx)
	d.cancel = cancel
	defer func() {
		if err != nil {
			err = errors.Join(err, d.stop())
		}
	}()
	log := slog.New(slog.NewJSONHandler(io.Discard, nil)) //nolint:sloglint // a DiscardHandler would not format
	metrics := telemetry.NewMetrics(telemetry.ThisBuild("bench"))
	tracer, err := telemetry.NewTracer(ctx, log, telemetry.TraceConfig{})
	if err != nil {
		return nil, err
	}
	observer := telemetry.NewObserver(metrics, tracer)

	who, err := auth.New(auth.Config{File: &auth.File{Tokens: []auth.Token{{
		Name: "bench", SHA256: auth.HashToken(secret.New(token)), Projects: []string{project}, Roles: []string{"drs_adm"},
	}}}})
	if err != nil {
		return nil, err
	}
	d.opened = append(d.opened, who.Close)
	workerStore, workerRedis, err := d.open(ctx, g)
	if err != nil {
		return nil, err
	}
	name := service.Name("worker")
	worker, err := service.NewWorker(log, timedStore{workerStore, d.stages}, workerRedis, s.runner, d.audited(parts, log, observer, workerStore), tracer, service.WorkerConfig{
		Worker: batch.WorkerConfig{ID: name, Networks: []string{"eip", "vpn", "vpc"}, Limits: s.limits},
	})
	if err != nil {
		return nil, err
	}
	apiStore, apiRedis, err := d.open(ctx, g)
	if err != nil {
		return nil, err
	}
	front, err := service.NewAPI(log, timedStore{apiStore, d.stages}, apiRedis, who, d.audited(parts, log, observer, apiStore), observer, service.APIConfig{
		API:    api.Config{RequestsPerSecond: -1},
		Submit: batch.SubmitConfig{AnyJob: true, ReplyTo: service.Name("api"), ProbesPerSecond: -1},
		Grace:  5 * time.Second,
	})
	if err != nil {
		return nil, err
	}
	var listening net.ListenConfig
	l, err := listening.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d.running.Go(func() { d.note(front.Run(parts, l)) })
	d.running.Go(func() { d.note(worker.Run(parts)) })
	d.client = newCaller("http://"+l.Addr().String(), s.endpoint, s.vary, size, true)
	return d, nil
}

// audited has verdicts written down beside, as the binaries have.
func (d *through) audited(ctx context.Context, log *slog.Logger, observer batch.Observer, store *postgres.Store) batch.Observer {
	verdicts := audit.NewVerdicts(log, log, store)
	d.running.Go(func() { d.note(verdicts.Run(ctx)) })
	return service.Auditing(observer, verdicts)
}

// open makes a store and a queue.
func (d *through) open(ctx context.Context, g *ground) (*postgres.Store, *queue.Redis, error) {
	store, err := g.store(ctx)
	if err != nil {
		return nil, nil, err
	}
	d.opened = append(d.opened, store.Close)
	redis, err := queue.Connect(queue.Config{URL: secret.New(g.redisURL)})
	if err != nil {
		return nil, nil, err
	}
	d.opened = append(d.opened, func() { _ = redis.Close() })
	return store, redis, nil
}

func (d *through) note(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed = errors.Join(d.failed, err)
}

// stop ends it, and says what went wrong while it ran.
func (d *through) stop() error {
	d.cancel()
	d.running.Wait()
	for _, done := range d.opened {
		done()
	}
	return d.failed
}

// caller sends a batch again and again, varied so that no two of its entries
// are the same to dialtone, which would make them once, or one after the other.
type caller struct {
	url  string
	job  map[string]any
	vary func(job map[string]any, n uint32)
	sent atomic.Uint32
	http *http.Client
	size int
	// passing says that every entry must pass; else every one must fail.
	passing bool
}

// newCaller calls for batches of size entries for one kind of endpoint.
func newCaller(base string, e batch.Endpoint, vary func(map[string]any, uint32), size int, passing bool) *caller {
	transport := &http.Transport{MaxIdleConnsPerHost: 256, MaxIdleConns: 256}
	return &caller{
		url: base + "/v3/" + project + "/jobs/batch-connection", http: &http.Client{Transport: transport, Timeout: 2 * time.Minute},
		vary: vary, size: size, passing: passing,
		job: map[string]any{
			"net_type": e.NetType, "db_type": e.DBType, "ip": e.IP, "db_port": e.DBPort,
			"db_user": e.User, "db_password": e.Password.Reveal(), "db_name": e.DBName, "end_point_type": e.EndPointType,
		},
	}
}

// body writes the next batch.
func (c *caller) body() ([]byte, error) {
	jobs := make([]map[string]any, c.size)
	for i := range jobs {
		jobs[i] = maps.Clone(c.job)
		jobs[i]["id"] = jobID(i)
		c.vary(jobs[i], c.sent.Add(1))
	}
	return json.Marshal(map[string]any{"jobs": jobs})
}

// once sends a batch and checks its answer.
func (c *caller) once(ctx context.Context) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("X-Auth-Token", token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %s", resp.StatusCode, raw)
	}
	var answer struct {
		Count   int `json:"count"`
		Results []struct {
			Success bool `json:"success"`
		} `json:"results"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return err
	}
	if answer.Count != c.size || len(answer.Results) != c.size {
		return fmt.Errorf("not %d results: %s", c.size, raw)
	}
	for _, r := range answer.Results {
		if r.Success != c.passing {
			return fmt.Errorf("a result that is not as expected: %s", raw)
		}
	}
	return nil
}
