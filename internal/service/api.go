package service

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"dialtone/internal/api"
	"dialtone/internal/batch"
	"dialtone/internal/queue"
)

// APIStore is what an api process needs of a store.
type APIStore interface {
	batch.Creator
	batch.Reader
	batch.Ender
	batch.Sweeper
	batch.KeyStore
	JobStore
}

// JobStore is what an api process needs of a store for jobs.
type JobStore interface {
	api.JobReader
	api.JobWriter
	// ReadyJobs takes jobs that are older than age out of CREATING.
	ReadyJobs(ctx context.Context, age time.Duration) (int, error)
}

// APIConfig are an api process's tunables; zero values mean the defaults of
// the packages that they go to.
type APIConfig struct {
	API      api.Config
	Submit   batch.SubmitConfig
	Relay    batch.RelayConfig
	Producer queue.ProducerConfig
	// JobCreation is how long a created job stays in CREATING. Default 1 s.
	JobCreation time.Duration
	// Grace is how long a stop waits for requests under way. Default 70 s,
	// which is longer than a caller waits.
	Grace time.Duration
	// Audit takes the audit lines of requests; nil: the log.
	Audit *slog.Logger
	// TLS serves HTTPS where it is set.
	TLS *tls.Config
}

// API is an api process without its main.
type API struct {
	log    *slog.Logger
	server *api.Server
	http   *http.Server
	hub    *batch.Hub
	relay  *batch.Relay
	keys   *batch.Keys
	jobs   JobStore
	cfg    APIConfig
}

// NewAPI wires an api: requests are accepted into store and queued on redis.
func NewAPI(log *slog.Logger, store APIStore, redis *queue.Redis, who api.Authenticator, observer batch.Observer, web api.Observer, cfg APIConfig) (*API, error) {
	cfg.JobCreation = cmp.Or(cfg.JobCreation, time.Second)
	cfg.Grace = cmp.Or(cfg.Grace, 70*time.Second)
	producer := queue.NewProducer(redis, cfg.Producer)
	hub := batch.NewHub(log, store, redis, cfg.Submit.ReplyTo, 0)
	keys := batch.NewKeys(log, store, cfg.Submit.ReplyTo)
	server, err := api.New(log, api.Parts{
		Auth:      who,
		Submitter: batch.NewSubmitter(log, store, producer, hub, observer, cfg.Submit),
		Waiter:    hub,
		Batches:   store,
		Ender:     ender{store, observer},
		Canceller: batch.NewCanceller(log, store, producer, producer, observer),
		Keys:      keys,
		JobReader: store,
		JobWriter: store,
		Observer:  web,
		Audit:     cfg.Audit,
	}, cfg.API)
	if err != nil {
		return nil, fmt.Errorf("wire api: %w", err)
	}
	a := &API{
		log: log, server: server, hub: hub, keys: keys, jobs: store, cfg: cfg,
		// No queue: an api ends what is overdue and leaves the rest to workers.
		relay: batch.NewRelay(log, store, nil, producer, observer, cfg.Relay),
	}
	a.http = &http.Server{
		Handler:           server.Handler(),
		TLSConfig:         cfg.TLS,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    128 << 10, // a token may have 32 KiB
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	a.http.RegisterOnShutdown(server.Drain)
	return a, nil
}

// ender ends batches for the api and tells the observer of those that it ended.
type ender struct {
	store    batch.Ender
	observer batch.Observer
}

// ExpireBatch implements api.Ender.
func (e ender) ExpireBatch(ctx context.Context, id string) error {
	done, err := e.store.ExpireBatch(ctx, id)
	if err == nil && len(done) > 0 && e.observer != nil {
		e.observer.Completed(done)
	}
	return err
}

// Run serves on l until ctx ends, and then stops: no new connections, event
// streams end, requests under way are answered within the grace, and then the
// hub and the sweeps end.
func (a *API) Run(ctx context.Context, l net.Listener) error {
	// The parts end in an order, not all at once with ctx.
	parts, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { _ = a.hub.Run(parts) })
	running.Go(func() { _ = a.relay.Run(parts) })
	running.Go(func() { _ = a.keys.Run(parts) })
	running.Go(func() { a.readyJobs(parts) })

	served := make(chan error, 1)
	go func() { served <- a.serve(l) }()
	a.log.InfoContext(ctx, "api started", "address", l.Addr().String())
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		a.log.InfoContext(ctx, "api stops", "waiting", a.hub.Waiting())
		stopping, stopped := context.WithTimeout(parts, a.cfg.Grace)
		err = a.http.Shutdown(stopping)
		stopped()
		<-served //nolint:errcheck // ErrServerClosed, once Shutdown has begun
	}
	cancel()
	running.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (a *API) serve(l net.Listener) error {
	if a.cfg.TLS != nil {
		return a.http.ServeTLS(l, "", "")
	}
	return a.http.Serve(l)
}

// readyJobs takes created jobs into CONFIGURATION, as DRS does by itself.
func (a *API) readyJobs(ctx context.Context) {
	repeat(ctx, min(a.cfg.JobCreation, time.Second), func(ctx context.Context) {
		if _, err := a.jobs.ReadyJobs(ctx, a.cfg.JobCreation); err != nil && !errors.Is(err, context.Canceled) {
			a.log.WarnContext(ctx, "take jobs into configuration", "error", err)
		}
	})
}

// Waiting counts the batches that callers wait for.
func (a *API) Waiting() int { return a.hub.Waiting() }
