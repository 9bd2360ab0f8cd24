package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"dialtone/internal/probe"
	"dialtone/internal/probe/sqlstate"
)

// judge makes a verdict of the driver's error where the driver or the server
// could tell; what only the socket knows is left to the Runner.
func (a *attempt) judge(err error) error {
	if err == nil {
		return nil
	}
	if known, ok := errors.AsType[*probe.Error](err); ok {
		return known
	}
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return a.refused(refused)
	}
	if declined := a.notOffered(); declined != nil {
		return declined
	}
	if strings.Contains(err.Error(), "SCRAM") {
		// The exchange itself is wrong: the server does not know the password
		// either, or does not speak SCRAM.
		return &probe.Error{Code: probe.CodeProtocolMismatch, Phase: probe.PhaseLogin, Err: errors.New("the SCRAM exchange is not right")}
	}
	return err
}

// refused translates the server's own error.
func (a *attempt) refused(e *pgconn.PgError) error {
	a.session.ServerError(e.Code, e.Message)
	said := sqlstate.Error{Code: e.Code, Message: e.Message, Routine: e.Routine, Encrypted: a.session.Target.TLS != nil}
	// The text is evidence, scrubbed; it stays out of the error.
	return probe.Fail(said.Verdict(), fmt.Errorf("server error %s", e.Code))
}
