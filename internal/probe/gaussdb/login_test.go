package gaussdb_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgproto3"

	"dialtone/internal/probe"
	"dialtone/internal/probe/gaussdb"
	"dialtone/internal/probe/gaussdb/gaussdbtest"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/secret"
)

// public is an authority among the system's roots.
var public *probetest.Authority

func TestMain(m *testing.M) { probetest.TrustedBySystem(m, &public) }

func target(servers ...*probetest.Server) probe.Target {
	t := probe.Target{
		Engine: probe.GaussDBv5HA, Network: "vpc", User: probetest.User, Database: probetest.Database,
		Password: secret.New(probetest.Password),
	}
	for _, s := range servers {
		t.Addresses = append(t.Addresses, probe.Address{Host: s.Addr.Addr().String(), Port: s.Addr.Port()})
	}
	return t
}

// probeIt makes a test and counts how often the login mark was set.
func probeIt(t *testing.T, cfg gaussdb.Config, goal probe.Target) (r probe.Report, marks int) {
	t.Helper()
	goal.BeforeLogin = func(context.Context) error { marks++; return nil }
	r, err := probetest.Runner(t, gaussdb.New(cfg), serverTimeout).Run(t.Context(), goal)
	if err != nil {
		t.Fatal(err)
	}
	probetest.WellFormed(t, r)
	probetest.NoSecrets(t, goal, r)
	return r, marks
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	type server = gaussdbtest.Server
	fails := func(code, text string) *gaussdbtest.Failure { return &gaussdbtest.Failure{Code: code, Text: text} }
	const (
		protocol, login, session = probe.PhaseProtocol, probe.PhaseLogin, probe.PhaseSession
		mismatch                 = probe.CodeProtocolMismatch
	)
	for _, tc := range []struct {
		name   string
		change func(s *server)
		code   probe.Code
		phase  probe.Phase
		logins int
	}{
		{"sha256", func(*server) {}, probe.CodeOK, "", 1},
		{"sha256, product's iterations", func(s *server) { s.Iterations = 0 }, probe.CodeOK, "", 1},
		{"md5", func(s *server) { s.Method = gaussdbtest.MD5 }, probe.CodeOK, "", 1},
		{"sha256 over md5", func(s *server) { s.Method = gaussdbtest.SHA256MD5 }, probe.CodeOK, "", 1},
		{"trust", func(s *server) { s.Method = gaussdbtest.Trust }, probe.CodeOK, "", 0},
		{"clear text", func(s *server) { s.Method = gaussdbtest.Clear }, probe.CodeInsecureLogin, login, 0},
		{"md5 over sha256", func(s *server) { s.Method = gaussdbtest.MD5SHA256 }, probe.CodeAuthMechanism, login, 0},
		{"sm3", func(s *server) { s.Method = gaussdbtest.SM3 }, probe.CodeOK, "", 1},
		{"wrong password, sm3", func(s *server) { s.Password, s.Method = "another", gaussdbtest.SM3 }, probe.CodeAuthFailed, login, 1},
		{"iam", func(s *server) { s.Method = gaussdbtest.IAM }, probe.CodeAuthMechanism, login, 0},
		{"wrong password", func(s *server) { s.Password = "another" }, probe.CodeAuthFailed, login, 1},
		{"wrong password, md5", func(s *server) { s.Password, s.Method = "another", gaussdbtest.MD5 }, probe.CodeAuthFailed, login, 1},
		{"locked", func(s *server) { s.Locked = fails("28000", "The account has been locked.") }, probe.CodeAccountLocked, login, 1},
		{"locked, in another language", func(s *server) {
			s.Locked = &gaussdbtest.Failure{Code: "28000", Text: "账户已被锁定。", Routine: "ClientAuthentication"}
		}, probe.CodeAccountLocked, login, 1},
		{"no entry, in another language", func(s *server) {
			s.Forbidden = &gaussdbtest.Failure{Code: "28000", Text: "没有条目", Routine: "ClientAuthentication"}
		}, probe.CodeHostNotAllowedOrTLS, protocol, 0},
		{"out of its period", func(s *server) { s.Locked = fails("28000", "The account is not within the period of validity.") }, probe.CodeAccountLocked, login, 1},
		{"unknown database", func(s *server) { s.Database = "another" }, probe.CodeDatabaseUnknown, session, 1},
		{"no right on the database", func(s *server) { s.Locked = fails("42501", "permission denied for database") }, probe.CodePermissionDenied, session, 1},
		{"full", func(s *server) {
			s.Locked = fails("53300", "Too many clients already, current/active: 203/1, max_connections/reserved: 200/3.")
		}, probe.CodeTooManyConnections, login, 1},
		{"no entry", func(s *server) {
			s.Forbidden = fails("28000", `no pg_hba.conf entry for host "10.0.0.1", user "u", database "d", SSL off`)
		}, probe.CodeHostNotAllowedOrTLS, protocol, 0},
		{"initial user from afar", func(s *server) { s.Forbidden = fails("28000", "Forbid remote connection with initial user.") }, probe.CodeHostNotAllowed, protocol, 0},
		{"trust from afar", func(s *server) { s.Forbidden = fails("28000", "Forbid remote connection with trust method!") }, probe.CodeHostNotAllowed, protocol, 0},
		{"TLS required", func(s *server) { s.RequireTLS = true }, probe.CodeTLSRequired, probe.PhaseTLS, 0},
		{"starting up", func(s *server) { s.Down = fails("57P03", "the database system is starting up") }, probe.CodeServerNotReady, protocol, 0},
		{"standby that is not hot", func(s *server) { s.Down = fails("57P03", "can not accept connection in standby mode.") }, probe.CodeServerNotReady, protocol, 0},
		{"the members' own port", func(s *server) { s.Down = fails("57P03", "the local listen ip and port is not for the gsql client") }, mismatch, protocol, 0},
		{"from before 3.51", func(s *server) { s.Down = fails("0A000", "unsupported frontend protocol 3.51.") }, probe.CodeVersionUnsupported, protocol, 0},
		{"PostgreSQL from before 2018", func(s *server) {
			s.Down = fails("0A000", "unsupported frontend protocol 3.51: server supports 1.0 to 3.0")
		}, mismatch, protocol, 0},
		{"an error of its own", func(s *server) { s.Forbidden = fails("XX000", "you said "+probetest.Password) }, probe.CodeServerError, protocol, 0},
		{"initial password", func(s *server) {
			s.Broken = fails("28P02", "Please use \"ALTER ROLE ...\" to modify the initial password")
		}, probe.CodePasswordExpired, login, 1},
		{"is shut down in the session", func(s *server) { s.Broken = fails("57P01", "terminating") }, probe.CodeServerNotReady, session, 1},
		{"does not tell its role", func(s *server) { s.Broken = fails("42883", "function pg_is_in_recovery() does not exist") }, probe.CodeOK, "", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server := working()
			tc.change(&server)
			s := probetest.Serve(t, serve(server))
			r, marks := probeIt(t, gaussdb.Config{}, target(s))
			s.Wait(t)
			if r.Code != tc.code || r.Phase != tc.phase || s.Logins() != tc.logins || marks != tc.logins || r.LoginSent != (marks > 0) {
				t.Errorf("Run() = %s in %q, %d logins, mark %d times; want %s in %q, %d (server: %s %s)",
					r.Code, r.Phase, s.Logins(), marks, tc.code, tc.phase, tc.logins, r.Evidence.ServerCode, r.Evidence.ServerText)
			}
			if n := s.Accepted(); n != 1 {
				t.Errorf("%d connections were made, want 1", n)
			}
		})
	}
}

// A server that takes nobody says so even to the question for TLS.
func TestDownBeforeTLS(t *testing.T) {
	t.Parallel()
	server := working()
	server.Down = &gaussdbtest.Failure{Code: "57P03", Text: "the database system is starting up"}
	goal := target(probetest.Serve(t, serve(server)))
	goal.TLS = &probe.TLS{Verify: probe.VerifyNone}
	if r, _ := probeIt(t, gaussdb.Config{}, goal); r.Code != probe.CodeServerNotReady || r.Evidence.ServerCode != "57P03" {
		t.Errorf("Run() = %s in %q, server code %q", r.Code, r.Phase, r.Evidence.ServerCode)
	}
}

// A password in clear text goes to a server that has proven who it is, or where
// the operator allows it.
func TestClearText(t *testing.T) {
	t.Parallel()
	own := probetest.NewAuthority(t)
	for _, tc := range []struct {
		name      string
		cfg       gaussdb.Config
		authority *probetest.Authority
		tls       *probe.TLS
		code      probe.Code
	}{
		{"plain", gaussdb.Config{}, own, nil, probe.CodeInsecureLogin},
		{"plain, allowed", gaussdb.Config{AllowRecoverable: true}, own, nil, probe.CodeOK},
		{"own authority", gaussdb.Config{}, own, &probe.TLS{Certificate: own.PEM()}, probe.CodeOK},
		{"own authority, not asked", gaussdb.Config{}, own, &probe.TLS{Verify: probe.VerifyNone, Certificate: own.PEM()}, probe.CodeInsecureLogin},
		{"system's roots", gaussdb.Config{}, public, &probe.TLS{}, probe.CodeInsecureLogin},
		{"system's roots and the name", gaussdb.Config{}, public, &probe.TLS{Verify: probe.VerifyFull}, probe.CodeOK},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server := working()
			server.Method, server.TLS = gaussdbtest.Clear, tc.authority.Server(t, nil)
			s := probetest.Serve(t, serve(server))
			goal := target(s)
			goal.TLS = tc.tls
			r, marks := probeIt(t, tc.cfg, goal)
			s.Wait(t)
			want := map[bool]int{true: 1}[tc.code == probe.CodeOK]
			if r.Code != tc.code || s.Logins() != want || marks != want {
				t.Errorf("Run() = %s in %q, %d passwords, mark %d times; want %s and %d", r.Code, r.Phase, s.Logins(), marks, tc.code, want)
			}
		})
	}
}

// What the server is, and what it is to its cluster, is in the evidence.
func TestEvidence(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		change  func(*gaussdbtest.Server)
		product string
		version string
		facts   map[string]string
		warned  []probe.Code
	}{
		{"primary", func(*gaussdbtest.Server) {}, "openGauss", "5.0.0", map[string]string{"role": "primary", "iterations": "256"}, nil},
		{"standby", func(s *gaussdbtest.Server) { s.Standby = true }, "openGauss", "5.0.0", map[string]string{"role": "standby", "iterations": "256"}, []probe.Code{probe.CodeStandbyServer}},
		{"GaussDB", func(s *gaussdbtest.Server) {
			s.Version = "gaussdb (GaussDB Kernel 505.1.0 build 12345678) compiled at 2024-01-01"
		}, "GaussDB Kernel", "505.1.0", map[string]string{"role": "primary", "iterations": "256"}, nil},
		{"another text", func(s *gaussdbtest.Server) { s.Version = "something" }, "GaussDB", "9.2.4", map[string]string{"role": "primary", "iterations": "256"}, nil},
		{"nothing told", func(s *gaussdbtest.Server) { s.Broken = &gaussdbtest.Failure{Code: "42501"} }, "GaussDB", "9.2.4", map[string]string{"role": "unknown", "iterations": "256"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server := working()
			tc.change(&server)
			r, _ := probeIt(t, gaussdb.Config{}, target(probetest.Serve(t, serve(server))))
			if !r.OK() || r.Evidence.Mechanism != "sha256" || r.Evidence.Product != tc.product || r.Evidence.Version != tc.version {
				t.Errorf("Run() = %s by %q, %q %q; want %q %q", r.Code, r.Evidence.Mechanism, r.Evidence.Product, r.Evidence.Version, tc.product, tc.version)
			}
			if diff := cmp.Diff(tc.warned, r.Evidence.Warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.facts, r.Evidence.Facts); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
		})
	}
}

// The members of a cluster are all tested; the login goes to the first that
// takes it, past a standby that takes none.
func TestList(t *testing.T) {
	t.Parallel()
	cold, standby := working(), working()
	cold.Down = &gaussdbtest.Failure{Code: "57P03", Text: "can not accept connection if hot standby off"}
	standby.Standby = true
	first, second, third := probetest.Serve(t, serve(cold)), probetest.Serve(t, serve(working())), probetest.Serve(t, serve(standby))
	r, marks := probeIt(t, gaussdb.Config{}, target(first, second, third))
	if !r.OK() || r.Strict || marks != 1 || second.Logins() != 1 || third.Logins() != 0 || r.Evidence.Facts["role"] != "primary" {
		t.Errorf("Run() = %s, strict %v, %d marks, logins %d and %d, role %q; want ok, false, 1, 1 and 0, primary",
			r.Code, r.Strict, marks, second.Logins(), third.Logins(), r.Evidence.Facts["role"])
	}
	var codes []probe.Code
	for _, a := range r.Addresses {
		codes = append(codes, a.Code)
	}
	if diff := cmp.Diff([]probe.Code{probe.CodeServerNotReady, probe.CodeOK, probe.CodeOK}, codes); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}

// A name with a NUL would be a setting of the caller's choice to the server.
func TestNULReachesNobody(t *testing.T) {
	t.Parallel()
	const name = "u\x00application_name\x00cm_agent"
	for code, change := range map[probe.Code]func(*probe.Target){
		probe.CodeAuthFailed:      func(t *probe.Target) { t.User = name },
		probe.CodeDatabaseUnknown: func(t *probe.Target) { t.Database = name },
	} {
		s := probetest.Serve(t, serve(working()))
		goal := target(s)
		change(&goal)
		if r, _ := probeIt(t, gaussdb.Config{}, goal); r.Code != code || s.Accepted() != 0 {
			t.Errorf("Run() = %s after %d connections, want %s after none", r.Code, s.Accepted(), code)
		}
	}
}

// No credential leaves at any demand but the first, and nothing but the server
// itself ends the login.
func TestOutOfTurn(t *testing.T) {
	t.Parallel()
	let, ready := &pgproto3.AuthenticationOk{}, &pgproto3.ReadyForQuery{TxStatus: 'I'}
	md5, plain := &pgproto3.AuthenticationMD5Password{}, &pgproto3.AuthenticationCleartextPassword{}
	challenge := func(rest string) []byte {
		return append([]byte{'R', 0, 0, 0, byte(8 + len(rest)), 0, 0, 0, 10}, rest...)
	}
	for _, tc := range []struct {
		name  string
		first []byte
		then  []byte
		code  probe.Code
		phase probe.Phase
		marks int
		looks string
	}{
		{"md5 after the login", encoded(let, md5), nil, probe.CodeProtocolMismatch, probe.PhaseSession, 0, ""},
		{"lets in twice", encoded(let, let), nil, probe.CodeProtocolMismatch, probe.PhaseSession, 0, ""},
		{"md5 twice", encoded(md5), encoded(md5), probe.CodeProtocolMismatch, probe.PhaseLogin, 1, ""},
		{"md5, then clear text", encoded(md5), encoded(plain), probe.CodeProtocolMismatch, probe.PhaseLogin, 1, ""},
		{"ready without a login", encoded(ready), nil, probe.CodeProtocolMismatch, probe.PhaseProtocol, 0, ""},
		{"rows before the login", encoded(&pgproto3.DataRow{}), nil, probe.CodeProtocolMismatch, probe.PhaseProtocol, 0, ""},
		{"no kind of login", []byte{'R', 0, 0, 0, 6, 0, 0}, nil, probe.CodeProtocolMismatch, probe.PhaseProtocol, 0, ""},
		{"SASL", encoded(&pgproto3.AuthenticationSASL{AuthMechanisms: []string{"SCRAM-SHA-256"}}), nil, probe.CodeProtocolMismatch, probe.PhaseProtocol, 0, "postgresql"},
		{"sha256 of nothing", challenge(""), nil, probe.CodeProtocolMismatch, probe.PhaseProtocol, 0, "postgresql"},
		{"sha256 without a challenge", challenge("\x00\x00\x00\x02"), nil, probe.CodeProtocolMismatch, probe.PhaseLogin, 0, ""},
		{"sha256 over md5 without salt", challenge("\x00\x00\x00\x01"), nil, probe.CodeProtocolMismatch, probe.PhaseLogin, 0, ""},
		{"sha256, iterations without end", challenge("\x00\x00\x00\x02" + strings.Repeat("0", 72) + "\x00\x0f\x42\x41"), nil, probe.CodePeerAbusive, probe.PhaseLogin, 0, ""},
		{"another form of storage", challenge("\x00\x00\x00\x09"), nil, probe.CodeAuthMechanism, probe.PhaseLogin, 0, ""},
		{"negotiates", []byte{'v', 0, 0, 0, 12, 0, 3, 0, 0, 0, 0, 0, 0}, nil, probe.CodeProtocolMismatch, probe.PhaseProtocol, 0, "postgresql"},
		{"hangs up after the login", encoded(md5), encoded(let), probe.CodeConnectionLost, probe.PhaseSession, 1, ""},
		{"no row but half of one", encoded(let, ready, &pgproto3.DataRow{Values: [][]byte{{'t'}}}), nil, probe.CodeProtocolMismatch, probe.PhaseSession, 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
				hear(conn)
				_, _ = conn.Write(tc.first)
				hear(conn)
				_, _ = conn.Write(tc.then)
				if tc.code == probe.CodeProtocolMismatch {
					hear(conn)
				}
			})
			r, marks := probeIt(t, gaussdb.Config{AllowRecoverable: true}, target(s))
			if r.Code != tc.code || r.Phase != tc.phase || marks != tc.marks || r.Evidence.LooksLike != tc.looks {
				t.Errorf("Run() = %s in %q, mark %d times, looks like %q; want %s in %q, %d, %q",
					r.Code, r.Phase, marks, r.Evidence.LooksLike, tc.code, tc.phase, tc.marks, tc.looks)
			}
		})
	}
}
