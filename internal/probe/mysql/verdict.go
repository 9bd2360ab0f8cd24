package mysql

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/go-sql-driver/mysql"

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
	if refused, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return a.refused(refused)
	}
	switch {
	case errors.Is(err, mysql.ErrNoTLS):
		return probe.Fail(probe.CodeTLSNotSupported, err)
	case errors.Is(err, mysql.ErrCleartextPassword):
		a.session.Mechanism("mysql_clear_password")
		return probe.Fail(probe.CodeInsecureLogin, err)
	case errors.Is(err, mysql.ErrUnknownPlugin), errors.Is(err, mysql.ErrOldPassword), errors.Is(err, mysql.ErrNativePassword):
		return probe.Fail(probe.CodeAuthMechanism, err)
	case errors.Is(err, mysql.ErrOldProtocol):
		return probe.Fail(probe.CodeVersionUnsupported, err)
	case a.lost != nil:
		return fmt.Errorf("%w: %w", err, a.lost)
	case errors.Is(err, mysql.ErrPktSync), errors.Is(err, mysql.ErrPktSyncMul), errors.Is(err, mysql.ErrMalformPkt):
		return probe.Fail(probe.CodeProtocolMismatch, err)
	default:
		return err
	}
}

// refused translates the server's own error.
func (a *attempt) refused(e *mysql.MySQLError) error {
	s := a.session
	s.ServerError(strconv.Itoa(int(e.Number)), e.Message)
	code := serverCode(e.Number)
	if code == probe.CodeAuthFailed && s.Target.TLS == nil && a.greet != nil && a.greet.offersTLS() {
		s.Fact("account_may_require_tls", "true")
	}
	// The text is evidence, scrubbed; it stays out of the error.
	return probe.Fail(code, fmt.Errorf("server error %d", e.Number))
}

// serverCode is the verdict of an error number of MySQL or MariaDB.
func serverCode(number uint16) probe.Code {
	switch number {
	case 1045, 1698: // access denied
		return probe.CodeAuthFailed
	case 1251, 1275, 1524: // old client, old password hash, plugin not loaded
		return probe.CodeAuthMechanism
	case 3118, 3955, 4151: // locked; locked after failures; locked (MariaDB)
		return probe.CodeAccountLocked
	case 1820, 1862: // must reset the password; it has expired
		return probe.CodePasswordExpired
	case 1049:
		return probe.CodeDatabaseUnknown
	case 1044, 1142, 1227:
		return probe.CodePermissionDenied
	case 1129, 1130: // blocked after too many failures; host not allowed
		return probe.CodeHostNotAllowed
	case 3159: // require_secure_transport
		return probe.CodeTLSRequired
	case 1040, 1203, 1226: // all slots taken; the user's; the user's resources
		return probe.CodeTooManyConnections
	case 1053, 1077, 1079, 3032: // shutting down; offline mode
		return probe.CodeServerNotReady
	default:
		return probe.CodeServerError
	}
}
