package mongodb

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"syscall"

	"dialtone/internal/probe"
)

// judge makes a verdict of a server's refusal; what only the socket knows is
// left to the Runner.
func (a *attempt) judge(err error) error {
	refused, ok := errors.AsType[*commandError](err)
	if !ok {
		a.wordless(err)
		return err
	}
	a.session.ServerError(strconv.Itoa(refused.code), refused.text)
	return probe.Fail(serverCode(refused), refused)
}

// wordless notes what a connection that was closed without a word may mean: so
// mongod and mongos decline what others have an error for.
func (a *attempt) wordless(err error) {
	if a.socket == nil || a.socket.heard || !hungUp(err) {
		return
	}
	encryption := probe.CodeTLSRequired
	if a.session.Target.TLS != nil {
		encryption = probe.CodeTLSNotSupported
	}
	a.session.Fact("closing_may_mean", fmt.Sprintf("%s, %s, %s", encryption, probe.CodeTooManyConnections, probe.CodeHostNotAllowed))
}

func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// serverCode is the verdict on one of the server's error codes
// (src/mongo/base/error_codes.yml).
func serverCode(e *commandError) probe.Code {
	sasl := e.command == "saslStart" || e.command == "saslContinue"
	switch e.code {
	case 18, // AuthenticationFailed
		11: // UserNotFound
		return probe.CodeAuthFailed
	case 13: // Unauthorized
		if e.command == "listDatabases" || e.command == "isMaster" {
			return probe.CodeAuthRequired // nobody has logged in
		}
		return probe.CodePermissionDenied
	case 334: // MechanismUnavailable
		return probe.CodeAuthMechanism
	case 2, 17: // BadValue, ProtocolError: how older servers decline a mechanism
		if sasl {
			return probe.CodeAuthMechanism
		}
		return probe.CodeServerError
	case 202, // NetworkInterfaceExceededTimeLimit: no connection is free behind a mongos
		462: // IngressRequestRateLimitExceeded
		return probe.CodeTooManyConnections
	case 91, 189, 11600, 11602, // ShutdownInProgress, PrimarySteppedDown, and those who were interrupted by either
		13435, 13436, // NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary
		6, 7, 89, 133, 9001: // a mongos does not reach who knows the accounts
		return probe.CodeServerNotReady
	default:
		return probe.CodeServerError
	}
}
