package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dialtone/internal/secret"
	"dialtone/internal/store/sqlite"
	"dialtone/internal/store/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Store {
		t.Helper()
		path := filepath.Join(t.TempDir(), "dialtone.db")
		keys, box := newKeys(t)
		s := open(t, path, box)
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		return insides{Store: s, path: path, keys: keys, box: box}
	})
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

func open(tb testing.TB, path string, box *secret.Box) *sqlite.Store {
	tb.Helper()
	s, err := sqlite.Open(tb.Context(), sqlite.Config{Path: path, Box: box})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// insides looks behind the store.
type insides struct {
	*sqlite.Store
	path string
	keys secret.Text
	box  *secret.Box
}

func (i insides) Keys() (secret.Text, *secret.Box) { return i.keys, i.box }

func (i insides) Sealed(ctx context.Context, testID string) (sealed []byte, err error) {
	db, err := sql.Open("sqlite", "file:"+i.path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	err = db.QueryRowContext(ctx, "select sealed from tests where id = ?1", testID).Scan(&sealed)
	return sealed, err
}

func (i insides) Outdate(ctx context.Context, age time.Duration) error {
	db, err := sql.Open("sqlite", "file:"+i.path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(ctx, "update batches set created_at = created_at - ?1, finished_at = finished_at - ?1", age.Microseconds())
	if err != nil {
		return err
	}
	if _, err = db.ExecContext(ctx, "update keyholders set seen_at = seen_at - ?1", age.Microseconds()); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "update request_keys set created_at = created_at - ?1", age.Microseconds())
	return err
}

func (i insides) Count(ctx context.Context) (map[string]int, error) {
	db, err := sql.Open("sqlite", "file:"+i.path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	counts := map[string]int{}
	for _, table := range storetest.Tables() {
		var n int
		if err := db.QueryRowContext(ctx, "select count(*) from "+table).Scan(&n); err != nil {
			return nil, err
		}
		if n > 0 {
			counts[table] = n
		}
	}
	return counts, nil
}

// Dump gives the file and its log: what was deleted is in there, too.
func (i insides) Dump(context.Context) ([]byte, error) {
	var all bytes.Buffer
	for _, suffix := range []string{"", "-wal"} {
		part, err := os.ReadFile(i.path + suffix)
		if err != nil {
			return nil, err
		}
		all.Write(part)
	}
	return all.Bytes(), nil
}
