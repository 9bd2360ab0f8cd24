package cassandra_test

import (
	"crypto/x509"
	"net"
	"testing"

	"dialtone/internal/probe"
	"dialtone/internal/probe/cassandra"
	"dialtone/internal/probe/probetest"
)

// public is an authority among the system's roots.
var public *probetest.Authority

func TestMain(m *testing.M) { probetest.TrustedBySystem(m, &public) }

// The password goes to a server that has proven to be the one meant, and to no
// other, unless the operator allows it.
func TestPasswordByProof(t *testing.T) {
	t.Parallel()
	elsewhere := func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"elsewhere.example"} }
	own := probetest.NewAuthority(t)
	for _, tc := range []struct {
		name      string
		authority *probetest.Authority
		change    func(*x509.Certificate)
		tls       *probe.TLS
		code      probe.Code
		logins    int
	}{
		{"plain text", nil, nil, nil, probe.CodeInsecureLogin, 0},
		{"system's roots, another name", public, elsewhere, &probe.TLS{Verify: probe.VerifyCA}, probe.CodeInsecureLogin, 0},
		{"system's roots and the name", public, nil, &probe.TLS{Verify: probe.VerifyFull}, probe.CodeOK, 1},
		{"own authority, another name", own, elsewhere, &probe.TLS{Verify: probe.VerifyCA, Certificate: own.PEM()}, probe.CodeOK, 1},
		{"own authority, not asked", own, nil, &probe.TLS{Verify: probe.VerifyNone, Certificate: own.PEM()}, probe.CodeInsecureLogin, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := probetest.Serve(t, func(s *probetest.Server, conn net.Conn) {
				node := cluster()
				node.OnLogin = s.Login
				if tc.authority == nil {
					node.Serve(conn, nil)
				} else {
					node.Serve(conn, tc.authority.Server(t, tc.change))
				}
			})
			goal := target(s)
			goal.TLS = tc.tls
			r := probeIt(t, cassandra.New(cassandra.Config{}), goal)
			s.Wait(t)
			if r.Code != tc.code || s.Logins() != tc.logins || r.LoginSent != (tc.logins > 0) {
				t.Errorf("Run() = %s, %d logins, sent %v; want %s, %d", r.Code, s.Logins(), r.LoginSent, tc.code, tc.logins)
			}
		})
	}
}
