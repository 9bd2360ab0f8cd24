package service

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"dialtone/internal/audit"
	"dialtone/internal/config"
	"dialtone/internal/egress"
	"dialtone/internal/keyring"
	"dialtone/internal/probe"
	"dialtone/internal/queue"
	"dialtone/internal/secret"
	"dialtone/internal/store/postgres"
	"dialtone/internal/telemetry"
)

// Base is the configuration that api and worker have in common.
type Base struct {
	// Kind is api or worker.
	Kind        string
	AdminListen string
	Admin       config.Admin
	Postgres    config.Postgres
	Redis       config.Redis
	Keys        config.Keys
	Telemetry   config.Telemetry
	// NeededKeys lists the keys that files of the process are sealed with; nil:
	// none.
	NeededKeys func() []uint32
}

// Process is what every process stands on: its log, metrics, traces and admin
// server, the store and the queue. None of them needs its server to be there
// yet; readiness says whether it is.
type Process struct {
	Name     string
	Log      *slog.Logger
	Audit    *audit.Log
	Box      *secret.Box
	Keys     *keyring.Keeper
	Store    *postgres.Store
	Redis    *queue.Redis
	Metrics  *telemetry.Metrics
	Tracer   *telemetry.Tracer
	Observer *telemetry.Observer
	Verdicts *audit.Verdicts

	admin   *telemetry.Admin
	hangups chan os.Signal
	pause   time.Duration
	// certificates are those of the listeners.
	certificates []*Certificate
	// listeners are those beside the admin listener.
	listeners []net.Addr
	// background runs beside the part.
	background []func(context.Context)
}

// NewProcess opens what a process stands on. Close it.
func NewProcess(ctx context.Context, stderr io.Writer, b Base) (p *Process, err error) {
	p = &Process{Name: Name(b.Kind), hangups: make(chan os.Signal, 1), pause: b.Admin.ShutdownDelay}
	signal.Notify(p.hangups, syscall.SIGHUP) // from now on a hangup is no end
	defer func() {
		if err != nil {
			p.Close(ctx)
			p = nil
		}
	}()
	stderr = &lines{to: stderr}
	log, err := telemetry.NewLogger(stderr, b.Telemetry.LogLevel, b.Telemetry.LogFormat)
	if err != nil {
		return p, err
	}
	p.Log = log.With("process", p.Name)
	if p.Box, err = secret.OpenBox(b.Keys.Keyset); err != nil {
		return p, fmt.Errorf("DIALTONE_KEYSET: %w", err)
	}
	if p.Store, err = OpenPostgres(ctx, b.Postgres, p.Box); err != nil {
		return p, err
	}
	if err = p.audits(b.Telemetry.AuditFile, stderr, b.Telemetry.LogFormat); err != nil {
		return p, err
	}
	p.Keys = keyring.NewKeeper(p.Log, p.Store, p.Box, b.Keys.Keyset, keyring.KeeperConfig{
		Process: p.Name, File: keyring.File(b.Keys.KeysetFile), Needed: b.NeededKeys,
		Taken: func(ctx context.Context, primary uint32, keys []uint32) {
			p.Audit.InfoContext(ctx, "keyset taken", "audit", "keys", "operation", "reload", "key", primary, "keys", keys, "outcome", "done")
		},
	})
	if p.Redis, err = OpenRedis(p.Log, p.Name, b.Redis); err != nil {
		return p, err
	}
	build := telemetry.ThisBuild(b.Kind)
	p.Metrics = telemetry.NewMetrics(build)
	p.Tracer, err = telemetry.NewTracer(ctx, p.Log, telemetry.TraceConfig{
		Endpoint: b.Telemetry.OTLPEndpoint, Headers: b.Telemetry.OTLPHeaders, Ratio: b.Telemetry.TraceRatio, Build: build,
	})
	if err != nil {
		return p, err
	}
	p.Observer = telemetry.NewObserver(p.Metrics, p.Tracer)
	p.watch()
	adminTLS, err := p.ServerTLS("admin", TLSFiles{
		Cert: b.Admin.AdminTLSCertFile, Key: b.Admin.AdminTLSKeyFile, ClientCA: b.Admin.AdminTLSClientCAFile, Lenient: true,
	})
	if err != nil {
		return p, fmt.Errorf("admin listener: %w", err)
	}
	p.admin, err = telemetry.NewAdmin(ctx, p.Log, p.Metrics.Gatherer(), telemetry.AdminConfig{
		Listen: b.AdminListen, TLS: adminTLS, Pprof: b.Admin.Pprof, Token: b.Admin.AdminToken, ClientCert: b.Admin.AdminTLSClientCAFile != "",
		Checks: []telemetry.Check{
			{Name: "postgres", Do: p.Store.Ping},
			{Name: "keys", Do: p.Keys.Ready},
			{Name: "redis", Do: p.Redis.Ping},
			{Name: "redis_policy", Do: p.redisPolicy, Advisory: true},
		},
	})
	return p, err
}

// watch shows the pools and the queues in the metrics.
func (p *Process) watch() {
	p.Metrics.WatchPostgres(func() telemetry.PostgresPool {
		s := p.Store.Stat()
		return telemetry.PostgresPool{
			Acquired: int(s.AcquiredConns()), Idle: int(s.IdleConns()), Constructing: int(s.ConstructingConns()), Max: int(s.MaxConns()),
			Acquires: s.AcquireCount(), Waits: s.EmptyAcquireCount(), Cancelled: s.CanceledAcquireCount(), Waited: s.AcquireDuration(),
		}
	})
	p.Metrics.WatchRedis(func() telemetry.RedisPool {
		s := p.Redis.Client().PoolStats()
		return telemetry.RedisPool{
			Total: int(s.TotalConns), Idle: int(s.IdleConns),
			Hits: int64(s.Hits), Misses: int64(s.Misses), Timeouts: int64(s.Timeouts), Stale: int64(s.StaleConns),
		}
	})
	p.Metrics.WatchQueue(func(ctx context.Context) ([]telemetry.QueueDepth, error) {
		depths, err := p.Redis.Depths(ctx)
		list := make([]telemetry.QueueDepth, len(depths))
		for i, d := range depths {
			list[i] = telemetry.QueueDepth{Queue: d.Queue, Sizes: d.Sizes, Processed: d.Processed, Oldest: d.Oldest}
		}
		return list, err
	})
}

// redisPolicy complains of a Redis that may evict tasks.
func (p *Process) redisPolicy(ctx context.Context) error {
	warning, err := p.Redis.PolicyWarning(ctx)
	if err == nil && warning != "" {
		err = errors.New(warning)
	}
	return err
}

// OpenRunner makes the prober of a worker process. The policy denies the
// addresses of our own servers and of the admin listener: see ownServers.
// reload reads the allow-list again and keeps the old policy when the new one
// is bad.
func (p *Process) OpenRunner(ctx context.Context, cfg config.Worker) (runner *probe.Runner, reload func(context.Context), err error) {
	own := &ownServers{list: func(ctx context.Context) []string {
		return slices.Concat(p.Store.Servers(), p.Redis.Servers(), p.Redis.Members(ctx), []string{p.admin.Addr().String()}, p.announced(ctx))
	}}
	open := func(ctx context.Context) (*egress.Policy, error) {
		return OpenPolicy(p.Log, cfg.Egress, own.look(ctx), p.Metrics.Denied)
	}
	policy, err := open(ctx)
	if err != nil {
		return nil, nil, err
	}
	probers, err := Probers(cfg.AllowRecoverablePassword, cfg.Kerberos)
	if err != nil {
		return nil, nil, err
	}
	if runner, err = OpenRunner(p.Log, policy, probers, cfg.Egress, cfg.Timeouts, p.Metrics.Panicked); err != nil {
		return nil, nil, err
	}
	reload = func(ctx context.Context) {
		policy, err := open(ctx)
		if err != nil {
			p.Log.ErrorContext(ctx, "allow-list not read again; the old one stays in force", "error", err)
			return
		}
		runner.Obey(policy)
		p.Log.InfoContext(ctx, "allow-list read again")
	}
	p.background = append(p.background, func(ctx context.Context) {
		own.follow(ctx, time.Minute, func(ctx context.Context) {
			if policy, err := open(ctx); err == nil { // a bad list was reported when it was read
				runner.Obey(policy)
			}
		})
	})
	return runner, reload, nil
}

// ServerTLS makes the TLS of a listener, nil without a certificate. Its files are
// read again when they change, and on SIGHUP.
func (p *Process) ServerTLS(listener string, files TLSFiles) (*tls.Config, error) {
	c, err := NewCertificate(p.Log.With("listener", listener), files)
	if err != nil {
		return nil, err
	}
	p.certificates = append(p.certificates, c)
	return c.Config(), nil
}

// Run runs part until ctx ends. On SIGHUP the keyset is read again, and reload is
// called. Stopping, the process first says that it is not ready, gives a
// balancer the time to see it, ends part, and shows itself to the end. It errs
// before it starts, or stops, when the store says that the keyset does not fit it.
func (p *Process) Run(ctx context.Context, part func(context.Context) error, reload func(context.Context)) error {
	if err := p.Keys.Start(ctx); err != nil {
		return fmt.Errorf("DIALTONE_KEYSET: %w", err)
	}
	showing, hide := context.WithCancel(context.WithoutCancel(ctx))
	working, end := context.WithCancel(showing)
	defer end()

	var running sync.WaitGroup
	var shown, unfit error
	running.Go(func() { shown = p.admin.Run(showing) })
	running.Go(func() { p.reloads(showing, reload) })
	running.Go(func() { p.announce(showing) })
	running.Go(func() { _ = p.Verdicts.Run(showing) })
	running.Go(func() {
		if unfit = p.Keys.Run(showing); unfit != nil {
			p.Log.ErrorContext(ctx, "the keyset does not fit the store any more; the process stops", "error", unfit)
			p.admin.Stopping()
			end()
		}
	})
	for _, do := range p.background {
		running.Go(func() { do(showing) })
	}
	running.Go(func() {
		select {
		case <-ctx.Done():
		case <-working.Done():
			return
		}
		p.admin.Stopping()
		select {
		case <-time.After(p.pause):
		case <-working.Done():
		}
		end()
	})
	p.Log.InfoContext(ctx, "admin listener started", "address", p.admin.Addr().String())
	err := part(working)
	end()
	hide()
	running.Wait()
	return errors.Join(err, unfit, shown)
}

func (p *Process) reloads(ctx context.Context, reload func(context.Context)) {
	for {
		select {
		case <-p.hangups:
			p.reopenAudit(ctx)
			for _, c := range p.certificates {
				c.Reload()
			}
			p.Keys.Hangup(ctx)
			reload(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// Close sends what traces are left and closes queue and store.
func (p *Process) Close(ctx context.Context) {
	signal.Stop(p.hangups)
	if p.Tracer != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := p.Tracer.Shutdown(ctx); err != nil {
			p.Log.WarnContext(ctx, "send the last traces", "error", err)
		}
	}
	if p.Redis != nil {
		_ = p.Redis.Close()
	}
	if p.Audit != nil {
		_ = p.Audit.Close()
	}
	if p.Store != nil {
		p.Store.Close()
	}
}
