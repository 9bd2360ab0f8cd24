package kafka_test

import (
	"crypto/x509"
	"net"
	"testing"

	"dialtone/internal/probe"
	"dialtone/internal/probe/kafka"
	"dialtone/internal/probe/probetest"
)

// public is an authority among the system's roots.
var public *probetest.Authority

func TestMain(m *testing.M) { probetest.TrustedBySystem(m, &public) }

// PLAIN shows the password to the server. It goes to one that has proven to be
// the one meant: by its name, or by a certificate of the caller's own
// authority. One that the system trusts, for any name whatever, proves nothing.
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
		{"system's roots, name not asked for", public, nil, probe.TLS{Verify: probe.VerifyCA}, probe.CodeInsecureLogin},
		{"system's roots and the name", public, nil, probe.TLS{Verify: probe.VerifyFull}, probe.CodeOK},
		{"system's roots, the wrong name", public, elsewhere, probe.TLS{Verify: probe.VerifyFull}, probe.CodeTLSNameMismatch},
		{"own authority, another name", own, elsewhere, probe.TLS{Verify: probe.VerifyCA, Certificate: own.PEM()}, probe.CodeOK},
		{"own authority, not asked", own, nil, probe.TLS{Verify: probe.VerifyNone, Certificate: own.PEM()}, probe.CodeInsecureLogin},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			config := tc.authority.Server(t, tc.change)
			server := probetest.Serve(t, func(s *probetest.Server, conn net.Conn) { accept(s, conn, config) })
			target := fakeTarget(server, "PLAIN")
			target.Kafka.Protocol, target.TLS = "SASL_SSL", &tc.tls
			logins, phase := 0, tc.code.Verdict().Phase
			if tc.code == probe.CodeOK {
				logins = 1
			}
			run(t, kafka.Config{}, target, tc.code, phase, logins)
			server.Wait(t)
			if n := server.Logins(); n != logins {
				t.Errorf("%d passwords arrived, want %d", n, logins)
			}
		})
	}
}
