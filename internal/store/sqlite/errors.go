package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"dialtone/internal/job"
)

// translate makes an error of ours of a driver's: its number, and for a
// constraint its name. Errors of ours pass through.
func translate(err error) error {
	if err == nil {
		return nil
	}
	for _, ours := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, ours) {
			return fmt.Errorf("sqlite: %w", ours)
		}
	}
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return err
	}
	switch {
	case e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE && strings.Contains(e.Error(), "jobs.name_key"):
		return job.ErrNameTaken
	case e.Code()&0xff == sqlite3.SQLITE_INTERRUPT:
		// The driver's way of telling that the context ended.
		return fmt.Errorf("sqlite: %w", context.Canceled)
	case e.Code()&0xff == sqlite3.SQLITE_CONSTRAINT:
		// The text names the constraint or the columns, never a value.
		return fmt.Errorf("sqlite refused: %s", e.Error())
	default:
		return fmt.Errorf("sqlite: %s (%d)", sqlite.ErrorCodeString[e.Code()&0xff], e.Code())
	}
}
