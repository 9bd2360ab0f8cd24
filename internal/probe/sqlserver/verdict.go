package sqlserver

import (
	"fmt"
	"strconv"

	"dialtone/internal/probe"
)

// verdictOf is the verdict of a server's error number, or empty. The numbers
// are those of sys.messages, and from 40000 on of Azure SQL.
func verdictOf(number int32) probe.Code {
	switch number {
	case 18456:
		return probe.CodeAuthFailed
	case 18450, // not a login of a trusted connection
		18452: // not associated with a trusted connection: Windows accounts only
		return probe.CodeAuthMechanism
	case 18470, // disabled
		18486: // locked out
		return probe.CodeAccountLocked
	case 18487, // expired
		18488: // must be changed
		return probe.CodePasswordExpired
	case 4060:
		return probe.CodeDatabaseUnknown
	case 4064, // the account's default database cannot be opened
		921, 922, // not yet recovered, being recovered
		923, 924, // restricted users only, one user only
		926, 927, // suspect, being restored
		942, 945, // offline, files or memory missing
		952, 954, // in transition, a mirror
		976, 978, 979, 983: // a replica that is not read, or read with another intent, or in another role
		return probe.CodeDatabaseUnavailable
	case 916:
		return probe.CodePermissionDenied
	case 233, 17809, // no connection is free
		10928, 10929: // nor in this Azure database
		return probe.CodeTooManyConnections
	case 6005, // shutting down
		17142,        // paused
		18401,        // upgrading
		18451, 18461, // administrators only, one administrator only
		40197, 40501, 40613, // being moved, busy, not available
		49918, 49919, 49920: // too busy
		return probe.CodeServerNotReady
	case 40615, 40914, // firewall rule, rule for virtual networks
		47073: // private endpoints only
		return probe.CodeHostNotAllowed
	case 17835:
		return probe.CodeTLSRequired
	default:
		return ""
	}
}

// judge makes a verdict of an answer with errors. A login that is refused for
// another reason than the password ends with 18456 as well, so the error that
// says most decides: one that is known, and 18456 last.
func (a *attempt) judge(all []serverError) error {
	chosen, code := all[0], probe.Code("")
	for _, e := range all {
		v := verdictOf(e.number)
		if v != "" && (code == "" || code == probe.CodeAuthFailed) {
			chosen, code = e, v
		}
	}
	if code == "" {
		code = probe.CodeServerError
	}
	number := strconv.Itoa(int(chosen.number))
	a.session.ServerError(number, chosen.text)
	if chosen.number == 4060 {
		// It says the same of a database in which the account has no user.
		a.session.Fact("account_may_lack_user_in_database", "true")
	}
	if code.Verdict().Phase == probe.PhaseSession {
		a.session.Enter(probe.PhaseSession) // the credentials were right
	}
	// The text is evidence, scrubbed; it stays out of the error.
	return probe.Fail(code, fmt.Errorf("server error %s", number))
}
