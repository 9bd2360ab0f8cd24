package cassandra_test

import (
	"crypto/tls"
	"net"
	"testing"

	"dialtone/internal/probe"
	"dialtone/internal/probe/cassandra"
	"dialtone/internal/probe/cassandra/cassandratest"
	"dialtone/internal/probe/probetest"
)

// cluster is a node that works, with the account and the keyspace of the contract.
func cluster() *cassandratest.Server {
	return &cassandratest.Server{
		User: probetest.User, Password: probetest.Password, Keyspace: probetest.Database,
		Authenticator: cassandratest.PasswordAuthenticator,
	}
}

// hear reads the first message of a client.
func hear(conn net.Conn) { _, _ = conn.Read(make([]byte, 4096)) }

func TestConformance(t *testing.T) { //nolint:paralleltest // it looks for goroutines left behind
	probetest.Run(t, probetest.Suite{
		Engine: probe.Cassandra,
		// There is no login that the server could not read.
		Prober: cassandra.New(cassandra.Config{AllowRecoverable: true}),
		Accept: func(s *probetest.Server, conn net.Conn, config *tls.Config) {
			node := cluster()
			node.OnLogin = s.Login
			node.Serve(conn, config)
		},
		Opening: cassandratest.Supported(),
		Huge:    cassandratest.Huge(),
		Endless: func(conn net.Conn) {
			hear(conn)
			for {
				if _, err := conn.Write(cassandratest.Event()); err != nil {
					return
				}
			}
		},
		EndlessPhase: probe.PhaseProtocol,
		Busy: func(conn net.Conn) {
			hear(conn)
			_, _ = conn.Write(cassandratest.Overloaded())
			hear(conn)
		},
		Verdicts: map[string]probetest.Want{
			// Nothing has come before the handshake.
			"reset where TLS was due": {Code: probe.CodeClosedNoReply, Phase: probe.PhaseProtocol},
		},
	})
}
