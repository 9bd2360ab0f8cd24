// Package sqlite is the store in one file, for the form of dialtone that needs
// no server: all SQL of its dialect, the migrations, and the sealing of what
// is secret. It is the Postgres store's equal under one contract.
//
// There is one connection that writes and a few that read. The clock is this
// process's, asked once a transaction has the right to write; processes that
// share a file share a machine, and so a clock.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"dialtone/internal/batch"
	"dialtone/internal/keyring"
	"dialtone/internal/secret"
	"dialtone/internal/store/record"
)

var (
	_ batch.Creator   = (*Store)(nil)
	_ batch.Claims    = (*Store)(nil)
	_ batch.Sweeper   = (*Store)(nil)
	_ batch.Reader    = (*Store)(nil)
	_ batch.Ender     = (*Store)(nil)
	_ batch.Announcer = (*Store)(nil)
	_ batch.KeyStore  = (*Store)(nil)
	_ batch.Remover   = (*Store)(nil)
	_ batch.Forgetter = (*Store)(nil)
	_ keyring.Store   = (*Store)(nil)
)

// Config says where the store is.
type Config struct {
	// Path is the file; its directory must exist.
	Path string
	// Box seals secrets. Required.
	Box *secret.Box
}

// Store is the store. It is safe for concurrent use.
type Store struct {
	writer *sql.DB
	reader *sql.DB
	sealer record.Sealer
	ledger atomic.Pointer[record.LedgerKey]
}

// Open opens the file, or makes an empty one that only its owner may read.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Box == nil {
		return nil, errors.New("open store: no box to seal secrets with")
	}
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	// Made here because SQLite would let others read it; the files that it
	// puts beside it take over its mode.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator says where
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{sealer: record.NewSealer(cfg.Box)}
	if s.writer, err = openFile(path, "_txlock=immediate"); err != nil {
		return nil, fmt.Errorf("open store: %w", translate(err))
	}
	s.writer.SetMaxOpenConns(1)
	if s.reader, err = openFile(path, "_pragma=query_only(1)"); err != nil {
		_ = s.writer.Close() // the first error is the one to tell
		return nil, fmt.Errorf("open store: %w", translate(err))
	}
	s.reader.SetMaxOpenConns(4)
	s.reader.SetMaxIdleConns(4)
	// Settles the journal's mode before anybody reads, and finds a file that
	// is no database.
	if err := s.writer.PingContext(ctx); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("open store: %w", translate(err))
	}
	return s, nil
}

// openFile syncs at every commit: with less a power cut could take back a
// login mark, and a second login would follow.
func openFile(path, options string) (*sql.DB, error) {
	const pragmas = "_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
	escaped := (&url.URL{Path: path}).EscapedPath()
	return sql.Open("sqlite", "file:"+escaped+"?"+pragmas+"&"+options)
}

// Close closes the file.
func (s *Store) Close() error {
	if err := errors.Join(s.reader.Close(), s.writer.Close()); err != nil {
		return fmt.Errorf("close store: %w", translate(err))
	}
	return nil
}

// Ping says whether the store can be used: the file can be read, and its
// tables are at least those that this program knows.
func (s *Store) Ping(ctx context.Context) error {
	var tables int
	err := s.reader.QueryRowContext(ctx, "select count(*) from sqlite_schema where name = 'goose_db_version'").Scan(&tables)
	if err != nil {
		return fmt.Errorf("ping store: %w", translate(err))
	}
	if tables == 0 {
		return errNotMigrated
	}
	applied, err := collect(ctx, s.reader, version, "select distinct version_id from goose_db_version where is_applied")
	if err != nil {
		return fmt.Errorf("ping store: %w", err)
	}
	known, err := knownMigrations()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(known, func(v int64) bool { return !slices.Contains(applied, v) }) {
		return errNotMigrated
	}
	return nil
}

var errNotMigrated = errors.New("ping store: its tables are older than this program: run the migrations")

// write runs do in a transaction that no other process writes beside; now is
// the time at which it got that right.
func (s *Store) write(ctx context.Context, do func(tx *sql.Tx, now int64) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return translate(err)
	}
	defer func() { _ = tx.Rollback() }() // nothing to undo after a commit
	if err := do(tx, time.Now().UnixMicro()); err != nil {
		return err
	}
	return translate(tx.Commit())
}

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// row is what a row can be read from.
type row interface {
	Scan(into ...any) error
}

// collect runs a query and gathers its rows.
func collect[T any](ctx context.Context, q querier, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, translate(err)
	}
	defer func() { _ = rows.Close() }() // Err tells what went wrong
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, translate(err)
		}
		all = append(all, one)
	}
	return all, translate(rows.Err())
}

// text reads rows of one text.
func text(r row) (s string, err error) {
	err = r.Scan(&s)
	return s, err
}

// version reads rows of one number.
func version(r row) (n int64, err error) {
	err = r.Scan(&n)
	return n, err
}

// moment is a time of a row.
func moment(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// maybe is a time that may be missing.
func maybe(micros sql.NullInt64) *time.Time {
	if !micros.Valid {
		return nil
	}
	return new(moment(micros.Int64))
}
