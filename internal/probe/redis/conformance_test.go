package redis_test

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"

	"dialtone/internal/probe"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/probe/redis"
	"dialtone/internal/probe/redis/redistest"
)

func TestMain(m *testing.M) { probetest.TrustedBySystem(m, &public) }

// serve answers one connection, over TLS if there is a configuration.
func serve(s *redistest.Server, conn net.Conn, config *tls.Config) {
	if config != nil {
		conn = tls.Server(conn, config)
	}
	s.Serve(conn)
}

// ownSlots is a cluster in which the node asked serves everything.
func ownSlots(port string) string { return redistest.Slots(redistest.Range(0, 16383, ":"+port)) }

func TestConformance(t *testing.T) { //nolint:paralleltest // it looks for goroutines left behind
	conform(t, probe.Redis, func(string) string { return "" })
}

func TestConformanceOfAClusterNode(t *testing.T) { //nolint:paralleltest // it looks for goroutines left behind
	conform(t, probe.RedisCluster, ownSlots)
}

// conform runs the contract; slots is what a server at that port says of its
// cluster.
func conform(t *testing.T, engine probe.Engine, slots func(port string) string) {
	t.Helper()
	probetest.Run(t, probetest.Suite{
		Engine: engine,
		// Without it nothing could be logged in to in plain text.
		Prober: redis.New(redis.Config{AllowRecoverable: true}),
		Accept: func(s *probetest.Server, conn net.Conn, config *tls.Config) {
			_, port, _ := net.SplitHostPort(conn.LocalAddr().String())
			serve(&redistest.Server{
				Users: map[string]string{probetest.User: probetest.Password}, Slots: slots(port), OnAuth: s.Login,
				Curt: true, // what a server says to QUIT comes too late for any verdict
			}, conn, config)
		},
		Opening: []byte(redistest.NoAuth),
		Huge:    []byte("$536870912\r\n"),
		Endless: func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 64))
			_, err := conn.Write([]byte("-ERR "))
			for piece := []byte(strings.Repeat("x", 4096)); err == nil; {
				_, err = conn.Write(piece)
			}
		},
		EndlessPhase: probe.PhaseProtocol,
		Busy:         func(conn net.Conn) { _, _ = conn.Write([]byte("-ERR max number of clients reached\r\n")) },
		// It might be a port that speaks TLS only.
		AsksAgain: true,
		Prepare: func(target *probe.Target) {
			if target.Database == probetest.Database {
				target.Database = "0"
			}
		},
		Verdicts: map[string]probetest.Want{
			// That is how a Redis without TLS may well begin.
			"plain text where TLS was due": {Code: probe.CodeTLSNotSupported, Phase: probe.PhaseTLS},
			// Nothing has come before TLS, so nothing has come at all.
			"reset where TLS was due": {Code: probe.CodeClosedNoReply, Phase: probe.PhaseProtocol},
		},
	})
}
