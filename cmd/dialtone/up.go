package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"dialtone/internal/audit"
	"dialtone/internal/auth"
	"dialtone/internal/config"
	"dialtone/internal/egress"
	"dialtone/internal/embedded"
	"dialtone/internal/keyring"
	"dialtone/internal/secret"
	"dialtone/internal/service"
	"dialtone/internal/store/sqlite"
)

// upCommand is `dialtone up`: api and worker in one process.
type upCommand struct {
	Listen    string      `env:"DIALTONE_LISTEN" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Address of the API. Port 0 takes a free one."`
	Data      string      `env:"DIALTONE_DATA" placeholder:"DIR" help:"Directory for the database, the keyset and the token. Default: dialtone in the user's state directory."`
	Token     secret.Text `env:"DIALTONE_TOKEN" placeholder:"SECRET" help:"Token that callers send as X-Auth-Token. Default: one that is made, kept in the data directory, and printed."`
	AccessKey secret.Text `env:"DIALTONE_ACCESS_KEY" placeholder:"AK:SK" help:"Access key and secret for signed requests. Default: none."`
	Project   string      `env:"DIALTONE_PROJECT" default:"0123456789abcdef0123456789abcdef" placeholder:"ID" help:"The one project."`
	AnyJob    bool        `env:"DIALTONE_ANY_JOB" help:"Take any job id as a label, instead of registered jobs only."`
	LogLevel  slog.Level  `env:"DIALTONE_LOG_LEVEL" default:"warn" help:"Least level that is logged: debug, info, warn or error."`

	AuditFile string `env:"DIALTONE_AUDIT_FILE" placeholder:"FILE" help:"File for the audit log, which is appended to. Empty: it is part of the log, at its level info."`

	AllowRecoverablePassword bool `env:"DIALTONE_ALLOW_RECOVERABLE_PASSWORD" help:"Permit logins in which a server that has not proven its identity could read the password."`

	config.Retention `embed:""`
	config.Guard     `embed:"" group:"Guard"`
	config.Egress    `embed:"" group:"Egress"`
	config.Kerberos  `embed:"" group:"Kerberos"`
	config.Timeouts  `embed:"" group:"Time limits"`
}

// Run serves until ctx ends.
func (u *upCommand) Run(ctx context.Context, c console) error {
	if err := errors.Join(u.Retention.Check(), u.Guard.Check(), u.Egress.Check(), u.Kerberos.Check(), u.Timeouts.Check()); err != nil {
		return usageError{err}
	}
	log := slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: u.LogLevel}))
	home, err := openHome(u.Data, c.getenv)
	if err != nil {
		return err
	}
	defer home.close()
	token, err := home.token(u.Token)
	if err != nil {
		return err
	}
	name := service.Name("up")
	store, keys, err := home.store(ctx, log, name)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }() // SQLite has committed by then
	redis, closeRedis, err := embedded.NewRedis()
	if err != nil {
		return err
	}
	defer closeRedis()
	who, err := u.callers(token)
	if err != nil {
		return usageError{err}
	}
	defer who.Close()

	var listening net.ListenConfig
	l, err := listening.Listen(ctx, "tcp", u.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	policy, open, err := u.policy(log, l.Addr())
	if err != nil {
		return usageError{err}
	}
	probers, err := service.Probers(u.AllowRecoverablePassword, u.Kerberos)
	if err != nil {
		return usageError{err}
	}
	runner, err := service.OpenRunner(log, policy, probers, u.Egress, u.Timeouts, nil)
	if err != nil {
		return usageError{err}
	}
	work := config.Work{WorkerNetworks: []string{"eip", "vpn", "vpc"}, WorkerConcurrency: 64, WorkerAttempts: 3, ShutdownGrace: u.ProbeTimeout + u.LeaseSlack}
	requests := config.Requests{Jobs: "registered", Backlog: 1000, BulkBacklog: 10_000, ShutdownGrace: u.Wait + u.TaskSlack}
	if u.AnyJob {
		requests.Jobs = "any"
	}
	noted, closeAudit, err := u.audit(log)
	if err != nil {
		return err
	}
	defer closeAudit()
	verdicts := audit.NewVerdicts(noted, log, store)
	settings := service.APISettings(name, requests, u.Timeouts)
	settings.Audit = noted
	api, err := service.NewAPI(log, store, redis, who, service.Auditing(nil, verdicts), nil, settings)
	if err != nil {
		return err
	}
	worker, err := service.NewWorker(log, store, redis, runner, service.Auditing(nil, verdicts), nil, service.WorkerSettings(name, work, u.Retention, u.Guard, u.Timeouts))
	if err != nil {
		return err
	}
	u.greet(c, "http://"+l.Addr().String(), home.dir, token, open)
	return keeping(ctx, keys, verdicts, func(ctx context.Context) error {
		return together(ctx, worker.Run, func(ctx context.Context) error { return api.Run(ctx, l) })
	})
}

// audit opens the audit log: a file of its own, or the log.
func (u *upCommand) audit(log *slog.Logger) (noted *slog.Logger, done func(), err error) {
	if u.AuditFile == "" {
		return log, func() {}, nil
	}
	file, err := audit.Open(u.AuditFile, nil, "json", func(err error) { log.Error("audit line not written", "error", err) })
	if err != nil {
		return nil, nil, err
	}
	return file.Logger, func() { _ = file.Close() }, nil
}

// keeping looks after the keyset and writes the verdicts down while run runs, and
// ends it when the keyset does not fit the store any more.
func keeping(ctx context.Context, keys *keyring.Keeper, verdicts *audit.Verdicts, run func(context.Context) error) error {
	working, stop := context.WithCancel(ctx)
	defer stop()
	kept, forget := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	var unfit error
	running.Go(func() { _ = verdicts.Run(kept) })
	running.Go(func() {
		unfit = keys.Run(kept)
		stop()
	})
	err := run(working)
	forget()
	running.Wait()
	return errors.Join(err, unfit)
}

// together runs both parts, the api first to stop: the worker finishes what
// callers still wait for.
func together(ctx context.Context, worker, api func(context.Context) error) error {
	working, stopWorker := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	var failed error
	running.Go(func() { failed = worker(working) })
	err := api(ctx)
	stopWorker()
	running.Wait()
	return errors.Join(err, failed)
}

// callers is the list of one token and, where it was given, one access key.
func (u *upCommand) callers(token secret.Text) (*auth.Verifier, error) {
	file := auth.File{Tokens: []auth.Token{{
		Name: "up", SHA256: auth.HashToken(token), Projects: []string{u.Project}, Roles: []string{"drs_adm"},
	}}}
	if u.AccessKey.IsSet() {
		ak, sk, ok := strings.Cut(u.AccessKey.Reveal(), ":")
		if !ok || ak == "" || sk == "" {
			return nil, errors.New("DIALTONE_ACCESS_KEY or --access-key must be AK:SK")
		}
		file.AccessKeys = []auth.AccessKey{{ID: ak, Secret: secret.New(sk), Projects: []string{u.Project}, Roles: []string{"drs_adm"}}}
	}
	return auth.New(auth.Config{File: &file})
}

// policy opens local and private addresses where only local callers can reach
// the api. Elsewhere the allow-list decides, as it does for the worker.
func (u *upCommand) policy(log *slog.Logger, listening net.Addr) (p *egress.Policy, open bool, err error) {
	own, err := netip.ParseAddrPort(listening.String())
	if err != nil {
		return nil, false, fmt.Errorf("listen address: %w", err)
	}
	if own.Addr().IsLoopback() && u.EgressAllowFile == "" {
		p, err = egress.New(egress.Config{Open: true, Own: append(u.EgressOwn, own)})
		return p, true, err
	}
	p, err = service.OpenPolicy(log, u.Egress, []netip.AddrPort{own}, nil)
	return p, false, err
}

// greet says what runs and gives two commands to try.
func (u *upCommand) greet(c console, url, dir string, token secret.Text, open bool) {
	const job = "140b5236-88ad-43c8-811c-1268453jb101"
	w := &strings.Builder{}
	fmt.Fprintf(w, "dialtone is ready on %s; data in %s\n", url, dir)
	if open {
		fmt.Fprintln(w, "The listener is on loopback, so local and private addresses may be tested.")
	} else {
		fmt.Fprintln(w, "Public addresses may be tested, and others only as --egress-allow-file lists them.")
	}
	shown := token.Reveal()
	if u.Token.IsSet() {
		shown = "$DIALTONE_TOKEN"
	}
	fmt.Fprintf(w, "\nTry it:\n\n")
	if !u.AnyJob {
		fmt.Fprintf(w, `curl -sS -X PUT %s/v3/%s/jobs/%s/state \
  -H "X-Auth-Token: %s" -H 'Content-Type: application/json' \
  -d '{"status":"CONFIGURATION","role":"standalone"}'

`, url, u.Project, job, shown)
	}
	fmt.Fprintf(w, `curl -sS -X POST %s/v3/%s/jobs/batch-connection \
  -H "X-Auth-Token: %s" -H 'Content-Type: application/json' \
  -d '{"jobs":[{"id":"%s","net_type":"eip","db_type":"mysql","ip":"127.0.0.1","db_port":3306,"db_user":"root","db_password":"secret","end_point_type":"so"}]}'

`, url, u.Project, shown, job)
	_, _ = io.WriteString(c.stdout, w.String()) // a reader that is gone does not stop the service
}

// home is the data directory.
type home struct {
	dir  string
	lock *os.File
}

// openHome makes the directory, readable by its owner only, and takes it: two
// processes in one directory would both work off the same batches with queues
// of their own.
func openHome(dir string, getenv func(string) string) (*home, error) {
	if dir == "" {
		state := getenv("XDG_STATE_HOME")
		if state == "" {
			state = filepath.Join(getenv("HOME"), ".local", "state")
		}
		dir = filepath.Join(state, "dialtone")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the user chose the directory
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := lockFile(lock); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("data directory %s is in use by another dialtone", dir)
	}
	return &home{dir: dir, lock: lock}, nil
}

func (h *home) close() { _ = h.lock.Close() }

// token is the one given, or the one that is kept here.
func (h *home) token(given secret.Text) (secret.Text, error) {
	if given.IsSet() {
		return given, nil
	}
	return h.keep("token", func() (secret.Text, error) {
		var b [24]byte
		_, _ = rand.Read(b[:]) // never fails
		return secret.New(base64.RawURLEncoding.EncodeToString(b[:])), nil
	})
}

// store opens the database with the keyset that is kept beside it, and what
// looks after that.
func (h *home) store(ctx context.Context, log *slog.Logger, name string) (*sqlite.Store, *keyring.Keeper, error) {
	keyset, err := h.keep("keyset.json", secret.NewKeyset)
	if err != nil {
		return nil, nil, err
	}
	box, err := secret.OpenBox(keyset)
	if err != nil {
		return nil, nil, fmt.Errorf("keyset in the data directory: %w", err)
	}
	store, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(h.dir, "dialtone.db"), Box: box})
	if err != nil {
		return nil, nil, err
	}
	keys := keyring.NewKeeper(log, store, box, keyset, keyring.KeeperConfig{
		Process: name, File: keyring.File(filepath.Join(h.dir, "keyset.json")),
	})
	if err := errors.Join(store.Migrate(ctx), keys.Start(ctx)); err != nil {
		_ = store.Close() // what went wrong first is what to say
		return nil, nil, fmt.Errorf("open the database: %w", err)
	}
	return store, keys, nil
}

// keep reads a secret's file, or makes it.
func (h *home) keep(name string, fresh func() (secret.Text, error)) (secret.Text, error) {
	path := filepath.Join(h.dir, name)
	raw, err := os.ReadFile(path) //nolint:gosec // a fixed name in our own directory
	if err == nil {
		return secret.New(strings.TrimSpace(string(raw))), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return secret.Text{}, fmt.Errorf("read %s: %w", name, err)
	}
	made, err := fresh()
	if err != nil {
		return secret.Text{}, err
	}
	if err := os.WriteFile(path, []byte(made.Reveal()+"\n"), 0o600); err != nil {
		return secret.Text{}, fmt.Errorf("keep %s: %w", name, err)
	}
	return made, nil
}
