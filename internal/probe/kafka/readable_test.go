package kafka_test

import (
	"net"
	"testing"

	"dialtone/internal/probe/kafka"
	"dialtone/internal/probe/probetest"
)

// public is an authority among the system's roots.
var public *probetest.Authority

func TestMain(m *testing.M) { probetest.TrustedBySystem(m, &public) }

// PLAIN shows the password to the server.
func TestPasswordByProof(t *testing.T) {
	t.Parallel()
	for _, tc := range probetest.Proofs(t, public) {
		t.Run(tc.Name, func(t *testing.T) {
			t.Parallel()
			server := probetest.Serve(t, func(s *probetest.Server, conn net.Conn) { accept(s, conn, tc.Config) })
			target := fakeTarget(server, "PLAIN")
			target.Kafka.Protocol, target.TLS = "SASL_SSL", &tc.TLS
			logins, phase := 0, tc.Code.Verdict().Phase
			if tc.Shown() {
				logins = 1
			}
			run(t, kafka.Config{}, target, tc.Code, phase, logins)
			server.Wait(t)
			if n := server.Logins(); n != logins {
				t.Errorf("%d passwords arrived, want %d", n, logins)
			}
		})
	}
}
