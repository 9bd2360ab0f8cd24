package oracle_test

import (
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"dialtone/internal/probe"
	"dialtone/internal/probe/oracle"
	"dialtone/internal/probe/oracle/oracletest"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/secret"
)

func TestListenerErrors(t *testing.T) {
	t.Parallel()
	const protocol = probe.PhaseProtocol
	for code, want := range map[int]struct {
		code  probe.Code
		phase probe.Phase
	}{
		12504: {probe.CodeDatabaseUnknown, protocol},
		12505: {probe.CodeDatabaseUnknown, protocol},
		12514: {probe.CodeDatabaseUnknown, protocol},
		12521: {probe.CodeDatabaseUnknown, protocol},
		12516: {probe.CodeTooManyConnections, protocol},
		12518: {probe.CodeTooManyConnections, protocol},
		12519: {probe.CodeTooManyConnections, protocol},
		12520: {probe.CodeTooManyConnections, protocol},
		12526: {probe.CodeServerNotReady, protocol},
		12527: {probe.CodeServerNotReady, protocol},
		12528: {probe.CodeServerNotReady, protocol},
		12541: {probe.CodeConnectionRefused, probe.PhaseConnect},
		12547: {probe.CodeHostNotAllowed, protocol},
		12618: {probe.CodeVersionUnsupported, protocol},
		12660: {probe.CodeAuthMechanism, protocol},
		12564: {probe.CodeServerError, protocol},
	} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			t.Parallel()
			s := serve(t, oracletest.Server{Refuse: code})
			r := probeIt(t, target(s.Server))
			if r.Code != want.code || r.Phase != want.phase || r.LoginSent || r.Retryable() != want.code.Verdict().Retry {
				t.Errorf("Run() = %s in %q, sent %v, retryable %v; want %s in %q", r.Code, r.Phase, r.LoginSent, r.Retryable(), want.code, want.phase)
			}
			if wantServer := fmt.Sprintf("ORA-%d", code); r.Evidence.ServerCode != wantServer || r.Evidence.Facts["listener_version"] != "19.3.0.0.0" {
				t.Errorf("server code %s, facts %v; want %s and the version", r.Evidence.ServerCode, r.Evidence.Facts, wantServer)
			}
			if got := r.Evidence.Facts["native_encryption"] == "required"; got != (code == 12660) {
				t.Errorf("native encryption required: %v", got)
			}
		})
	}
}

func TestServerErrors(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]probe.Code{
		1017:  probe.CodeAuthFailed,
		1005:  probe.CodeAuthFailed,
		28000: probe.CodeAccountLocked,
		28001: probe.CodePasswordExpired,
		28040: probe.CodeAuthMechanism,
		1045:  probe.CodePermissionDenied,
		28009: probe.CodePermissionDenied,
		18:    probe.CodeTooManyConnections,
		2391:  probe.CodeTooManyConnections,
		1033:  probe.CodeServerNotReady,
		1034:  probe.CodeServerNotReady,
		1035:  probe.CodeServerNotReady,
		3134:  probe.CodeVersionUnsupported,
		600:   probe.CodeServerError,
	} {
		phase := probe.PhaseLogin
		if want == probe.CodePermissionDenied {
			phase = probe.PhaseSession
		}
		for name, server := range map[string]oracletest.Server{
			"late":        {Error: code},
			"late, plain": {Error: code, PlainErrors: true},
			"late, 11.2":  {Error: code, Release: oracletest.Release11, Verifier: oracletest.Verifier11g},
			"late, 23ai":  {Error: code, Release: oracletest.Release23},
			"early":       {EarlyError: code},
		} {
			t.Run(fmt.Sprint(code, " ", name), func(t *testing.T) {
				t.Parallel()
				s := serve(t, server)
				r := probeIt(t, target(s.Server))
				late := server.Error != 0
				if r.Code != want || r.Phase != phase || r.LoginSent != late || s.Logins() != map[bool]int{true: 1}[late] {
					t.Errorf("Run() = %s in %q, sent %v, %d logins; want %s in %q, %v", r.Code, r.Phase, r.LoginSent, s.Logins(), want, phase, late)
				}
				if wantServer := fmt.Sprintf("ORA-%05d", code); r.Evidence.ServerCode != wantServer {
					t.Errorf("server code %s, want %s", r.Evidence.ServerCode, wantServer)
				}
				if v := s.done(t)[0]; !v.Goodbye {
					t.Errorf("the visit was %+v", v)
				}
			})
		}
	}
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]oracletest.Server{
		"12c": {}, "11g": {Verifier: oracletest.Verifier11g},
		"11.2": {Release: oracletest.Release11, Verifier: oracletest.Verifier11g},
		"23ai": {Release: oracletest.Release23}, "plain": {PlainErrors: true}, "small packets": {SDU: 512},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, server)
			goal := target(s.Server)
			goal.Password = secret.New("not the password")
			if r := probeIt(t, goal); r.Code != probe.CodeAuthFailed || r.Evidence.ServerCode != "ORA-01017" || s.Logins() != 1 {
				t.Errorf("Run() = %s, server code %s, %d logins; want %s, ORA-01017, 1", r.Code, r.Evidence.ServerCode, s.Logins(), probe.CodeAuthFailed)
			} else if want := "invalid username/password; logon denied"; r.Evidence.ServerText != want {
				t.Errorf("the server's text is %q, want %q", r.Evidence.ServerText, want)
			}
		})
	}
}

// A password about to expire still works, and is told.
func TestWarning(t *testing.T) {
	t.Parallel()
	s := serve(t, oracletest.Server{Warning: 28002})
	if r := probeIt(t, target(s.Server)); !r.OK() || r.Evidence.Facts["server_warning"] != "ORA-28002" {
		t.Errorf("Run() = %s, facts %v", r.Code, r.Evidence.Facts)
	}
}

func TestNativeEncryption(t *testing.T) {
	t.Parallel()
	s := serve(t, oracletest.Server{NativeEncryption: true})
	r := probeIt(t, target(s.Server))
	if r.Code != probe.CodeAuthMechanism || r.Phase != probe.PhaseProtocol || r.Evidence.Facts["native_encryption"] != "required" || r.LoginSent {
		t.Errorf("Run() = %s in %q, facts %v", r.Code, r.Phase, r.Evidence.Facts)
	}
}

// Some servers do not say what they miss.
func TestHangsUpAfterAccept(t *testing.T) {
	t.Parallel()
	s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = conn.Write(accept)
		_, _ = conn.Read(make([]byte, 4096))
	})
	r := probeIt(t, target(s))
	if r.Code != probe.CodeConnectionLost || r.Phase != probe.PhaseProtocol || r.Evidence.Facts["native_encryption"] != "may_be_required" {
		t.Errorf("Run() = %s in %q, facts %v", r.Code, r.Phase, r.Evidence.Facts)
	}
}

// A name that the listener does not know as a service is asked for as a SID.
func TestNames(t *testing.T) {
	t.Parallel()
	const sid, service = oracletest.DefaultSID, oracletest.DefaultService
	for _, tc := range []struct {
		name, database string
		server         oracletest.Server
		code           probe.Code
		phase          probe.Phase
		connections    int
	}{
		{"service", service, oracletest.Server{}, probe.CodeOK, "", 1},
		{"service, in capitals", "DT_LOGIN", oracletest.Server{}, probe.CodeOK, "", 1},
		{"SID", sid, oracletest.Server{}, probe.CodeSIDNotService, probe.PhaseProtocol, 2},
		{"SID, in small letters", "dtsid", oracletest.Server{}, probe.CodeSIDNotService, probe.PhaseProtocol, 2},
		{"SID of a full instance", sid, oracletest.Server{RefuseSID: 12520}, probe.CodeSIDNotService, probe.PhaseProtocol, 2},
		{"neither", "nowhere", oracletest.Server{}, probe.CodeDatabaseUnknown, probe.PhaseProtocol, 2},
		{"none", "", oracletest.Server{}, probe.CodeDatabaseUnknown, probe.PhaseProtocol, 1},
		{"parenthesis", "a)(SID=b", oracletest.Server{}, probe.CodeDatabaseUnknown, probe.PhaseInput, 0},
		{"quote", `"x"`, oracletest.Server{}, probe.CodeDatabaseUnknown, probe.PhaseInput, 0},
		{"line end", "x\n", oracletest.Server{}, probe.CodeDatabaseUnknown, probe.PhaseInput, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, tc.server)
			goal := target(s.Server)
			goal.Database = tc.database
			r := probeIt(t, goal)
			wantLogins := 0
			if tc.code == probe.CodeOK {
				wantLogins = 1
			}
			if r.Code != tc.code || r.Phase != tc.phase || s.Accepted() != tc.connections || s.Logins() != wantLogins {
				t.Errorf("Run() = %s in %q on %d connections, %d logins; want %s in %q on %d, %d",
					r.Code, r.Phase, s.Accepted(), s.Logins(), tc.code, tc.phase, tc.connections, wantLogins)
			}
			for _, v := range s.done(t) {
				if len(v.Client) > 0 && tc.code != probe.CodeOK {
					t.Errorf("the visit was %+v", v)
				}
			}
		})
	}
}

// A listener that does not answer the second question is not waited for.
func TestSilentWhenAskedAgain(t *testing.T) {
	t.Parallel()
	s := serve(t, oracletest.Server{RefuseSID: -1})
	goal := target(s.Server)
	goal.Database = oracletest.DefaultSID
	r, err := probetest.Runner(t, oracle.New(oracle.Config{}), 30*time.Second).Run(t.Context(), goal)
	if err != nil || r.Code != probe.CodeDatabaseUnknown || r.DurationMS > 10_000 {
		t.Errorf("Run() = %s, %v after %.0f ms; want %s", r.Code, err, r.DurationMS, probe.CodeDatabaseUnknown)
	}
}
