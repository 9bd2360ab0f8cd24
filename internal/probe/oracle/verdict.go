package oracle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"dialtone/internal/probe"
)

// errNoService is the listener's word for a service that it does not know.
const errNoService = 12514

// refused makes the verdict of a listener that does not let us through.
func (a *attempt) refused(ctx context.Context, r *refusal) error {
	s := a.session
	s.ServerError(oraCode(r.code), r.text)
	if digits, ok := value(r.text, "VSNNUM"); ok {
		const most = 1<<32 - 1
		if n, ok := number(digits, most); ok && n > 0 {
			s.Fact("listener_version", versionText(n))
		}
	}
	verdict := listenerVerdict(r.code)
	switch {
	case r.code == errNoService && a.isSID(ctx):
		verdict = &probe.Error{Code: probe.CodeSIDNotService}
	case verdict.Code == probe.CodeAuthMechanism:
		return a.encryptionRequired(r)
	}
	verdict.Err = r
	return verdict
}

// isSID asks the listener whether it knows the name as a SID. No login is made
// there; a server process that the listener starts sees its client go.
func (a *attempt) isSID(ctx context.Context) bool {
	const patience = 3 * time.Second
	a.limit = time.Now().Add(patience)
	ctx, cancel := context.WithDeadline(ctx, a.limit)
	defer cancel()
	w, err := a.connect(ctx, a.descriptor("SID"))
	if err == nil {
		w.goodbye()
		return true
	}
	// Known, but not to be had just now.
	refused, ok := errors.AsType[*refusal](err)
	if !ok {
		return false
	}
	switch listenerVerdict(refused.code).Code {
	case probe.CodeTooManyConnections, probe.CodeServerNotReady:
		return true
	default:
		return false
	}
}

// listenerVerdict is the verdict of a listener's error.
func listenerVerdict(code int) *probe.Error {
	switch code {
	case errNoService, 12504, 12505, 12521:
		// The listener says so before any login.
		return &probe.Error{Code: probe.CodeDatabaseUnknown, Phase: probe.PhaseProtocol}
	case 12516, 12518, 12519, 12520:
		return &probe.Error{Code: probe.CodeTooManyConnections}
	case 12526, 12527, 12528:
		return &probe.Error{Code: probe.CodeServerNotReady}
	case 12541:
		// A gateway found no listener behind it.
		return &probe.Error{Code: probe.CodeConnectionRefused}
	case 12537, 12546, 12547:
		return &probe.Error{Code: probe.CodeHostNotAllowed}
	case 12592, 12618:
		return &probe.Error{Code: probe.CodeVersionUnsupported}
	case 12650, 12660:
		return &probe.Error{Code: probe.CodeAuthMechanism}
	default:
		return &probe.Error{Code: probe.CodeServerError, Phase: probe.PhaseProtocol}
	}
}

// encryptionRequired is the verdict on a server that lets nobody in without
// Oracle's own encryption.
func (a *attempt) encryptionRequired(cause error) error {
	a.session.Fact("native_encryption", "required")
	return &probe.Error{Code: probe.CodeAuthMechanism, Phase: probe.PhaseProtocol, Err: cause}
}

// failed makes a verdict of an error that the instance answered with; others
// are left to the Runner.
func (a *attempt) failed(err error) error {
	e, ok := errors.AsType[*serverError](err)
	if !ok {
		return err
	}
	code := oraCode(e.code)
	a.session.ServerError(code, strings.TrimPrefix(strings.TrimSpace(e.text), code+": "))
	// The text is evidence, scrubbed; it stays out of the error.
	return probe.Fail(serverVerdict(e.code), fmt.Errorf("server error %d", e.code))
}

// serverVerdict is the verdict of an error of the instance.
func serverVerdict(code int) probe.Code {
	switch code {
	case 1004, 1005, 1017:
		return probe.CodeAuthFailed
	case 28000:
		return probe.CodeAccountLocked
	case 28001:
		return probe.CodePasswordExpired
	case 28040, 28041:
		// No verifier that both sides know; the exchange went wrong.
		return probe.CodeAuthMechanism
	case 1031, 1045, 28009:
		return probe.CodePermissionDenied
	case 18, 20, 2391:
		return probe.CodeTooManyConnections
	case 1033, 1034, 1035, 1089, 1090, 1109, 27101:
		return probe.CodeServerNotReady
	case 3134:
		return probe.CodeVersionUnsupported
	default:
		return probe.CodeServerError
	}
}
