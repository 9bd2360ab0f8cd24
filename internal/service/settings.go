package service

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"time"

	"dialtone/internal/api"
	"dialtone/internal/auth"
	"dialtone/internal/batch"
	"dialtone/internal/config"
	"dialtone/internal/egress"
	"dialtone/internal/probe"
	"dialtone/internal/probe/engines"
	"dialtone/internal/probe/kerberos"
	"dialtone/internal/queue"
	"dialtone/internal/secret"
	"dialtone/internal/store/postgres"
)

// Name makes a name for this process, unique over hosts and restarts: rows,
// logs and signals use it.
func Name(kind string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%s-%s-%d-%s", kind, host, os.Getpid(), hex.EncodeToString(b[:]))
}

// APISettings gives each part of an api its share of the configuration.
func APISettings(name string, r config.Requests, t config.Timeouts) APIConfig {
	return APIConfig{
		API: api.Config{
			MaxEntries: r.MaxEntries, MaxBody: int64(r.BodyLimit), Wait: t.Wait,
			RequestsPerSecond: unlimited(r.RateLimit), Burst: r.RateBurst, BulkEntries: r.BulkMax, BodyMemory: int64(r.BodyMemory),
			CallTimeout: r.CallTimeout, EventTimeout: r.EventTimeout, Streams: r.Streams,
		},
		Submit: batch.SubmitConfig{
			Timeout: t.Wait, BulkTimeout: t.AsyncTimeout, AnyJob: r.Jobs == "any",
			Verify: probe.Verify(r.TLSVerify), ReplyTo: name, Backlog: backlog(r),
			ProbesPerSecond: unlimited(r.ProjectRate), ProbeBurst: r.ProjectBurst,
		},
		Producer:    queue.ProducerConfig{TaskTimeout: t.Task()},
		JobCreation: r.JobCreationDelay,
		Grace:       r.ShutdownGrace,
	}
}

// unlimited says "no limit" as the packages want it: there zero is the default.
func unlimited[T float64 | time.Duration](limit T) T {
	if limit == 0 {
		return -1
	}
	return limit
}

// backlog is the bound of each lane that has one.
func backlog(r config.Requests) map[batch.Lane]int {
	bounds := map[batch.Lane]int{}
	if r.Backlog > 0 {
		bounds[batch.Interactive] = r.Backlog
	}
	if r.BulkBacklog > 0 {
		bounds[batch.Bulk] = r.BulkBacklog
	}
	return bounds
}

// WorkerSettings gives each part of a worker its share of the configuration.
func WorkerSettings(name string, w config.Work, r config.Retention, g config.Guard, t config.Timeouts) WorkerConfig {
	return WorkerConfig{
		Worker: batch.WorkerConfig{
			ID: name, Networks: w.WorkerNetworks, LeaseSlack: t.LeaseSlack, MaxProbes: w.WorkerAttempts,
			Limits: batch.Limits{
				EndpointProbes: g.EndpointProbes, Refusals: g.LoginRefusals, RefusalWindow: g.LoginWindow, RepeatAfter: unlimited(g.LoginRepeatAfter),
			},
			Rest: unlimited(g.EndpointRest),
		},
		Relay:    batch.RelayConfig{MaxProbes: w.WorkerAttempts},
		Janitor:  batch.JanitorConfig{Retention: r.Retention},
		Queue:    queue.ConsumerConfig{Concurrency: w.WorkerConcurrency},
		Producer: queue.ProducerConfig{TaskTimeout: t.Task()},
		Grace:    w.ShutdownGrace,
	}
}

// OpenPostgres opens the store. It needs no server yet.
func OpenPostgres(ctx context.Context, p config.Postgres, box *secret.Box) (*postgres.Store, error) {
	return postgres.Open(ctx, postgres.Config{
		DSN: p.PostgresDSN, Box: box, MaxConns: int32(p.PostgresMaxConns), //nolint:gosec // checked by config
		ConnectTimeout: p.PostgresConnectTimeout,
	})
}

// OpenRedis opens the queue. It needs no server yet.
func OpenRedis(log *slog.Logger, name string, r config.Redis) (*queue.Redis, error) {
	cfg := queue.Config{
		URL: r.RedisURL, Username: r.RedisUser, Password: r.RedisPassword,
		SentinelUsername: r.RedisSentinelUser, SentinelPassword: r.RedisSentinelPassword,
		ClientName: name, PoolSize: r.RedisPoolSize, Logger: log,
	}
	if r.RedisTLSCAFile != "" || r.RedisTLSCertFile != "" || r.RedisTLSServerName != "" {
		var err error
		if cfg.TLS, err = queue.TLSFiles(r.RedisTLSCAFile, r.RedisTLSCertFile, r.RedisTLSKeyFile, r.RedisTLSServerName); err != nil {
			return nil, err
		}
	}
	return queue.Connect(cfg)
}

// OpenAuth reads the list of callers and, where one is set, asks Keystone.
func OpenAuth(a config.Auth, box *secret.Box) (*auth.Verifier, error) {
	var cfg auth.Config
	if a.AuthFile != "" {
		file, err := auth.Load(a.AuthFile, box)
		if err != nil {
			return nil, fmt.Errorf("DIALTONE_AUTH_FILE: %w", err)
		}
		cfg.File = file
	}
	if a.KeystoneURL != "" {
		cfg.Keystone = &auth.KeystoneConfig{
			URL: a.KeystoneURL, Token: a.KeystoneToken, User: a.KeystoneUser, Password: a.KeystonePassword,
			Domain: a.KeystoneDomain, Project: a.KeystoneProject, Timeout: a.KeystoneTimeout,
			CacheFor: a.KeystoneCacheTime, RefuseFor: a.KeystoneRefuseTime,
		}
	}
	return auth.New(cfg)
}

// OpenPolicy reads the allow-list and adds our own addresses, which no rule
// can open. denied is told of every denial, and the log as well; nil means
// nobody.
func OpenPolicy(log *slog.Logger, e config.Egress, own []netip.AddrPort, denied func(project, class string, enforced bool)) (*egress.Policy, error) {
	cfg := egress.Config{
		Own: append(slices.Clone(own), e.EgressOwn...), Local: e.EgressLocal == "allow", Mode: egress.Mode(e.EgressMode),
		Report: func(d egress.Decision) {
			log.Warn("address denied", "project", d.Scope.Project, "network", d.Scope.Network,
				"host", d.Host, "address", address(d.Addr), "port", d.Addr.Port(), "class", d.Class, "enforced", d.Enforced)
			if denied != nil {
				denied(d.Scope.Project, string(d.Class), d.Enforced)
			}
		},
	}
	if cfg.Local {
		log.Warn("loopback addresses may be tested where the allow-list names them")
	}
	if e.EgressAllowFile != "" {
		f, err := os.Open(e.EgressAllowFile)
		if err != nil {
			return nil, fmt.Errorf("DIALTONE_EGRESS_ALLOW_FILE: %w", err)
		}
		defer func() { _ = f.Close() }() // only read
		if cfg.Rules, err = egress.ParseRules(f); err != nil {
			return nil, fmt.Errorf("DIALTONE_EGRESS_ALLOW_FILE: %w", err)
		}
	}
	return egress.New(cfg)
}

// Probers makes one prober for each wire protocol.
func Probers(allowRecoverable bool, k config.Kerberos) ([]probe.Prober, error) {
	cfg := engines.Config{AllowRecoverable: allowRecoverable}
	cfg.Kerberos.Realm, cfg.Kerberos.ServiceHost = k.KerberosRealm, k.KerberosServiceHost
	for _, kdc := range k.KerberosKDC {
		host, port, err := config.KDC(kdc)
		if err != nil {
			return nil, fmt.Errorf("DIALTONE_KERBEROS_KDC: %w", err)
		}
		cfg.Kerberos.KDCs = append(cfg.Kerberos.KDCs, probe.Address{Host: host, Port: port})
	}
	if k.KerberosKeytabFile != "" {
		content, err := os.ReadFile(k.KerberosKeytabFile)
		if err != nil {
			return nil, fmt.Errorf("DIALTONE_KERBEROS_KEYTAB_FILE: %w", err)
		}
		if cfg.Kerberos.Keytab, err = kerberos.ParseKeytab(content); err != nil {
			return nil, fmt.Errorf("DIALTONE_KERBEROS_KEYTAB_FILE: %w", err)
		}
	}
	return engines.All(cfg), nil
}

// address is empty where a name was denied before its look-up.
func address(ap netip.AddrPort) string {
	if !ap.IsValid() {
		return ""
	}
	return ap.Addr().String()
}

// OpenRunner makes what makes probes. panicked is told of a driver that
// panicked; nil means nobody.
func OpenRunner(log *slog.Logger, policy *egress.Policy, probers []probe.Prober, e config.Egress, t config.Timeouts, panicked func(probe.Engine)) (*probe.Runner, error) {
	return probe.NewRunner(policy, probers, probe.RunnerConfig{
		Timeout: t.ProbeTimeout,
		Limits:  egress.Limits{Dials: e.EgressDials, ReadBytes: int64(e.EgressReadLimit), ConnectTimeout: t.ConnectTimeout},
		OnPanic: func(engine probe.Engine, stack []byte) {
			log.Error("a driver panicked", "engine", engine, "stack", string(stack))
			if panicked != nil {
				panicked(engine)
			}
		},
	})
}
