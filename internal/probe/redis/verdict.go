package redis

import (
	"errors"
	"strings"

	"dialtone/internal/probe"
)

// errRefused stands in for the server's text, which is evidence only.
var errRefused = errors.New("the server answered with an error")

// refused makes a verdict of a reply that was not what we asked for.
func (a *attempt) refused(v value) error {
	if v.kind != errorKind {
		return probe.Fail(probe.CodeProtocolMismatch, errNotRESP)
	}
	a.noteError(v)
	return probe.Fail(errorCode(v.text), errRefused)
}

// denied is refused for the reply to AUTH.
func (a *attempt) denied(v value) error {
	a.noteError(v)
	code := errorCode(v.text)
	switch {
	case contains(v.text, "without any password", "no password is set"):
		code = probe.CodeAuthNotEnabled
	case contains(v.text, "invalid password", "invalid username-password"):
		code = probe.CodeAuthFailed // Redis before 6 has no WRONGPASS
	case contains(v.text, "wrong number of arguments"):
		code = probe.CodeAuthMechanism // nor users
	}
	return probe.Fail(code, errRefused)
}

// noteError keeps the server's own error, apart in prefix and text.
func (a *attempt) noteError(v value) {
	prefix, text, _ := strings.Cut(v.text, " ")
	a.session.ServerError(prefix, text)
}

// errorCode is the verdict of an error's text: Redis has no numbers, and its
// prefixes tell less than all.
func errorCode(text string) probe.Code {
	switch prefix, _, _ := strings.Cut(text, " "); prefix {
	case "NOAUTH":
		return probe.CodeAuthRequired
	case "WRONGPASS":
		return probe.CodeAuthFailed
	case "NOPERM":
		return probe.CodePermissionDenied
	case "DENIED": // protected mode
		return probe.CodeHostNotAllowed
	case "LOADING", "MASTERDOWN", "BUSY":
		return probe.CodeServerNotReady
	case "CLUSTERDOWN":
		return probe.CodeDatabaseUnavailable
	case "NOPROTO":
		return probe.CodeVersionUnsupported
	}
	switch {
	case contains(text, "max number of clients"):
		return probe.CodeTooManyConnections
	case text == "ERR operation not permitted": // NOAUTH before Redis 2.8
		return probe.CodeAuthRequired
	default:
		return probe.CodeServerError
	}
}

// contains looks for words that the versions spell in different ways.
func contains(text string, words ...string) bool {
	text = strings.ToLower(text)
	for _, word := range words {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}
