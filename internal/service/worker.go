// Package service puts the parts together: the api that accepts batches, the
// worker that works them off. The mains choose the parts, service wires, starts
// and stops them in order. It holds no rule of the domain.
package service

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/queue"
)

// WorkerStore is what a worker process needs of a store.
type WorkerStore interface {
	batch.WorkerStore
	batch.Sweeper
	batch.Remover
}

// WorkerConfig are a worker process's tunables; zero values mean the defaults
// of the packages that they go to.
type WorkerConfig struct {
	Worker batch.WorkerConfig
	Relay  batch.RelayConfig
	Queue  queue.ConsumerConfig
	// Janitor says what is removed, and CleanEvery how often. Default 1 min.
	Janitor    batch.JanitorConfig
	CleanEvery time.Duration
	// Producer is for the tasks that a worker puts back.
	Producer queue.ProducerConfig
	// Grace is how long a stop waits for probes that have sent a login.
	// Default 20 s, which is longer than a probe.
	Grace time.Duration
}

// Worker is a worker process without its main.
type Worker struct {
	log      *slog.Logger
	worker   *batch.Worker
	relay    *batch.Relay
	janitor  *queue.Chore
	consumer *queue.Consumer
	redis    *queue.Redis
	grace    time.Duration
}

// NewWorker wires a worker: tasks come from redis, probes are made by runner,
// reports go to store.
func NewWorker(log *slog.Logger, store WorkerStore, redis *queue.Redis, runner *probe.Runner, observer batch.Observer, tracer batch.Tracer, cfg WorkerConfig) (*Worker, error) {
	producer := queue.NewProducer(redis, cfg.Producer)
	w := &Worker{
		log:    log,
		worker: batch.NewWorker(log, store, runner, producer, producer, observer, tracer, cfg.Worker),
		relay:  batch.NewRelay(log, store, producer, producer, observer, cfg.Relay),
		janitor: queue.NewChore(log, redis, batch.NewJanitor(log, store, observer, cfg.Janitor).Clean,
			queue.ChoreConfig{Name: "janitor", Every: cfg.CleanEvery}),
		redis: redis,
		grace: cmp.Or(cfg.Grace, 20*time.Second),
	}
	consuming := cfg.Queue
	consuming.Logger = log
	consuming.Networks = cfg.Worker.Networks
	var err error
	if w.consumer, err = queue.NewConsumer(redis, w.worker.Handle, consuming); err != nil {
		return nil, fmt.Errorf("wire worker: %w", err)
	}
	return w, nil
}

// Run works until ctx ends, and then stops: no more tasks are taken, relay and
// janitor end, probes before their login are handed back, those after it may finish
// within the grace, and asynq puts the rest back.
func (w *Worker) Run(ctx context.Context) error {
	// The parts end in an order, not all at once with ctx.
	parts, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	relaying, endRelay := context.WithCancel(parts)
	defer endRelay()

	var running sync.WaitGroup
	running.Go(func() { _ = w.relay.Run(relaying) })
	running.Go(func() { _ = w.worker.Run(parts) })
	running.Go(func() { _ = w.redis.ListenEnded(parts, w.look) })
	running.Go(func() {
		if err := w.janitor.Run(relaying); err != nil {
			w.log.ErrorContext(ctx, "janitor not started", "error", err)
		}
	})
	err := w.consumer.Start() //nolint:contextcheck // asynq takes no context; Stop ends it
	if err == nil {
		w.log.InfoContext(ctx, "worker started")
		<-ctx.Done()
	}
	w.log.InfoContext(ctx, "worker stops", "running", w.worker.Running())
	w.consumer.Drain() //nolint:contextcheck // likewise
	endRelay()
	stopping, stopped := context.WithTimeout(parts, w.grace)
	defer stopped()
	if cut := w.worker.Stop(stopping); cut != nil {
		w.log.WarnContext(ctx, "worker stop", "error", cut)
	}
	w.consumer.Stop() //nolint:contextcheck // likewise
	cancel()
	running.Wait()
	return err
}

// look stops the probes of tests that were ended.
func (w *Worker) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	w.worker.Look(ctx)
}

// Running counts the probes under way.
func (w *Worker) Running() int { return w.worker.Running() }
