package gaussdb

import (
	"bytes"
	"fmt"
	"strings"

	"dialtone/internal/probe"
	"dialtone/internal/probe/sqlstate"
)

// failure is an error or a notice of the server's.
type failure struct {
	Code, Message, Routine string
}

// parseError reads the fields of an ErrorResponse or a NoticeResponse: each is
// a letter and a text that ends in a NUL.
func parseError(body []byte) failure {
	var f failure
	for field := range bytes.SplitSeq(body, []byte{0}) {
		if len(field) == 0 {
			break
		}
		text := string(field[1:])
		switch field[0] {
		case 'C':
			f.Code = text
		case 'M':
			f.Message = text
		case 'R':
			f.Routine = text
		}
	}
	return f
}

// refused translates the server's own error.
func (a *attempt) refused(f failure) error {
	s := a.session
	s.ServerError(f.Code, f.Message)
	if strings.Contains(f.Message, "standby") {
		s.Fact("role", roleStandby) // "can not accept connection in standby mode."
	}
	code, looks := f.verdict(s.Target.TLS != nil)
	if a.demanded && f.Code == "28000" && f.Routine == "ClientAuthentication" {
		// Whatever the language: by then pg_hba.conf has let us pass, and of
		// the password another function speaks.
		code = probe.CodeAccountLocked
	}
	// The text is evidence, scrubbed; it stays out of the error.
	return &probe.Error{Code: code, LooksLike: looks, Err: fmt.Errorf("server error %s", f.Code)}
}

// says names the errors that GaussDB has of its own, by their fixed texts; what
// it has in common with PostgreSQL is known by its SQLSTATE alone. They are in
// postmaster.cpp, auth.cpp, hba.cpp and postgres.cpp of openGauss-server.
//
//nolint:gochecknoglobals // a constant table
var says = []struct {
	state, text string
	code        probe.Code
	looks       string
}{
	{"28000", "The account has been locked", probe.CodeAccountLocked, ""},
	{"28000", "not within the period of validity", probe.CodeAccountLocked, ""},
	// With the initial user, and where pg_hba.conf says trust.
	{"28000", "Forbid remote connection", probe.CodeHostNotAllowed, ""},
	{"28000", "host rejected", probe.CodeHostNotAllowed, ""},
	// The initial password, which must be changed first.
	{"28P02", "", probe.CodePasswordExpired, ""},
	{"57P03", "SSL connection is required", probe.CodeTLSRequired, ""},
	// The port that the members of a cluster use among themselves.
	{"57P03", "not for the gsql client", probe.CodeProtocolMismatch, "gaussdb_internal_port"},
	// A PostgreSQL from before 2018 says "...: server supports 1.0 to 3.0".
	{"0A000", "server supports", probe.CodeProtocolMismatch, "postgresql"},
}

// verdict is what an error means, and the product that it gives away if that is
// another one.
func (f failure) verdict(encrypted bool) (code probe.Code, looksLike string) {
	for _, known := range says {
		if f.Code == known.state && strings.Contains(f.Message, known.text) {
			return known.code, known.looks
		}
	}
	return sqlstate.Error{Code: f.Code, Message: f.Message, Routine: f.Routine, Encrypted: encrypted}.Verdict(), ""
}
