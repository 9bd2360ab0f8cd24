package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"dialtone/internal/queue"
	"dialtone/internal/secret"
	"dialtone/internal/store/postgres"
)

// conns is the size of every pool of connections to Postgres: the api's, the
// worker's and the limits'. It is the default of the binaries.
const conns = 16

// ground is what all variants stand on: a Postgres database and a Redis
// database of this run, and the keys.
type ground struct {
	admin    *pgx.Conn
	name     string
	dsn      string
	redisURL string
	keyset   secret.Text
	box      *secret.Box
	password secret.Text
	mariadb  string
	postgres string
	// machine describes what was measured on.
	machine machine
}

// machine is what decides about absolute figures.
type machine struct {
	Postgres string `json:"postgres"`
	Fsync    string `json:"fsync"`
	Redis    string `json:"redis"`
}

// redisLock is the space of the locks by which the harness of test/system and
// this program keep out of each other's Redis databases.
const redisLock = 0x6474

// prepare makes the databases. Close them.
func prepare(ctx context.Context) (g *ground, err error) {
	g = &ground{}
	need := func(name string) string {
		value := os.Getenv("DIALTONE_TEST_" + name)
		if value == "" {
			err = errors.Join(err, fmt.Errorf("DIALTONE_TEST_%s is not set", name))
		}
		return value
	}
	dsn, redisAddr := need("POSTGRES_DSN"), need("REDIS_ADDR")
	g.password, g.mariadb, g.postgres = secret.New(need("PASSWORD")), need("MARIADB_ADDR"), need("POSTGRES_ADDR")
	if err != nil {
		return nil, fmt.Errorf("start the servers with scripts/services: %w", err)
	}
	if g.admin, err = pgx.Connect(ctx, dsn); err != nil {
		return nil, err
	}
	defer func() { //nolint:contextcheck // closed also when ctx has ended
		if err != nil {
			g.close()
		}
	}()
	if err := g.admin.QueryRow(ctx, "select current_setting('server_version'), current_setting('fsync')").Scan(&g.machine.Postgres, &g.machine.Fsync); err != nil {
		return g, err
	}
	for number := 15; number > 0 && g.redisURL == ""; number-- {
		var mine bool
		if err := g.admin.QueryRow(ctx, "select pg_try_advisory_lock($1, $2)", redisLock, number).Scan(&mine); err != nil {
			return g, err
		}
		if mine {
			g.redisURL = fmt.Sprintf("redis://%s/%d", redisAddr, number)
		}
	}
	if g.redisURL == "" {
		return g, errors.New("no Redis database is free: other tests are running, and would spoil the figures")
	}
	if err := g.database(ctx, dsn); err != nil {
		return g, err
	}
	if g.keyset, err = secret.NewKeyset(); err != nil {
		return g, err
	}
	if g.box, err = secret.OpenBox(g.keyset); err != nil {
		return g, err
	}
	store, err := g.store(ctx)
	if err != nil {
		return g, err
	}
	defer store.Close()
	if err := store.Migrate(ctx); err != nil {
		return g, err
	}
	redis, err := queue.Connect(queue.Config{URL: secret.New(g.redisURL)})
	if err != nil {
		return g, err
	}
	defer func() { _ = redis.Close() }() // only asked
	info, err := redis.Client().InfoMap(ctx, "server").Result()
	if err != nil {
		return g, err
	}
	g.machine.Redis = info["Server"]["redis_version"]
	return g, redis.Client().FlushDB(ctx).Err()
}

// database makes a database beside the one of the DSN.
func (g *ground) database(ctx context.Context, dsn string) error {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return errors.New("DIALTONE_TEST_POSTGRES_DSN cannot be understood")
	}
	var random [6]byte
	_, _ = rand.Read(random[:]) // never fails
	name := "bench_" + hex.EncodeToString(random[:])
	if _, err := g.admin.Exec(ctx, "create database "+name); err != nil {
		return err
	}
	g.name = name
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(cfg.User, cfg.Password), Path: name, RawQuery: "sslmode=disable",
		Host: net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port))),
	}
	g.dsn = u.String()
	return nil
}

// store opens a pool of its own, as each process does.
func (g *ground) store(ctx context.Context) (*postgres.Store, error) {
	return postgres.Open(ctx, postgres.Config{DSN: secret.New(g.dsn), Box: g.box, MaxConns: conns})
}

// pool opens a pool for the limits.
func (g *ground) pool(ctx context.Context) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(g.dsn)
	if err != nil {
		return nil, errors.New("the DSN of the run cannot be understood")
	}
	cfg.MaxConns = conns
	return pgxpool.NewWithConfig(ctx, cfg)
}

// settle lets Postgres finish what earlier rounds left to do, so that the next
// variant does not pay for it.
func (g *ground) settle(ctx context.Context) error {
	_, err := g.admin.Exec(ctx, "checkpoint")
	return err
}

// close drops what prepare made.
func (g *ground) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if g.name != "" {
		if _, err := g.admin.Exec(ctx, "drop database if exists "+g.name+" with (force)"); err != nil {
			fmt.Fprintln(os.Stderr, "bench: drop", g.name+":", err)
		}
	}
	_ = g.admin.Close(ctx)
}
