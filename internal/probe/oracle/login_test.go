package oracle_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/probe"
	"dialtone/internal/probe/oracle"
	"dialtone/internal/probe/oracle/oracletest"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/secret"
)

// visits collects what was done at one server.
type visits struct {
	*probetest.Server
	mu  sync.Mutex
	all []oracletest.Visit
}

// serve starts a server that knows the suite's user.
func serve(t *testing.T, s oracletest.Server) *visits {
	t.Helper()
	s.User, s.Password = probetest.User, probetest.Password
	v := &visits{}
	v.Server = probetest.Serve(t, func(srv *probetest.Server, conn net.Conn) {
		mine := s
		mine.OnLogin = srv.Login
		visit := mine.Serve(context.WithoutCancel(t.Context()), conn)
		v.mu.Lock()
		defer v.mu.Unlock()
		v.all = append(v.all, visit)
	})
	return v
}

// done waits until the clients have gone, and gives what they did.
func (v *visits) done(t *testing.T) []oracletest.Visit {
	t.Helper()
	v.Wait(t)
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.all
}

// target is the suite's user at a server.
func target(s *probetest.Server) probe.Target {
	return probe.Target{
		Engine: probe.Oracle, Network: "eip", User: probetest.User, Password: secret.New(probetest.Password),
		Database:  oracletest.DefaultService,
		Addresses: []probe.Address{{Host: s.Addr.Addr().String(), Port: s.Addr.Port()}},
	}
}

// probeIt tests a target, and holds the report against what all obey.
func probeIt(t *testing.T, goal probe.Target) probe.Report {
	t.Helper()
	r, err := probetest.Runner(t, oracle.New(oracle.Config{}), 5*time.Second).Run(t.Context(), goal)
	if err != nil {
		t.Fatal(err)
	}
	probetest.WellFormed(t, r)
	probetest.NoSecrets(t, goal, r)
	return r
}

func TestLogsIn(t *testing.T) {
	t.Parallel()
	const g11, c12 = oracletest.Verifier11g, oracletest.Verifier12c
	for _, tc := range []struct {
		name      string
		server    oracletest.Server
		version   string
		mechanism string
	}{
		{"10.2", oracletest.Server{Release: oracletest.Release10, Verifier: g11}, "10.2.0.5.0", "O5LOGON 11G"},
		{"11.2", oracletest.Server{Release: oracletest.Release11, Verifier: g11}, "11.2.0.4.0", "O5LOGON 11G"},
		{"12.1", oracletest.Server{Release: oracletest.Release12, Verifier: c12}, "12.1.0.2.0", "O5LOGON 12C"},
		{"12.1, 11g verifier", oracletest.Server{Release: oracletest.Release12, Verifier: g11}, "12.1.0.2.0", "O5LOGON 11G"},
		{"19c", oracletest.Server{}, "19.3.0.0.0", "O5LOGON 12C"},
		{"19c, 11g verifier", oracletest.Server{Verifier: g11}, "19.3.0.0.0", "O5LOGON 11G"},
		{"19c, many rounds", oracletest.Server{Rounds: 100_000}, "19.3.0.0.0", "O5LOGON 12C"},
		{"19c, asks again", oracletest.Server{Resend: 2}, "19.3.0.0.0", "O5LOGON 12C"},
		{"19c, small packets", oracletest.Server{SDU: 512}, "19.3.0.0.0", "O5LOGON 12C"},
		{"19c, long service name", oracletest.Server{Service: strings.Repeat("long.", 20) + "name"}, "19.3.0.0.0", "O5LOGON 12C"},
		{"23ai", oracletest.Server{Release: oracletest.Release23}, "23.4.0.0.0", "O5LOGON 12C"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, tc.server)
			goal := target(s.Server)
			if tc.server.Service != "" {
				goal.Database = tc.server.Service
			}
			r := probeIt(t, goal)
			if r.Code != probe.CodeOK || r.Evidence.Version != tc.version || r.Evidence.Mechanism != tc.mechanism {
				t.Errorf("Run() = %s in %q, version %s, mechanism %s; want ok, %s, %s",
					r.Code, r.Phase, r.Evidence.Version, r.Evidence.Mechanism, tc.version, tc.mechanism)
			}
			all := s.done(t)
			if len(all) != 1 {
				t.Fatalf("%d connections, want 1", len(all))
			}
			if v := all[0]; !v.LoggedIn || v.Passwords != 1 || v.Pings != 1 || !v.LoggedOff || !v.Goodbye || v.Err != nil {
				t.Errorf("the visit was %+v", v)
			}
		})
	}
}

// Long values go in chunks, whose lengths are written in two ways.
func TestLongValues(t *testing.T) {
	t.Parallel()
	for name, server := range map[string]oracletest.Server{
		"19c": {}, "11.2": {Release: oracletest.Release11, Verifier: oracletest.Verifier11g},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server.User, server.Password = probetest.User, strings.Repeat("long password ", 40)
			server.Service = strings.Repeat("long.", 60) + "name"
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
				_ = server.Serve(context.WithoutCancel(t.Context()), conn)
			})
			goal := target(s)
			goal.Password, goal.Database = secret.New(server.Password), server.Service
			if r := probeIt(t, goal); !r.OK() {
				t.Errorf("Run() = %s in %q", r.Code, r.Phase)
			}
		})
	}
}

// Nothing of the machine is told to the server.
func TestClientName(t *testing.T) {
	t.Parallel()
	s := serve(t, oracletest.Server{})
	goal := target(s.Server)
	r, err := probetest.Runner(t, oracle.New(oracle.Config{ProgramName: "dial(tone)=" + strings.Repeat("1", 50)}), 5*time.Second).Run(t.Context(), goal)
	if err != nil || !r.OK() {
		t.Fatalf("Run() = %s, %v", r.Code, err)
	}
	v := s.done(t)[0]
	program := "dial_tone__" + strings.Repeat("1", 37)
	want := map[string]string{
		"AUTH_TERMINAL": "unknown", "AUTH_PROGRAM_NM": program, "AUTH_MACHINE": "dialtone", "AUTH_PID": "1", "AUTH_SID": "dialtone",
		"SESSION_CLIENT_CHARSET": "873", "SESSION_CLIENT_DRIVER_NAME": "dialtone", "SESSION_CLIENT_VERSION": "1",
		"AUTH_ALTER_SESSION": "ALTER SESSION SET TIME_ZONE='+00:00'\x00",
	}
	if diff := cmp.Diff(want, v.Client); diff != "" {
		t.Errorf("what the client says (-want +got):\n%s", diff)
	}
	connect := fmt.Sprintf("(DESCRIPTION=(ADDRESS=(PROTOCOL=tcp)(HOST=%s)(PORT=%d))(CONNECT_DATA=(SERVICE_NAME=%s)"+
		"(CID=(PROGRAM=%s)(HOST=dialtone)(USER=dialtone))))", s.Addr.Addr(), s.Addr.Port(), oracletest.DefaultService, program)
	if v.ConnectData != connect {
		t.Errorf("CONNECT says %s, want %s", v.ConnectData, connect)
	}
}

// The mark of the login comes after the user name and before the password.
func TestMark(t *testing.T) {
	t.Parallel()
	errNo := errors.New("no")
	s := serve(t, oracletest.Server{})
	goal := target(s.Server)
	goal.BeforeLogin = func(context.Context) error { return errNo }
	r, err := probetest.Runner(t, oracle.New(oracle.Config{}), 5*time.Second).Run(t.Context(), goal)
	v := s.done(t)[0]
	if !errors.Is(err, errNo) || r.LoginSent || v.Passwords != 0 || v.Client["AUTH_PROGRAM_NM"] == "" || !v.Goodbye {
		t.Errorf("Run() error = %v, sent %v, the visit was %+v", err, r.LoginSent, v)
	}
}

// Up to the login only: not even the user name is told.
func TestWithoutLogin(t *testing.T) {
	t.Parallel()
	first, second := serve(t, oracletest.Server{}), serve(t, oracletest.Server{})
	goal := target(first.Server)
	goal.Addresses = append(goal.Addresses, target(second.Server).Addresses...)
	if r := probeIt(t, goal); !r.OK() || !r.Strict {
		t.Errorf("Run() = %s, strict %v", r.Code, r.Strict)
	}
	if v := second.done(t)[0]; len(v.Client) != 0 || v.Passwords != 0 || !v.Goodbye || v.Err != nil {
		t.Errorf("the visit was %+v", v)
	}
}

// A server that asks for too much work, or for so little that guessing would be
// easy, gets neither; one that does not know the password is found out.
func TestDishonestServers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		server oracletest.Server
		want   probe.Code
		sent   bool
	}{
		{"too many rounds", oracletest.Server{Rounds: 100_000_000, Unproven: true, Unhashed: true}, probe.CodePeerAbusive, false},
		{"too few rounds", oracletest.Server{Rounds: 1}, probe.CodePeerAbusive, false},
		{"knows no password", oracletest.Server{Unproven: true}, probe.CodeProtocolMismatch, true},
		{"knows no password, 11g", oracletest.Server{Unproven: true, Verifier: oracletest.Verifier11g, Release: oracletest.Release11}, probe.CodeProtocolMismatch, true},
		{"10g verifier", oracletest.Server{Verifier: oracletest.Verifier10g}, probe.CodeAuthMechanism, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, tc.server)
			r := probeIt(t, target(s.Server))
			v := s.done(t)[0]
			if r.Code != tc.want || r.Phase != probe.PhaseLogin || r.LoginSent != tc.sent || (v.Passwords == 1) != tc.sent {
				t.Errorf("Run() = %s in %q, sent %v, %d passwords; want %s in login, %v", r.Code, r.Phase, r.LoginSent, v.Passwords, tc.want, tc.sent)
			}
		})
	}
}
