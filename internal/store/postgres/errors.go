package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

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
// of the DSN, so neither gets any further.
func translate(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		if e.Code == uniqueViolation && e.ConstraintName == "jobs_name" {
			return job.ErrNameTaken
		}
		if e.ConstraintName != "" {
			return fmt.Errorf("postgres refused: SQLSTATE %s, constraint %s", e.Code, e.ConstraintName)
		}
		return fmt.Errorf("postgres refused: SQLSTATE %s", e.Code)
	}
	for _, ours := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, ours) {
			return fmt.Errorf("postgres: %w", ours)
		}
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return fmt.Errorf("postgres cannot be reached: %w", errno)
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return errors.New("postgres cannot be reached: its name does not resolve")
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("postgres cannot be reached: timed out")
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return errors.New("postgres cannot be reached")
	}
	return fmt.Errorf("postgres: %s", kind(err))
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
