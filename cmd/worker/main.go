// Command worker makes the connection tests that the api has accepted. Any
// number may run.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"dialtone/internal/config"
	"dialtone/internal/service"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	cfg, err := config.ParseWorker(args, getenv, stdout)
	if errors.Is(err, config.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	p, err := service.NewProcess(ctx, stderr, service.Base{
		Kind: "worker", AdminListen: cfg.AdminListen, Admin: cfg.Admin,
		Postgres: cfg.Postgres, Redis: cfg.Redis, Keys: cfg.Keys, Telemetry: cfg.Telemetry,
	})
	if err != nil {
		return err
	}
	defer p.Close(ctx)

	runner, reload, err := p.OpenRunner(ctx, cfg)
	if err != nil {
		return err
	}
	worker, err := service.NewWorker(p.Log, p.Store, p.Redis, runner, service.Auditing(p.Observer, p.Verdicts), p.Tracer, service.WorkerSettings(p.Name, cfg.Work, cfg.Retention, cfg.Guard, cfg.Timeouts))
	if err != nil {
		return err
	}
	p.Metrics.StandsIn(cfg.WorkerNetworks)
	p.Metrics.WatchConcurrency(cfg.WorkerConcurrency)
	p.Metrics.WatchRunning(worker.Running)
	return p.Run(ctx, worker.Run, reload)
}
