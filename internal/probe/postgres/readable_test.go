package postgres_test

import (
	"crypto/x509"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"dialtone/internal/probe"
	"dialtone/internal/probe/postgres"
	"dialtone/internal/probe/probetest"
)

// public is an authority among the system's roots.
var public *probetest.Authority

func TestMain(m *testing.M) { probetest.TrustedBySystem(m, &public) }

// A password in clear text goes to a server that has proven to be the one
// meant: by its name, or by a certificate of the caller's own authority. One
// that the system trusts, for any name whatever, proves nothing.
func TestClearTextByProof(t *testing.T) {
	t.Parallel()
	elsewhere := func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"elsewhere.example"} }
	own := probetest.NewAuthority(t)
	for _, tc := range []struct {
		name      string
		authority *probetest.Authority
		change    func(*x509.Certificate)
		tls       probe.TLS
		code      probe.Code
		proofs    int
	}{
		{"system's roots, another name", public, elsewhere, probe.TLS{Verify: probe.VerifyCA}, probe.CodeInsecureLogin, 0},
		{"system's roots, by default", public, elsewhere, probe.TLS{}, probe.CodeInsecureLogin, 0},
		{"system's roots, name not asked for", public, nil, probe.TLS{Verify: probe.VerifyCA}, probe.CodeInsecureLogin, 0},
		{"system's roots and the name", public, nil, probe.TLS{Verify: probe.VerifyFull}, probe.CodeOK, 1},
		{"system's roots, the wrong name", public, elsewhere, probe.TLS{Verify: probe.VerifyFull}, probe.CodeTLSNameMismatch, 0},
		{"own authority, another name", own, elsewhere, probe.TLS{Verify: probe.VerifyCA, Certificate: own.PEM()}, probe.CodeOK, 1},
		{"own authority, by default", own, nil, probe.TLS{Certificate: own.PEM()}, probe.CodeOK, 1},
		{"own authority, not asked", own, nil, probe.TLS{Verify: probe.VerifyNone, Certificate: own.PEM()}, probe.CodeInsecureLogin, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			config := tc.authority.Server(t, tc.change)
			s := probetest.Serve(t, func(s *probetest.Server, conn net.Conn) {
				f := newFake(conn)
				if _, ok := f.startup(config); !ok {
					return
				}
				f.send(&pgproto3.AuthenticationCleartextPassword{})
				_ = f.back.SetAuthType(pgproto3.AuthTypeCleartextPassword)
				message, _ := f.back.Receive()
				if _, sent := message.(*pgproto3.PasswordMessage); !sent {
					return // a goodbye
				}
				s.Login()
				f.send(&pgproto3.AuthenticationOk{}, ready())
				f.statements()
			})
			goal := target(s)
			goal.TLS = &tc.tls
			r := probeIt(t, postgres.New(postgres.Config{}), goal)
			s.Wait(t)
			if r.Code != tc.code || s.Logins() != tc.proofs || r.LoginSent != (tc.proofs > 0) {
				t.Errorf("Run() = %s in %q, sent %v, %d passwords; want %s and %d", r.Code, r.Phase, r.LoginSent, s.Logins(), tc.code, tc.proofs)
			}
		})
	}
}
