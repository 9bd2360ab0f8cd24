package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"dialtone/internal/batch"
	"dialtone/internal/job"
)

// SQLSTATEs that mean something here.
const (
	uniqueViolation = "23505"
	undefinedTable  = "42P01"
)

// sqlState gives the SQLSTATE of a server's error, or nothing.
func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// translate makes an error that can be logged of a driver's. The driver's own
// text may quote values, and what it says of a failed connection holds parts
// of the DSN, so neither gets any further. What a later try may mend is a
// batch.ErrUnavailable.
func translate(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch {
		case e.Code == uniqueViolation && e.ConstraintName == "jobs_name":
			return job.ErrNameTaken
		case e.Code == uniqueViolation && e.ConstraintName == "request_keys_pkey":
			return batch.ErrKeyTaken
		case passes(e.Code):
			return fmt.Errorf("postgres refused: SQLSTATE %s: %w", e.Code, batch.ErrUnavailable)
		case e.ConstraintName != "":
			return fmt.Errorf("postgres refused: SQLSTATE %s, constraint %s", e.Code, e.ConstraintName)
		}
		return fmt.Errorf("postgres refused: SQLSTATE %s", e.Code)
	}
	if errors.Is(err, context.Canceled) { // whoever asked is gone
		return fmt.Errorf("postgres: %w", context.Canceled)
	}
	if errors.Is(err, context.DeadlineExceeded) { // while it worked, or while all connections were taken
		return fmt.Errorf("postgres: %w: %w", batch.ErrUnavailable, context.DeadlineExceeded)
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return fmt.Errorf("postgres cannot be reached: %w: %w", batch.ErrUnavailable, errno)
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Errorf("postgres cannot be reached: its name does not resolve: %w", batch.ErrUnavailable)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("postgres cannot be reached: timed out: %w", batch.ErrUnavailable)
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return fmt.Errorf("postgres cannot be reached: %w", batch.ErrUnavailable)
	}
	if broken(err) {
		return fmt.Errorf("postgres: %s: %w", kind(err), batch.ErrUnavailable)
	}
	return fmt.Errorf("postgres: %s", kind(err))
}

// passes says whether a server that answers so may answer otherwise soon.
func passes(sqlState string) bool {
	switch sqlState {
	case "57014", "55P03", "25006": // a time limit of the server's; a server that is no longer the primary
		return true
	}
	// The connection, what another transaction is in the way of, what there is
	// not enough of, and a server that stops or starts.
	for _, class := range []string{"08", "40", "53", "57P"} {
		if strings.HasPrefix(sqlState, class) {
			return true
		}
	}
	return false
}

// broken says whether the connection is lost, or never was.
func broken(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed} {
		if errors.Is(err, end) {
			return true
		}
	}
	return pgconn.SafeToRetry(err) // nothing was sent: the connection was closed before
}

// kind describes an error of which nothing but its type may be shown.
func kind(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return fmt.Sprintf("connection or protocol fault (%T)", err)
		}
		err = inner
	}
}
