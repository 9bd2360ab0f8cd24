package postgres_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgproto3"

	"dialtone/internal/probe"
	"dialtone/internal/probe/postgres"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/secret"
)

func target(s *probetest.Server) probe.Target {
	return probe.Target{
		Engine: probe.PostgreSQL, Network: "vpc", User: probetest.User, Database: probetest.Database,
		Password:  secret.New(probetest.Password),
		Addresses: []probe.Address{{Host: s.Addr.Addr().String(), Port: s.Addr.Port()}},
	}
}

func probeIt(t *testing.T, p probe.Prober, target probe.Target) probe.Report {
	t.Helper()
	r, err := probetest.Runner(t, p, probetest.Timeout).Run(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	probetest.WellFormed(t, r)
	probetest.NoSecrets(t, target, r)
	return r
}

// answer is what a scripted server does once it knows who has come.
type answer func(f *fake)

func say(messages ...pgproto3.BackendMessage) answer {
	return func(f *fake) { f.send(messages...) }
}

// hears reads one message of the client's.
func hears(f *fake) { _, _ = f.back.Receive() }

func TestLoginScripts(t *testing.T) {
	t.Parallel()
	let := []pgproto3.BackendMessage{&pgproto3.AuthenticationOk{}, ready()}
	for _, tc := range []struct {
		name   string
		script []answer
		code   probe.Code
		phase  probe.Phase
		hook   int
	}{
		{"starting up", []answer{say(fatal("57P03", "the database system is starting up"))}, probe.CodeServerNotReady, probe.PhaseProtocol, 0},
		{"shutting down", []answer{say(fatal("57P01", "terminating"))}, probe.CodeServerNotReady, probe.PhaseProtocol, 0},
		{"too many, before the login", []answer{say(fatal("53300", "sorry"))}, probe.CodeTooManyConnections, probe.PhaseProtocol, 0},
		{
			"no entry, in another language",
			[]answer{say(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "28000", Message: "没有条目", Routine: "ClientAuthentication"})},
			probe.CodeHostNotAllowedOrTLS, probe.PhaseProtocol, 0,
		},
		{"protocol too new", []answer{say(fatal("0A000", "unsupported frontend protocol"))}, probe.CodeVersionUnsupported, probe.PhaseProtocol, 0},
		{"a pooler without the database", []answer{say(fatal("08P01", "no such database: dt_login"))}, probe.CodeDatabaseUnknown, probe.PhaseSession, 0},
		{"a pooler without the user", []answer{say(fatal("08P01", "no such user: dialtone"))}, probe.CodeAuthFailed, probe.PhaseLogin, 0},
		{"a pooler that wants TLS", []answer{say(fatal("08P01", "SSL required"))}, probe.CodeTLSRequired, probe.PhaseTLS, 0},
		{"a pooler that is full", []answer{say(fatal("08P01", "no more connections allowed (max_client_conn)"))}, probe.CodeTooManyConnections, probe.PhaseProtocol, 0},
		{"an error of its own", []answer{say(fatal("XX000", "you said "+probetest.Password))}, probe.CodeServerError, probe.PhaseProtocol, 0},
		{"trust", []answer{say(let...), (*fake).statements}, probe.CodeOK, "", 0},
		{"clear text", []answer{say(&pgproto3.AuthenticationCleartextPassword{}), hears}, probe.CodeInsecureLogin, probe.PhaseLogin, 0},
		{"GSSAPI", []answer{say(&pgproto3.AuthenticationGSS{}), hears}, probe.CodeAuthMechanism, probe.PhaseLogin, 0},
		{"a mechanism that we have not", []answer{say(&pgproto3.AuthenticationSASL{AuthMechanisms: []string{"OAUTHBEARER"}}), hears}, probe.CodeAuthMechanism, probe.PhaseLogin, 0},
		{"openGauss", []answer{func(f *fake) { _, _ = f.conn.Write([]byte{'R', 0, 0, 0, 12, 0, 0, 0, 10, 0, 0, 0, 2}); hears(f) }}, probe.CodeProtocolMismatch, probe.PhaseProtocol, 0},
		{"key derivation without end", []answer{scram("i=200000000")}, probe.CodePeerAbusive, probe.PhaseLogin, 1},
		{"SCRAM by one who does not know the password", []answer{scram("i=4096"), hears, say(&pgproto3.AuthenticationSASLFinal{Data: []byte("v=AAAA")}), hears}, probe.CodeProtocolMismatch, probe.PhaseLogin, 1},
		{"asks for the password after SCRAM", []answer{scram("i=4096"), hears, say(&pgproto3.AuthenticationCleartextPassword{}), hears}, probe.CodeProtocolMismatch, probe.PhaseLogin, 1},
		{"hangs in the login", []answer{say(&pgproto3.AuthenticationMD5Password{}), hears, hears}, probe.CodeTimeoutHandshake, probe.PhaseLogin, 1},
		{"hangs in the session", []answer{say(let...), hears, hears}, probe.CodeTimeoutHandshake, probe.PhaseSession, 0},
		{"hangs up in the session", []answer{say(let...), hears}, probe.CodeConnectionLost, probe.PhaseSession, 0},
		{"is shut down in the session", []answer{say(let...), hears, say(fatal("57P01", "terminating"))}, probe.CodeServerNotReady, probe.PhaseSession, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
				f := newFake(conn)
				if _, ok := f.startup(nil); !ok {
					return
				}
				for _, step := range tc.script {
					step(f)
				}
			})
			goal, hook := target(s), 0
			goal.BeforeLogin = func(context.Context) error { hook++; return nil }
			r := probeIt(t, postgres.New(postgres.Config{}), goal)
			if r.Code != tc.code || r.Phase != tc.phase || hook != tc.hook || r.LoginSent != (tc.hook > 0) {
				t.Errorf("Run() = %s in %q, hook %d, sent %v; want %s in %q, %d (server: %s %s)",
					r.Code, r.Phase, hook, r.LoginSent, tc.code, tc.phase, tc.hook, r.Evidence.ServerCode, r.Evidence.ServerText)
			}
			s.Wait(t)
			if n := s.Accepted(); n != 1 {
				t.Errorf("%d connections were made, want 1: no request to cancel", n)
			}
		})
	}
}

// scram begins the exchange and names the work that it wants done.
func scram(iterations string) answer {
	return func(f *fake) {
		f.send(&pgproto3.AuthenticationSASL{AuthMechanisms: []string{"SCRAM-SHA-256"}})
		_ = f.back.SetAuthType(pgproto3.AuthTypeSASL)
		message, _ := f.back.Receive()
		first, ok := message.(*pgproto3.SASLInitialResponse)
		if !ok {
			return
		}
		_, nonce, _ := strings.Cut(string(first.Data), "r=")
		f.send(&pgproto3.AuthenticationSASLContinue{Data: []byte("r=" + nonce + "server,s=c2FsdA==," + iterations)})
		_ = f.back.SetAuthType(pgproto3.AuthTypeSASLContinue)
	}
}

// Who asked for TLS gets it or nothing: neither a refusal of it, nor an error in
// its place, nor what was said in plain text before it, brings a login about.
func TestNoWayRoundTLS(t *testing.T) {
	t.Parallel()
	authority := probetest.NewAuthority(t)
	config := authority.Server(t, nil)
	encode := func(messages ...pgproto3.BackendMessage) []byte {
		var b []byte
		for _, m := range messages {
			b, _ = m.Encode(b)
		}
		return b
	}
	let := encode(&pgproto3.AuthenticationOk{}, ready())
	plain := encode(&pgproto3.AuthenticationCleartextPassword{})
	for _, tc := range []struct {
		name      string
		answer    []byte
		handshake bool
		code      probe.Code
	}{
		{"refused, and asked for the password", append([]byte{'N'}, plain...), false, probe.CodeTLSNotSupported},
		{"refused, and let in", append([]byte{'N'}, let...), false, probe.CodeTLSNotSupported},
		{"an error in its place", encode(fatal("0A000", "unsupported frontend protocol")), false, probe.CodeProtocolMismatch},
		{"granted, and asked for the password in plain text", append([]byte{'S'}, plain...), false, probe.CodeTLSHandshake},
		{"granted, and let in before it", append([]byte{'S'}, let...), true, probe.CodeTLSHandshake},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			heard := &tape{}
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
				heard.Conn = conn
				if _, err := io.ReadFull(heard, make([]byte, 8)); err != nil { // SSLRequest
					return
				}
				_, _ = conn.Write(tc.answer)
				if tc.handshake {
					_ = tls.Server(heard, config).Handshake()
				}
				_, _ = io.Copy(io.Discard, heard)
			})
			goal := target(s)
			goal.TLS = &probe.TLS{Certificate: authority.PEM()}
			r := probeIt(t, postgres.New(postgres.Config{AllowRecoverable: true}), goal)
			s.Wait(t)
			if r.Code != tc.code || r.LoginSent || strings.Contains(heard.sent.String(), probetest.User) {
				t.Errorf("Run() = %s in %q, login sent: %v; want %s and no user name to leave", r.Code, r.Phase, r.LoginSent, tc.code)
			}
		})
	}
}

// A password in clear text is sent where the operator allows it.
func TestClearTextWhereAllowed(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
		f := newFake(conn)
		if _, ok := f.startup(nil); !ok {
			return
		}
		f.send(&pgproto3.AuthenticationCleartextPassword{})
		_ = f.back.SetAuthType(pgproto3.AuthTypeCleartextPassword)
		message, _ := f.back.Receive()
		if m, ok := message.(*pgproto3.PasswordMessage); ok {
			got <- m.Password
		}
		f.send(&pgproto3.AuthenticationOk{}, ready())
		f.statements()
	})
	r := probeIt(t, postgres.New(postgres.Config{AllowRecoverable: true}), target(s))
	if r.Code != probe.CodeOK {
		t.Fatalf("Run() = %s", r.Code)
	}
	if password := <-got; password != probetest.Password {
		t.Errorf("the server got %q", password)
	}
}

// Nothing of the surroundings reaches the server or changes the verdict.
func TestSurroundingsHaveNoSay(t *testing.T) {
	home := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(home, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	passwords := write(".pgpass", "*:*:*:*:from-the-file\n")
	service := write(".pg_service.conf", "[evil]\nhost=192.0.2.1\nuser=evil\npassword=evil\noptions=-c evil=1\n")
	hostile := map[string]string{
		"HOME": home, "PGHOST": "192.0.2.1", "PGPORT": "1", "PGDATABASE": "evil", "PGUSER": "evil", "PGPASSWORD": "evil",
		"PGPASSFILE": passwords, "PGSERVICEFILE": service, "PGAPPNAME": "evil", "PGOPTIONS": "-c evil=1", "PGTZ": "Mars",
		"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/nowhere", "PGSSLCERT": "/nowhere", "PGSSLKEY": "/nowhere", "PGSSLNEGOTIATION": "direct",
		"PGCONNECT_TIMEOUT": "1", "PGTARGETSESSIONATTRS": "standby", "PGCHANNELBINDING": "require", "PGREQUIREAUTH": "none",
		"PGMINPROTOCOLVERSION": "3.2", "PGMAXPROTOCOLVERSION": "3.2", "PGSSLCERTMODE": "require", "PGSSLSNI": "0",
	}
	for _, tc := range []struct{ name, service string }{{"variables", ""}, {"unknown service", "nowhere"}, {"known service", "evil"}} {
		t.Run(tc.name, func(t *testing.T) {
			for name, value := range hostile {
				t.Setenv(name, value)
			}
			if tc.service != "" {
				t.Setenv("PGSERVICE", tc.service)
			}
			came := make(chan map[string]string, 1)
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
				f := newFake(conn)
				who, ok := f.startup(nil)
				if !ok {
					return
				}
				came <- who
				if f.password(who["user"], func() {}) {
					f.send(&pgproto3.AuthenticationOk{}, ready())
					f.statements()
				}
			})
			r := probeIt(t, postgres.New(postgres.Config{}), target(s))
			if r.Code != probe.CodeOK {
				t.Fatalf("Run() = %s in %q", r.Code, r.Phase)
			}
			want := map[string]string{"user": probetest.User, "database": probetest.Database, "application_name": "dialtone"}
			if diff := cmp.Diff(want, <-came); diff != "" {
				t.Errorf("what the server was told (-want +got):\n%s", diff)
			}
		})
	}
}
