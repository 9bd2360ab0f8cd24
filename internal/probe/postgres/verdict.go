package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"dialtone/internal/probe"
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
	// The text is evidence, scrubbed; it stays out of the error.
	return probe.Fail(a.serverCode(e), fmt.Errorf("server error %s", e.Code))
}

// serverCode is the verdict of an SQLSTATE. The texts of 28000 are translated
// where the server speaks another language, so the routine in the server's
// source is asked as well.
func (a *attempt) serverCode(e *pgconn.PgError) probe.Code {
	switch e.Code {
	case "28P01":
		return probe.CodeAuthFailed
	case "28000":
		return a.notAuthorized(e)
	case "3D000":
		return probe.CodeDatabaseUnknown
	case "55000":
		return probe.CodeDatabaseUnavailable
	case "42501":
		return probe.CodePermissionDenied
	case "53300":
		return probe.CodeTooManyConnections
	case "57P01", "57P02", "57P03":
		return probe.CodeServerNotReady
	case "08P01", "0A000":
		return poolerCode(e.Message)
	default:
		return probe.CodeServerError
	}
}

func (a *attempt) notAuthorized(e *pgconn.PgError) probe.Code {
	text := e.Message
	switch {
	case strings.Contains(text, "client certificate"):
		return probe.CodeTLSClientCertRejected
	case strings.Contains(text, "pg_hba.conf"), e.Routine == "ClientAuthentication":
		if a.session.Target.TLS == nil {
			return probe.CodeHostNotAllowedOrTLS
		}
		return probe.CodeHostNotAllowed
	case strings.Contains(text, "not permitted to log in"):
		return probe.CodeAccountLocked
	default:
		return probe.CodeAuthFailed
	}
}

// poolerCode is the verdict of a protocol violation. PgBouncer says nearly
// everything under that code.
func poolerCode(text string) probe.Code {
	switch {
	case strings.Contains(text, "no such database"):
		return probe.CodeDatabaseUnknown
	case strings.Contains(text, "no such user"), strings.Contains(text, "auth failed"), strings.Contains(text, "password authentication failed"):
		return probe.CodeAuthFailed
	case strings.Contains(text, "SSL required"), strings.Contains(text, "TLS required"):
		return probe.CodeTLSRequired
	case strings.Contains(text, "no more connections allowed"):
		return probe.CodeTooManyConnections
	default:
		return probe.CodeVersionUnsupported
	}
}
