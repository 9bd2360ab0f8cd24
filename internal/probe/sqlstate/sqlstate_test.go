package sqlstate_test

import (
	"testing"

	"dialtone/internal/probe"
	"dialtone/internal/probe/sqlstate"
)

func TestVerdict(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		said sqlstate.Error
		want probe.Code
	}{
		{sqlstate.Error{Code: "28P01"}, probe.CodeAuthFailed},
		{sqlstate.Error{Code: "28000", Message: `role "x" does not exist`}, probe.CodeAuthFailed},
		{sqlstate.Error{Code: "28000", Message: `role "x" is not permitted to log in`}, probe.CodeAccountLocked},
		{sqlstate.Error{Code: "28000", Message: "connection requires a valid client certificate", Routine: "ClientAuthentication"}, probe.CodeTLSClientCertRejected},
		{sqlstate.Error{Code: "28000", Message: "no pg_hba.conf entry for host"}, probe.CodeHostNotAllowedOrTLS},
		{sqlstate.Error{Code: "28000", Message: "no pg_hba.conf entry for host", Encrypted: true}, probe.CodeHostNotAllowed},
		{sqlstate.Error{Code: "28000", Message: "没有条目", Routine: "ClientAuthentication", Encrypted: true}, probe.CodeHostNotAllowed},
		{sqlstate.Error{Code: "3D000"}, probe.CodeDatabaseUnknown},
		{sqlstate.Error{Code: "55000"}, probe.CodeDatabaseUnavailable},
		{sqlstate.Error{Code: "42501"}, probe.CodePermissionDenied},
		{sqlstate.Error{Code: "53300"}, probe.CodeTooManyConnections},
		{sqlstate.Error{Code: "57P01"}, probe.CodeServerNotReady},
		{sqlstate.Error{Code: "57P03"}, probe.CodeServerNotReady},
		{sqlstate.Error{Code: "08P01", Message: "no such database: x"}, probe.CodeDatabaseUnknown},
		{sqlstate.Error{Code: "08P01", Message: "no such user: x"}, probe.CodeAuthFailed},
		{sqlstate.Error{Code: "08P01", Message: "SSL required"}, probe.CodeTLSRequired},
		{sqlstate.Error{Code: "08P01", Message: "no more connections allowed (max_client_conn)"}, probe.CodeTooManyConnections},
		{sqlstate.Error{Code: "0A000", Message: "unsupported frontend protocol"}, probe.CodeVersionUnsupported},
		{sqlstate.Error{Code: "XX000"}, probe.CodeServerError},
		{sqlstate.Error{}, probe.CodeServerError},
	} {
		if got := tc.said.Verdict(); got != tc.want {
			t.Errorf("Verdict() of %+v = %s, want %s", tc.said, got, tc.want)
		}
	}
}
