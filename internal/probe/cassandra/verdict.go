package cassandra

import (
	"strings"

	"dialtone/internal/probe"
)

// The error codes of native_protocol_v5.spec, section 9.
const (
	errProtocol        = 0x000A
	errBadCredentials  = 0x0100
	errUnavailable     = 0x1000
	errOverloaded      = 0x1001
	errIsBootstrapping = 0x1002
	errReadTimeout     = 0x1200
	errReadFailure     = 0x1300
	errUnauthorized    = 0x2100
	errInvalid         = 0x2200
)

// verdict notes the server's own words and fails with code.
func (e *serverError) verdict(s *probe.Session, code probe.Code) error {
	s.ServerError(e.number(), e.text)
	return probe.Fail(code, e)
}

// beforeLogin is the verdict on an error that comes while credentials have not
// been asked for.
func (e *serverError) beforeLogin(s *probe.Session) error {
	code := e.anywhere()
	if e.code == errProtocol {
		code = probe.CodeVersionUnsupported
	}
	return e.verdict(s, code)
}

// atLogin is the verdict on the answer to credentials. One code says whatever
// went wrong; the words, which are never translated, tell it apart.
func (e *serverError) atLogin(s *probe.Session) error {
	code := e.anywhere()
	switch {
	case e.code != errBadCredentials:
	case strings.Contains(e.text, "is not permitted to log in"):
		code = probe.CodeAccountLocked
	case strings.Contains(e.text, "Unable to perform auth"):
		// The nodes that hold the accounts are away: nobody looked at the password.
		code = probe.CodeServerNotReady
	default:
		code = probe.CodeAuthFailed
	}
	return e.verdict(s, code)
}

// inSession is the verdict on the answer to a statement.
func (e *serverError) inSession(s *probe.Session) error {
	if e.code == errUnauthorized {
		switch {
		case strings.Contains(e.text, "access to this datacenter"):
			s.Fact("denied_by", "datacenter")
		case strings.Contains(e.text, "access from this IP"):
			s.Fact("denied_by", "address")
		}
	}
	return e.verdict(s, e.anywhere())
}

// anywhere is the verdict on what means the same at every point.
func (e *serverError) anywhere() probe.Code {
	switch e.code {
	case errOverloaded:
		return probe.CodeTooManyConnections
	case errIsBootstrapping, errUnavailable, errReadTimeout, errReadFailure:
		return probe.CodeServerNotReady
	case errUnauthorized:
		return probe.CodePermissionDenied
	case 0:
		// Up to 3.11 the nodes' absence passes as an internal error.
		if strings.Contains(e.text, "Cannot achieve consistency level") {
			return probe.CodeServerNotReady
		}
	}
	return probe.CodeServerError
}
