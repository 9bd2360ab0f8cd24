package mysql_test

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"

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

// Three plugins show the password under TLS.
func TestPasswordByProof(t *testing.T) {
	t.Parallel()
	for _, tc := range probetest.Proofs(t, public) {
		for plugin, demand := range map[string]string{
			"caching_sha2_password": "\x01\x04",
			"mysql_clear_password":  "\xfemysql_clear_password\x00",
			"sha256_password":       "\xfesha256_password\x00" + nonce,
		} {
			t.Run(tc.Name+"/"+plugin, func(t *testing.T) {
				t.Parallel()
				heard := &recorder{}
				s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
					conn, err := begin(conn, plugin, tc.Config, heard)
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
				r := probeIt(t, mysql.Config{}, target(s, &tc.TLS))
				s.Wait(t)
				if got := strings.Contains(heard.String(), probetest.Password); r.Code != tc.Code || got != tc.Shown() {
					t.Errorf("Run() = %s in %q, the server got the password: %v; want %s, %v", r.Code, r.Phase, got, tc.Code, tc.Shown())
				}
			})
		}
	}
}
