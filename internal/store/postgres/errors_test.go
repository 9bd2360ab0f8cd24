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
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"dialtone/internal/batch"
	"dialtone/internal/job"
)

func TestTranslate(t *testing.T) {
	t.Parallel()
	const echo = "user=owner password=hunter2"
	state := func(code string) error { return &pgconn.PgError{Code: code, Message: echo, Detail: echo} }
	for _, tt := range []struct {
		name string
		err  error
		// away: the store could not be asked; is: what else the error is.
		away bool
		is   error
	}{
		{name: "connection refused", err: &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, away: true, is: syscall.ECONNREFUSED},
		{name: "connection reset", err: fmt.Errorf("%s: %w", echo, syscall.ECONNRESET), away: true},
		{name: "no such name", err: &net.DNSError{Err: echo, Name: echo}, away: true},
		{name: "slow to connect", err: fmt.Errorf("%s: %w", echo, os.ErrDeadlineExceeded), away: true},
		{name: "not connected", err: &pgconn.ConnectError{Config: &pgconn.Config{}}, away: true},
		{name: "cut off", err: fmt.Errorf("%s: %w", echo, io.ErrUnexpectedEOF), away: true},
		{name: "closed", err: net.ErrClosed, away: true},
		{name: "out of time", err: fmt.Errorf("%s: %w", echo, context.DeadlineExceeded), away: true, is: context.DeadlineExceeded},
		{name: "asked by nobody any more", err: fmt.Errorf("%s: %w", echo, context.Canceled), is: context.Canceled},
		{name: "connection failure", err: state("08006"), away: true},
		{name: "admin shutdown", err: state("57P01"), away: true},
		{name: "crash shutdown", err: state("57P02"), away: true},
		{name: "starting", err: state("57P03"), away: true},
		{name: "too many connections", err: state("53300"), away: true},
		{name: "disk full", err: state("53100"), away: true},
		{name: "statement timeout", err: state("57014"), away: true},
		{name: "lock timeout", err: state("55P03"), away: true},
		{name: "a standby", err: state("25006"), away: true},
		{name: "deadlock", err: state("40P01"), away: true},
		{name: "no such table", err: state("42P01")},
		{name: "not unique", err: state("23505")},
		{name: "name taken", err: &pgconn.PgError{Code: "23505", ConstraintName: "jobs_name"}, is: job.ErrNameTaken},
		{name: "a row of another shape", err: errors.New(echo)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := translate(tt.err)
			if errors.Is(got, batch.ErrUnavailable) != tt.away || tt.is != nil && !errors.Is(got, tt.is) {
				t.Errorf("translate() = %v, want unavailable %v and %v", got, tt.away, tt.is)
			}
			if strings.Contains(got.Error(), "hunter2") {
				t.Errorf("translate() = %v", got)
			}
		})
	}
}
