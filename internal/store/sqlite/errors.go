package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"dialtone/internal/batch"
	"dialtone/internal/job"
)

// translate makes an error of ours of a driver's: its number, and for a
// constraint its name. What a later try may mend is a batch.ErrUnavailable.
// Errors of ours pass through.
func translate(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("sqlite: %w", context.Canceled)
	}
	if errors.Is(err, context.DeadlineExceeded) { // while it worked, or while all connections were taken
		return fmt.Errorf("sqlite: %w: %w", batch.ErrUnavailable, context.DeadlineExceeded)
	}
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return err
	}
	switch {
	case e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE && strings.Contains(e.Error(), "jobs.name_key"):
		return job.ErrNameTaken
	case e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY && strings.Contains(e.Error(), "request_keys.key"):
		return batch.ErrKeyTaken
	case e.Code()&0xff == sqlite3.SQLITE_INTERRUPT:
		// The driver's way of telling that the context ended, for whichever
		// reason.
		return fmt.Errorf("sqlite: %w", context.Canceled)
	case e.Code()&0xff == sqlite3.SQLITE_CONSTRAINT:
		// The text names the constraint or the columns, never a value.
		return fmt.Errorf("sqlite refused: %s", e.Error())
	case passes(e.Code() & 0xff):
		return fmt.Errorf("sqlite: %s (%d): %w", sqlite.ErrorCodeString[e.Code()&0xff], e.Code(), batch.ErrUnavailable)
	default:
		return fmt.Errorf("sqlite: %s (%d)", sqlite.ErrorCodeString[e.Code()&0xff], e.Code())
	}
}

// passes says whether what failed so may do soon: others have the lock, or the
// disk is full or does not answer.
func passes(code int) bool {
	switch code {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN:
		return true
	default:
		return false
	}
}
