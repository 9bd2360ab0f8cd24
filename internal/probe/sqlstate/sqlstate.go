// Package sqlstate makes verdicts of what PostgreSQL and its descendants say in
// an ErrorResponse. It knows no driver: each engine of that family brings the
// fields in whatever form it has read them.
package sqlstate

import (
	"strings"

	"dialtone/internal/probe"
)

// Error is a server's error as far as a verdict needs it.
type Error struct {
	// Code is the SQLSTATE.
	Code    string
	Message string
	// Routine is the function in the server's source. Texts are translated
	// where the server speaks another language, the routine is not.
	Routine string
	// Encrypted says whether the error came over TLS.
	Encrypted bool
}

// Verdict is the verdict on an error before a session, or of its first
// statement.
func (e Error) Verdict() probe.Code {
	switch e.Code {
	case "28P01":
		return probe.CodeAuthFailed
	case "28000":
		return e.notAuthorized()
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
		return e.pooler()
	default:
		return probe.CodeServerError
	}
}

func (e Error) notAuthorized() probe.Code {
	switch {
	case strings.Contains(e.Message, "client certificate"):
		return probe.CodeTLSClientCertRejected
	case strings.Contains(e.Message, "pg_hba.conf"), e.Routine == "ClientAuthentication":
		if !e.Encrypted {
			return probe.CodeHostNotAllowedOrTLS
		}
		return probe.CodeHostNotAllowed
	case strings.Contains(e.Message, "not permitted to log in"):
		return probe.CodeAccountLocked
	default:
		return probe.CodeAuthFailed
	}
}

// pooler is the verdict on a protocol violation. PgBouncer says nearly
// everything under that code.
func (e Error) pooler() probe.Code {
	switch text := e.Message; {
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
