// Command api accepts batches of connection tests and answers with what became
// of them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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
		fmt.Fprintln(os.Stderr, "api:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	cfg, err := config.ParseAPI(args, getenv, stdout)
	if errors.Is(err, config.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	p, err := service.NewProcess(ctx, stderr, service.Base{
		Kind: "api", AdminListen: cfg.AdminListen, Admin: cfg.Admin,
		Postgres: cfg.Postgres, Redis: cfg.Redis, Keys: cfg.Keys, Telemetry: cfg.Telemetry,
		NeededKeys: service.CallersKeys(cfg.AuthFile),
	})
	if err != nil {
		return err
	}
	defer p.Close(ctx)
	who, err := service.OpenAuth(cfg.Auth, p.Box)
	if err != nil {
		return err
	}
	defer who.Close()

	settings := service.APISettings(p.Name, cfg.Requests, cfg.Timeouts)
	settings.API.Middleware, settings.API.Trace = p.Tracer.Middleware, p.Tracer.Carry
	settings.API.Proxies, settings.Audit = cfg.TrustedProxies, p.Audit.Logger
	if settings.TLS, err = p.ServerTLS("api", service.TLSFiles{Cert: cfg.TLSCertFile, Key: cfg.TLSKeyFile, ClientCA: cfg.TLSClientCAFile}); err != nil {
		return err
	}
	api, err := service.NewAPI(p.Log, p.Store, p.Redis, who, service.Auditing(p.Observer, p.Verdicts), p.Observer, settings)
	if err != nil {
		return err
	}
	p.Metrics.WatchWaiting(api.Waiting)

	var listening net.ListenConfig
	l, err := listening.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	p.Announce(l.Addr())
	return p.Run(ctx,
		func(ctx context.Context) error { return api.Run(ctx, l) },
		func(ctx context.Context) {
			if cfg.AuthFile == "" {
				return
			}
			if err := who.Reload(cfg.AuthFile, p.Box); err != nil {
				p.Log.ErrorContext(ctx, "list of callers not read again; the old one stays in force", "error", err)
				return
			}
			p.Log.InfoContext(ctx, "list of callers read again")
		})
}
