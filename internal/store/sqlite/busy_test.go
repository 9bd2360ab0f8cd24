package sqlite_test

import (
	"database/sql"
	"errors"
	"net/url"
	"testing"

	"dialtone/internal/batch"
	"dialtone/internal/job"
)

// Whoever has the file's lock holds up those who write, and they say so. It
// takes as long as SQLite waits for a lock.
func TestLockedFile(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	s := migrated(t, path, newBox(t))
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec("delete from jobs"); err != nil {
		t.Fatal(err)
	}
	state := job.Job{ID: "j", Project: "p", Status: job.Configuration, Role: job.Standalone}
	if _, _, err := s.PutJobState(t.Context(), state); !errors.Is(err, batch.ErrUnavailable) {
		t.Errorf("PutJobState() = %v, want batch.ErrUnavailable", err)
	}
}
