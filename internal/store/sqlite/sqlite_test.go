package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"dialtone/internal/secret"
	"dialtone/internal/store/sqlite"
	"dialtone/internal/store/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Store {
		t.Helper()
		path := filepath.Join(t.TempDir(), "dialtone.db")
		s := open(t, path, newBox(t))
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		return insides{Store: s, path: path}
	})
}

func newBox(tb testing.TB) *secret.Box {
	tb.Helper()
	keys, err := secret.NewKeyset()
	if err != nil {
		tb.Fatal(err)
	}
	return openBox(tb, keys)
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
}

func (i insides) Sealed(ctx context.Context, testID string) (sealed []byte, err error) {
	db, err := sql.Open("sqlite", "file:"+i.path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	err = db.QueryRowContext(ctx, "select sealed from tests where id = ?1", testID).Scan(&sealed)
	return sealed, err
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
