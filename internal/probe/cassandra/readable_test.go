package cassandra_test

import (
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
	proofs := append(probetest.Proofs(t, public), probetest.Proof{Name: "plain text", Code: probe.CodeInsecureLogin})
	for _, tc := range proofs {
		t.Run(tc.Name, func(t *testing.T) {
			t.Parallel()
			s := probetest.Serve(t, func(s *probetest.Server, conn net.Conn) {
				node := cluster()
				node.OnLogin = s.Login
				node.Serve(conn, tc.Config)
			})
			goal := target(s)
			if tc.Config != nil {
				goal.TLS = &tc.TLS
			}
			r := probeIt(t, cassandra.New(cassandra.Config{}), goal)
			s.Wait(t)
			if r.Code != tc.Code || (s.Logins() == 1) != tc.Shown() || r.LoginSent != tc.Shown() {
				t.Errorf("Run() = %s, %d logins, sent %v; want %s", r.Code, s.Logins(), r.LoginSent, tc.Code)
			}
		})
	}
}
