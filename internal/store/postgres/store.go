// Package postgres is the store on PostgreSQL: all SQL of its dialect, the
// migrations, and the sealing of what is secret. It decides nothing about
// endpoints or verdicts, and knows no queue and no request.
//
// The clock is the server's. Statements that may have waited for a lock, and
// those that grant or use a lease, ask clock_timestamp(), because now() is the
// time at which their transaction began; sweeps, which wait for nobody, ask
// statement_timestamp(), which an index can be searched with.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"dialtone/internal/batch"
	"dialtone/internal/keyring"
	"dialtone/internal/secret"
	"dialtone/internal/store/record"
)

var (
	_ batch.Creator     = (*Store)(nil)
	_ batch.Claims      = (*Store)(nil)
	_ batch.LoginMarker = (*Store)(nil)
	_ batch.Sweeper     = (*Store)(nil)
	_ batch.Reader      = (*Store)(nil)
	_ batch.Ender       = (*Store)(nil)
	_ batch.Announcer   = (*Store)(nil)
	_ batch.KeyStore    = (*Store)(nil)
	_ batch.Remover     = (*Store)(nil)
	_ batch.Forgetter   = (*Store)(nil)
	_ keyring.Store     = (*Store)(nil)
)

// Config says where the store is and how it is used.
type Config struct {
	// DSN is a connection string or URL, as libpq takes it.
	DSN secret.Text
	// Box seals secrets. Required.
	Box *secret.Box
	// MaxConns is the size of the pool. Default 16.
	MaxConns int32
	// ConnectTimeout bounds one attempt to connect. Default: what the DSN
	// says, else 5 s.
	ConnectTimeout time.Duration
}

// Store is the store. It is safe for concurrent use.
type Store struct {
	pool   *pgxpool.Pool
	sealer record.Sealer
	ledger atomic.Pointer[record.LedgerKey]
}

// Open makes a Store. It needs no server yet: connections are made when they
// are needed, and a server that comes back is found again.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Box == nil {
		return nil, errors.New("open store: no box to seal secrets with")
	}
	pc, err := pgxpool.ParseConfig(cfg.DSN.Reveal())
	if err != nil {
		// The parser's text quotes the DSN.
		return nil, errors.New("open store: the Postgres DSN cannot be understood")
	}
	pc.MaxConns = cmp.Or(cfg.MaxConns, 16)
	pc.ConnConfig.ConnectTimeout = cmp.Or(cfg.ConnectTimeout, pc.ConnConfig.ConnectTimeout, 5*time.Second)
	if pc.ConnConfig.RuntimeParams["application_name"] == "" {
		pc.ConnConfig.RuntimeParams["application_name"] = "dialtone"
	}
	pc.AfterConnect = prepareConn
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, errors.New("open store: the pool's settings are refused")
	}
	return &Store{pool: pool, sealer: record.NewSealer(cfg.Box)}, nil
}

// prepareConn settles what every connection of the pool has in common.
func prepareConn(ctx context.Context, conn *pgx.Conn) error {
	conn.TypeMap().RegisterType(&pgtype.Type{
		Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
	})
	// A statement prepared while a table is small would read it from end to
	// end, and keep to that plan while the table grows. Every query here has
	// its index, also in the plan that suits all arguments: what a claim asks is
	// dearer to plan than to do. Without jit, because a plan that has no index all the same
	// looks dear enough to be compiled.
	_, err := conn.Exec(ctx, "set enable_seqscan = off; set plan_cache_mode = force_generic_plan; set jit = off")
	return err
}

// closeTimeout is how long Close waits. The driver says goodbye on one connection
// after the other, and waits up to 15 s for each answer.
const closeTimeout = 3 * time.Second

// Close waits until all connections are back and closes them. Those that a silent
// server keeps open are left to the end of the process.
func (s *Store) Close() {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		s.pool.Close()
	}()
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case <-closed:
	case <-timer.C:
	}
}

// Stat gives the pool's figures, for metrics.
func (s *Store) Stat() *pgxpool.Stat { return s.pool.Stat() }

// Ping says whether the store can be used: the server answers, and its tables
// are at least those that this program knows.
func (s *Store) Ping(ctx context.Context) error {
	known, err := knownMigrations()
	if err != nil {
		return err
	}
	var applied int
	err = s.pool.QueryRow(ctx, "select count(distinct v.version_id) from goose_db_version v where v.is_applied and v.version_id = any($1)", known).Scan(&applied)
	if sqlState(err) == undefinedTable {
		return errNotMigrated
	}
	if err != nil {
		return fmt.Errorf("ping store: %w", translate(err))
	}
	if applied < len(known) {
		return errNotMigrated
	}
	return nil
}

var errNotMigrated = errors.New("ping store: its tables are older than this program: run the migrations")
