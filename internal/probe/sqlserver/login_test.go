package sqlserver_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/probe"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/probe/sqlserver"
	"dialtone/internal/probe/sqlserver/sqlservertest"
	"dialtone/internal/secret"
)

func target(s *probetest.Server, config *probe.TLS) probe.Target {
	return probe.Target{
		Engine: probe.SQLServer, Network: "eip", User: probetest.User, Password: secret.New(probetest.Password), Database: probetest.Database,
		Addresses: []probe.Address{{Host: s.Addr.Addr().String(), Port: s.Addr.Port()}}, TLS: config,
	}
}

func probeIt(t *testing.T, cfg sqlserver.Config, goal probe.Target) probe.Report {
	t.Helper()
	r, err := probetest.Runner(t, sqlserver.New(cfg), probetest.Timeout).Run(t.Context(), goal)
	if err != nil {
		t.Fatal(err)
	}
	probetest.WellFormed(t, r)
	probetest.NoSecrets(t, goal, r)
	return r
}

// passed checks that a report says of these phases that they were passed.
func passed(t *testing.T, r probe.Report, phases ...probe.Phase) {
	t.Helper()
	for _, row := range r.Phases {
		if slices.Contains(phases, row.Phase) && row.State != probe.Passed {
			t.Errorf("in a test that ended with %s the phase %s is %s", r.Code, row.Phase, row.State)
		}
	}
}

// talk is what one server has heard and how the connection ended.
type talk struct {
	mu      sync.Mutex
	logins  []sqlservertest.Login
	batches []string
	end     error
}

// serve starts a server that knows the suite's account and remembers.
func serve(t *testing.T, c sqlservertest.Config) (*probetest.Server, *talk) {
	t.Helper()
	heard := &talk{}
	keep := func(change func()) {
		heard.mu.Lock()
		defer heard.mu.Unlock()
		change()
	}
	c.User, c.Password, c.Database = probetest.User, probetest.Password, probetest.Database
	c.OnLogin = func(l sqlservertest.Login) { keep(func() { heard.logins = append(heard.logins, l) }) }
	c.OnBatch = func(b string) { keep(func() { heard.batches = append(heard.batches, b) }) }
	return probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
		err := sqlservertest.Serve(conn, c)
		keep(func() { heard.end = err })
	}), heard
}

// What a target without TLS and one with it come to, with servers of each kind.
func TestEncryption(t *testing.T) {
	t.Parallel()
	own := probetest.NewAuthority(t)
	with := own.Server(t, nil)
	none, offers, forces := sqlservertest.Config{}, sqlservertest.Config{TLS: with}, sqlservertest.Config{TLS: with, Force: true}
	verified, unverified := &probe.TLS{Certificate: own.PEM()}, &probe.TLS{Verify: probe.VerifyNone}
	for _, tc := range []struct {
		name    string
		server  sqlservertest.Config
		tls     *probe.TLS
		allow   bool
		code    probe.Code
		phase   probe.Phase
		sent    string // how far the login was encrypted, if it was sent
		offered string
	}{
		{"plain, none", none, nil, false, probe.CodeInsecureLogin, probe.PhaseLogin, "", "none"},
		{"plain, none, allowed", none, nil, true, probe.CodeOK, "", "none", "none"},
		{"plain, offered", offers, nil, false, probe.CodeInsecureLogin, probe.PhaseLogin, "", "login"},
		{"plain, offered, allowed", offers, nil, true, probe.CodeOK, "", "login", "login"},
		{"plain, forced", forces, nil, false, probe.CodeTLSRequired, probe.PhaseTLS, "", "required"},
		{"plain, forced, allowed", forces, nil, true, probe.CodeTLSRequired, probe.PhaseTLS, "", "required"},
		{"TLS, none", none, verified, true, probe.CodeTLSNotSupported, probe.PhaseTLS, "", "none"},
		{"TLS, offered", offers, verified, false, probe.CodeOK, "", "session", "session"},
		{"TLS, forced", forces, verified, false, probe.CodeOK, "", "session", "required"},
		{"unverified TLS, offered", offers, unverified, false, probe.CodeInsecureLogin, probe.PhaseLogin, "", "session"},
		{"unverified TLS, offered, allowed", offers, unverified, true, probe.CodeOK, "", "session", "session"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, heard := serve(t, tc.server)
			r := probeIt(t, sqlserver.Config{AllowRecoverable: tc.allow}, target(s, tc.tls))
			s.Wait(t)
			if r.Code != tc.code || r.Phase != tc.phase || r.LoginSent != (tc.sent != "") || r.Evidence.Facts["encryption_offered"] != tc.offered {
				t.Errorf("Run() = %s in %q, login sent %v, facts %v; want %s in %q, %q", r.Code, r.Phase, r.LoginSent, r.Evidence.Facts, tc.code, tc.phase, tc.offered)
			}
			passed(t, r, probe.PhaseConnect, probe.PhaseProtocol)
			if tc.sent == "" {
				if len(heard.logins) != 0 {
					t.Error("a login was sent")
				}
				return
			}
			if len(heard.logins) != 1 || s.Accepted() != 1 {
				t.Fatalf("%d logins on %d connections, want one on one", len(heard.logins), s.Accepted())
			}
			l := heard.logins[0]
			if l.Encrypted != (tc.sent != "none") || l.Session != (tc.sent == "session") || r.Evidence.Facts["login_encryption"] != tc.sent {
				t.Errorf("the login came encrypted %v, the session %v, and the report says %q; want %s", l.Encrypted, l.Session, r.Evidence.Facts["login_encryption"], tc.sent)
			}
		})
	}
}

// What the server is told of us, and what it says of itself. The connection
// ends as it should: after an answer, and with the end of the stream.
func TestLogin(t *testing.T) {
	t.Parallel()
	own := probetest.NewAuthority(t)
	for name, config := range map[string]*tls.Config{"plain": nil, "TLS": own.Server(t, nil)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, heard := serve(t, sqlservertest.Config{TLS: config})
			goal := target(s, nil)
			if config != nil {
				goal.TLS = &probe.TLS{Certificate: own.PEM()}
			}
			r := probeIt(t, sqlserver.Config{AllowRecoverable: config == nil, ProgramName: "dialtone-7"}, goal)
			s.Wait(t)
			want := sqlservertest.Login{
				Version: 0x74000004, PacketSize: 4096, Host: "dialtone-7", User: probetest.User, Password: probetest.Password,
				Program: "dialtone-7", Server: "127.0.0.1", Library: "dialtone-7", Database: probetest.Database, DatabaseMust: true,
				Encrypted: config != nil, Session: config != nil,
			}
			if diff := cmp.Diff([]sqlservertest.Login{want}, heard.logins); diff != "" {
				t.Errorf("logins (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"set nocount on"}, heard.batches); diff != "" {
				t.Errorf("statements (-want +got):\n%s", diff)
			}
			if heard.end != nil {
				t.Errorf("the connection ended with %v", heard.end)
			}
			if e := r.Evidence; !r.OK() || e.Product != "Microsoft SQL Server" || e.Version != sqlservertest.Version || e.Mechanism != "SQL Server authentication" {
				t.Errorf("Run() = %s, server %q %q, mechanism %q", r.Code, e.Product, e.Version, e.Mechanism)
			}
		})
	}
}

// Texts that UTF-16 or the length of a packet could spoil arrive as they are.
func TestLoginTexts(t *testing.T) {
	t.Parallel()
	own := probetest.NewAuthority(t)
	long := make([]byte, 3000) // two packets
	for i := range long {
		long[i] = 'a' + byte(i%26)
	}
	for name, password := range map[string]string{"beyond the first plane": "pä😀ß", "longer than a packet": string(long)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, heard := serve(t, sqlservertest.Config{TLS: own.Server(t, nil)})
			goal := target(s, &probe.TLS{Certificate: own.PEM()})
			goal.Password = secret.New(password)
			r := probeIt(t, sqlserver.Config{}, goal)
			s.Wait(t)
			if r.Code != probe.CodeAuthFailed || len(heard.logins) != 1 || heard.logins[0].Password != password {
				t.Errorf("Run() = %s, and %d logins arrived, not all with the password", r.Code, len(heard.logins))
			}
		})
	}
}

// No user or no password is nothing to log in with.
func TestNothingToLogInWith(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*probe.Target){
		"no user":     func(t *probe.Target) { t.User = "" },
		"no password": func(t *probe.Target) { t.Password = secret.Text{} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, heard := serve(t, sqlservertest.Config{})
			goal := target(s, nil)
			change(&goal)
			r := probeIt(t, sqlserver.Config{AllowRecoverable: true}, goal)
			s.Wait(t)
			if r.Code != probe.CodeAuthRequired || r.Phase != probe.PhaseLogin || r.LoginSent || len(heard.logins) != 0 {
				t.Errorf("Run() = %s in %q, login sent %v, arrived %d", r.Code, r.Phase, r.LoginSent, len(heard.logins))
			}
		})
	}
}

// Each number of the server's is a verdict, wherever it comes.
func TestServerErrors(t *testing.T) {
	t.Parallel()
	const login, session, protocol = probe.PhaseLogin, probe.PhaseSession, probe.PhaseProtocol
	for code, cases := range map[probe.Code]struct {
		phase   probe.Phase
		numbers []int32
	}{
		probe.CodeAuthFailed:          {login, []int32{18456}},
		probe.CodeAuthMechanism:       {login, []int32{18450, 18452}},
		probe.CodeAccountLocked:       {login, []int32{18470, 18486}},
		probe.CodePasswordExpired:     {login, []int32{18487, 18488}},
		probe.CodeDatabaseUnknown:     {session, []int32{4060}},
		probe.CodeDatabaseUnavailable: {session, []int32{4064, 921, 927, 942, 976, 983}},
		probe.CodePermissionDenied:    {session, []int32{916}},
		probe.CodeTooManyConnections:  {login, []int32{233, 17809, 10928}},
		probe.CodeServerNotReady:      {login, []int32{6005, 17142, 18401, 18461, 40197, 40613, 49918}},
		probe.CodeHostNotAllowed:      {login, []int32{40615, 40914, 47073}},
		probe.CodeTLSRequired:         {probe.PhaseTLS, []int32{17835}},
		probe.CodeServerError:         {login, []int32{17892, 50000, -7}},
	} {
		for _, number := range cases.numbers {
			refusal := sqlservertest.Error{Number: number, State: 1, Class: 14, Text: "no: " + probetest.Password}
			t.Run(string(code)+" "+strconv.Itoa(int(number)), func(t *testing.T) {
				t.Parallel()
				// As the server does it: whatever the reason, 18456 is said as well.
				s, heard := serve(t, sqlservertest.Config{Refuse: []sqlservertest.Error{refusal, sqlservertest.Failed("x")[0]}})
				if number == 50000 || number == -7 || number == 17892 {
					s, heard = serve(t, sqlservertest.Config{Refuse: []sqlservertest.Error{refusal}})
				}
				r := probeIt(t, sqlserver.Config{AllowRecoverable: true}, target(s, nil))
				s.Wait(t)
				if r.Code != code || r.Phase != cases.phase || r.Evidence.ServerCode != strconv.Itoa(int(number)) || r.Evidence.ServerText == "" {
					t.Errorf("Run() = %s in %q, server error %q %q; want %s in %q", r.Code, r.Phase, r.Evidence.ServerCode, r.Evidence.ServerText, code, cases.phase)
				}
				if cases.phase == session {
					passed(t, r, protocol, login)
				}
				if len(heard.logins) != 1 || !r.LoginSent || r.Retryable() {
					t.Errorf("%d logins, sent %v, retryable %v; want 1, true, false", len(heard.logins), r.LoginSent, r.Retryable())
				}
				if _, hint := r.Evidence.Facts["account_may_lack_user_in_database"]; hint != (number == 4060) {
					t.Errorf("facts: %v", r.Evidence.Facts)
				}
			})
		}
	}
	t.Run("in the place of PRELOGIN", func(t *testing.T) {
		t.Parallel()
		s, _ := serve(t, sqlservertest.Config{Busy: []sqlservertest.Error{{Number: 17142, Class: 14, Text: "paused"}}})
		r := probeIt(t, sqlserver.Config{}, target(s, nil))
		if r.Code != probe.CodeServerNotReady || r.Phase != protocol || !r.Retryable() {
			t.Errorf("Run() = %s in %q, retryable %v", r.Code, r.Phase, r.Retryable())
		}
	})
	t.Run("to the statement", func(t *testing.T) {
		t.Parallel()
		s, _ := serve(t, sqlservertest.Config{Statement: []sqlservertest.Error{{Number: 40613, Class: 17, Text: "gone"}}})
		r := probeIt(t, sqlserver.Config{AllowRecoverable: true}, target(s, nil))
		if r.Code != probe.CodeServerNotReady || r.Phase != session || r.Retryable() {
			t.Errorf("Run() = %s in %q, retryable %v", r.Code, r.Phase, r.Retryable())
		}
	})
	t.Run("18456 first, and then the reason", func(t *testing.T) {
		t.Parallel()
		s, _ := serve(t, sqlservertest.Config{Refuse: []sqlservertest.Error{sqlservertest.Failed("x")[0], {Number: 18486, Class: 14, Text: "locked out"}}})
		r := probeIt(t, sqlserver.Config{AllowRecoverable: true}, target(s, nil))
		if r.Code != probe.CodeAccountLocked || r.Evidence.ServerCode != "18486" {
			t.Errorf("Run() = %s, server error %s", r.Code, r.Evidence.ServerCode)
		}
	})
	t.Run("a wrong password, and something else", func(t *testing.T) {
		t.Parallel()
		s, _ := serve(t, sqlservertest.Config{Refuse: []sqlservertest.Error{sqlservertest.Failed("x")[0], {Number: 17892, Class: 14, Text: "a trigger"}}})
		r := probeIt(t, sqlserver.Config{AllowRecoverable: true}, target(s, nil))
		if r.Code != probe.CodeAuthFailed || r.Evidence.ServerCode != "18456" {
			t.Errorf("Run() = %s, server error %s", r.Code, r.Evidence.ServerCode)
		}
	})
}

// Servers that go astray once they have the login: it is sent once, and the
// verdict is in the login.
func TestAstrayAfterLogin(t *testing.T) {
	t.Parallel()
	answers := func(b []byte) func(net.Conn) {
		return func(conn net.Conn) { _, _ = conn.Write(b); _, _ = io.Copy(io.Discard, conn) }
	}
	for _, tc := range []struct {
		name string
		then func(net.Conn)
		code probe.Code
	}{
		{"hangs up", func(net.Conn) {}, probe.CodeConnectionLost},
		{"is silent", func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, probe.CodeTimeoutHandshake},
		{"neither lets in nor refuses", answers(sqlservertest.Refusal()), probe.CodeProtocolMismatch},
		{"says DONE and no more", answers(sqlservertest.Packets(4, append([]byte{0xfd}, make([]byte, 12)...))), probe.CodeProtocolMismatch},
		{"says nothing at all", answers(sqlservertest.Packets(4, nil)), probe.CodeProtocolMismatch},
		{"fails without a reason", answers(sqlservertest.Packets(4, sqlservertest.Refusal())), probe.CodeServerError},
		{"asks for PRELOGIN again", answers(sqlservertest.Opening(sqlservertest.NoEncryption)), probe.CodeProtocolMismatch},
		{"speaks TLS", answers([]byte{0x16, 3, 3, 0, 0x40, 2, 0, 0}), probe.CodeProtocolMismatch},
		{"stops in an answer", func(conn net.Conn) { _, _ = conn.Write([]byte{4, 1, 0, 50, 0, 0, 1, 0, 0xaa}) }, probe.CodeConnectionLost},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
				if sqlservertest.Await(conn, sqlservertest.NoEncryption) == nil {
					_, _ = conn.Read(make([]byte, 4096))
					tc.then(conn)
				}
			})
			goal, hook := target(s, nil), 0
			goal.BeforeLogin = func(context.Context) error { hook++; return nil }
			r := probeIt(t, sqlserver.Config{AllowRecoverable: true}, goal)
			if r.Code != tc.code || r.Phase != probe.PhaseLogin || hook != 1 || !r.LoginSent || r.Retryable() || s.Accepted() != 1 {
				t.Errorf("Run() = %s in %q, hook %d, sent %v, retryable %v, %d connections; want %s in login, 1, true, false, 1",
					r.Code, r.Phase, hook, r.LoginSent, r.Retryable(), s.Accepted(), tc.code)
			}
		})
	}
}

// The encryption of the login packet alone can fail too, though the target
// asked for none.
func TestLoginEncryptionFails(t *testing.T) {
	t.Parallel()
	old := probetest.NewAuthority(t).Server(t, nil)
	old.MinVersion = tls.VersionTLS13
	for _, tc := range []struct {
		name string
		then func(net.Conn)
		code probe.Code
	}{
		{"hangs up", func(net.Conn) {}, probe.CodeConnectionLost},
		{"is silent", func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, probe.CodeTimeoutTLS},
		{"alert", func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = conn.Write(sqlservertest.Packets(0x12, []byte{0x15, 3, 3, 0, 2, 2, 40}))
			_, _ = io.Copy(io.Discard, conn)
		}, probe.CodeTLSHandshake},
		{"no packet", func(conn net.Conn) {
			_, _ = conn.Write([]byte{0x15, 3, 3, 0, 2, 2, 40, 0})
			_, _ = io.Copy(io.Discard, conn)
		}, probe.CodeTLSHandshake},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
				if sqlservertest.Await(conn, sqlservertest.LoginOnly) == nil {
					tc.then(conn)
				}
			})
			r := probeIt(t, sqlserver.Config{AllowRecoverable: true}, target(s, nil))
			if r.Code != tc.code || r.Phase != probe.PhaseTLS && tc.code != probe.CodeConnectionLost || r.LoginSent {
				t.Errorf("Run() = %s in %q, sent %v; want %s in tls, false", r.Code, r.Phase, r.LoginSent, tc.code)
			}
		})
	}
}

// A password goes to a server that has proven to be the one meant: by its
// name, or by a certificate of the caller's own authority.
func TestPasswordByProof(t *testing.T) {
	t.Parallel()
	elsewhere := func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"elsewhere.example"} }
	own := probetest.NewAuthority(t)
	for _, tc := range []struct {
		name      string
		authority *probetest.Authority
		change    func(*x509.Certificate)
		tls       probe.TLS
		code      probe.Code
	}{
		{"system's roots, another name", public, elsewhere, probe.TLS{Verify: probe.VerifyCA}, probe.CodeInsecureLogin},
		{"system's roots, by default", public, elsewhere, probe.TLS{}, probe.CodeInsecureLogin},
		{"system's roots and the name", public, nil, probe.TLS{Verify: probe.VerifyFull}, probe.CodeOK},
		{"system's roots, the wrong name", public, elsewhere, probe.TLS{Verify: probe.VerifyFull}, probe.CodeTLSNameMismatch},
		{"own authority, another name", own, elsewhere, probe.TLS{Verify: probe.VerifyCA, Certificate: own.PEM()}, probe.CodeOK},
		{"own authority, not asked", own, nil, probe.TLS{Verify: probe.VerifyNone, Certificate: own.PEM()}, probe.CodeInsecureLogin},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, heard := serve(t, sqlservertest.Config{TLS: tc.authority.Server(t, tc.change)})
			r := probeIt(t, sqlserver.Config{}, target(s, &tc.tls))
			s.Wait(t)
			if got, want := len(heard.logins) == 1, tc.code == probe.CodeOK; r.Code != tc.code || got != want {
				t.Errorf("Run() = %s in %q, the server got the password: %v; want %s, %v", r.Code, r.Phase, got, tc.code, want)
			}
		})
	}
}

var errNo = errors.New("no")

// The login mark comes when all before the login has been done, and no byte of
// the login leaves when it is refused.
func TestMarkRefused(t *testing.T) {
	t.Parallel()
	own := probetest.NewAuthority(t)
	s, heard := serve(t, sqlservertest.Config{TLS: own.Server(t, nil)})
	goal := target(s, nil) // the login packet alone is encrypted
	goal.BeforeLogin = func(context.Context) error { return errNo }
	_, err := probetest.Runner(t, sqlserver.New(sqlserver.Config{AllowRecoverable: true}), probetest.Timeout).Run(t.Context(), goal)
	s.Wait(t)
	if !errors.Is(err, errNo) || len(heard.logins) != 0 || heard.end != nil {
		t.Errorf("Run() error = %v, %d logins, the connection ended with %v; want %v, 0, nil", err, len(heard.logins), heard.end, errNo)
	}
}
