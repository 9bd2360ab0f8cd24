package mysql_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"testing"

	"dialtone/internal/probe"
	"dialtone/internal/probe/mysql"
	"dialtone/internal/probe/probetest"
)

// public is an authority among the system's roots.
var public *probetest.Authority

// begin serves a connection up to the login, over TLS.
func begin(conn net.Conn, plugin string, config *tls.Config, heard *recorder) (net.Conn, error) {
	if _, err := conn.Write(greeting(plainCaps|capTLS, plugin)); err != nil {
		return nil, err
	}
	if err := heard.read(conn); err != nil {
		return nil, err
	}
	secured := tls.Server(conn, config)
	return secured, heard.read(secured)
}

// A password goes to a server that has proven to be the one meant: by its
// name, or by a certificate of the caller's own authority. One that the system
// trusts, for any name whatever, proves nothing.
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
		{"system's roots, name not asked for", public, nil, probe.TLS{Verify: probe.VerifyCA}, probe.CodeInsecureLogin},
		{"system's roots and the name", public, nil, probe.TLS{Verify: probe.VerifyFull}, probe.CodeOK},
		{"system's roots, the wrong name", public, elsewhere, probe.TLS{Verify: probe.VerifyFull}, probe.CodeTLSNameMismatch},
		{"own authority, another name", own, elsewhere, probe.TLS{Verify: probe.VerifyCA, Certificate: own.PEM()}, probe.CodeOK},
		{"own authority, by default", own, nil, probe.TLS{Certificate: own.PEM()}, probe.CodeOK},
		{"own authority, not asked", own, nil, probe.TLS{Verify: probe.VerifyNone, Certificate: own.PEM()}, probe.CodeInsecureLogin},
	} {
		for plugin, demand := range map[string]string{
			"caching_sha2_password": "\x01\x04",
			"mysql_clear_password":  "\xfemysql_clear_password\x00",
			"sha256_password":       "\xfesha256_password\x00" + nonce,
		} {
			t.Run(tc.name+"/"+plugin, func(t *testing.T) {
				t.Parallel()
				heard, config := &recorder{}, tc.authority.Server(t, tc.change)
				s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
					conn, err := begin(conn, plugin, config, heard)
					for i := 0; err == nil; i++ {
						switch i {
						case 0:
							_, err = conn.Write(packet(3, []byte(demand)...))
						case 1:
							_, err = conn.Write(packet(5, []byte(ok)...))
						default:
							_, err = conn.Write(packet(1, []byte(ok)...))
						}
						if err == nil {
							err = heard.read(conn)
						}
					}
				})
				r := probeIt(t, mysql.Config{}, target(s, &tc.tls))
				s.Wait(t)
				want := tc.code == probe.CodeOK
				if got := strings.Contains(heard.String(), probetest.Password); r.Code != tc.code || got != want {
					t.Errorf("Run() = %s in %q, the server got the password: %v; want %s, %v", r.Code, r.Phase, got, tc.code, want)
				}
			})
		}
	}
}
