package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"dialtone/internal/batch"
	"dialtone/internal/secret"
	"dialtone/internal/store/postgres"
	"dialtone/internal/store/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Store {
		t.Helper()
		dsn := newDatabase(t)
		keys, box := newKeys(t)
		return insides{Store: open(t, dsn, box), dsn: dsn, keys: keys, box: box}
	})
}

// server is the DSN of the test server; without one the test is skipped.
func server(tb testing.TB) string {
	tb.Helper()
	dsn := os.Getenv("DIALTONE_TEST_POSTGRES_DSN")
	switch {
	case dsn != "":
	case os.Getenv("CI") == "true":
		tb.Fatal("DIALTONE_TEST_POSTGRES_DSN is not set")
	default:
		tb.Skip("DIALTONE_TEST_POSTGRES_DSN is not set: see scripts/services")
	}
	return dsn
}

// template is the database that the others are copied from.
var template struct {
	sync.Mutex
	name string
}

// newDatabase makes a migrated database for one test.
func newDatabase(tb testing.TB) string {
	tb.Helper()
	dsn := server(tb)
	template.Lock()
	if template.name == "" {
		template.name = emptyDatabase(tb, dsn, "", func(func()) {})
		s := open(tb, inDatabase(tb, dsn, template.name), newBox(tb))
		if err := s.Migrate(tb.Context()); err != nil {
			tb.Fatal(err)
		}
		s.Close()
	}
	template.Unlock()
	return inDatabase(tb, dsn, emptyDatabase(tb, dsn, template.name, tb.Cleanup))
}

// emptyDatabase makes a database, and leaves its end to cleanup.
func emptyDatabase(tb testing.TB, dsn, from string, cleanup func(func())) string {
	tb.Helper()
	name := "store_" + strings.ReplaceAll(batch.NewID(), "-", "")
	statement := "create database " + name
	if from != "" {
		statement += " template " + from
	}
	admin(tb, dsn, statement)
	cleanup(func() { admin(tb, dsn, "drop database if exists "+name+" with (force)") })
	return name
}

func TestMain(m *testing.M) {
	code := m.Run()
	if template.name != "" {
		if conn, err := pgx.Connect(context.Background(), os.Getenv("DIALTONE_TEST_POSTGRES_DSN")); err == nil {
			_, _ = conn.Exec(context.Background(), "drop database if exists "+template.name+" with (force)")
			_ = conn.Close(context.Background())
		}
	}
	os.Exit(code)
}

func admin(tb testing.TB, dsn, statement string) {
	tb.Helper()
	ctx := context.Background() // also runs when the test's own context is over
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, statement); err != nil {
		tb.Fatal(err)
	}
}

func inDatabase(tb testing.TB, dsn, name string) string {
	tb.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		tb.Fatal("DIALTONE_TEST_POSTGRES_DSN is not a URL")
	}
	u.Path = "/" + name
	return u.String()
}

func newBox(tb testing.TB) *secret.Box {
	tb.Helper()
	_, box := newKeys(tb)
	return box
}

func newKeys(tb testing.TB) (secret.Text, *secret.Box) {
	tb.Helper()
	keys, err := secret.NewKeyset()
	if err != nil {
		tb.Fatal(err)
	}
	return keys, openBox(tb, keys)
}

func openBox(tb testing.TB, keys secret.Text) *secret.Box {
	tb.Helper()
	box, err := secret.OpenBox(keys)
	if err != nil {
		tb.Fatal(err)
	}
	return box
}

func open(tb testing.TB, dsn string, box *secret.Box) *postgres.Store {
	tb.Helper()
	s, err := postgres.Open(context.Background(), postgres.Config{DSN: secret.New(dsn), Box: box})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

// insides looks behind the store.
type insides struct {
	*postgres.Store
	dsn  string
	keys secret.Text
	box  *secret.Box
}

func (i insides) Keys() (secret.Text, *secret.Box) { return i.keys, i.box }

func (i insides) Sealed(ctx context.Context, testID string) (sealed []byte, err error) {
	conn, err := pgx.Connect(ctx, i.dsn)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	err = conn.QueryRow(ctx, "select sealed from tests where id = $1", testID).Scan(&sealed)
	return sealed, err
}

func (i insides) Outdate(ctx context.Context, age time.Duration) error {
	conn, err := pgx.Connect(ctx, i.dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err = conn.Exec(ctx, "update batches set created_at = created_at - $1::interval, finished_at = finished_at - $1::interval", age); err != nil {
		return err
	}
	if _, err = conn.Exec(ctx, "update keyholders set seen_at = seen_at - $1::interval", age); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "update request_keys set created_at = created_at - $1::interval", age)
	return err
}

func (i insides) Count(ctx context.Context) (map[string]int, error) {
	conn, err := pgx.Connect(ctx, i.dsn)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	counts := map[string]int{}
	for _, table := range storetest.Tables() {
		var n int
		if err := conn.QueryRow(ctx, "select count(*) from "+table).Scan(&n); err != nil {
			return nil, err
		}
		if n > 0 {
			counts[table] = n
		}
	}
	return counts, nil
}

func (i insides) Dump(ctx context.Context) ([]byte, error) {
	conn, err := pgx.Connect(ctx, i.dsn)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, "select table_name from information_schema.tables where table_schema = 'public'")
	if err != nil {
		return nil, err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	var all bytes.Buffer
	for _, table := range tables {
		if _, err := conn.PgConn().CopyTo(ctx, &all, fmt.Sprintf("copy %s to stdout", table)); err != nil {
			return nil, err
		}
	}
	return all.Bytes(), nil
}
