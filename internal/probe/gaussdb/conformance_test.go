package gaussdb_test

import (
	"bytes"
	"crypto/tls"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"dialtone/internal/probe"
	"dialtone/internal/probe/gaussdb"
	"dialtone/internal/probe/gaussdb/gaussdbtest"
	"dialtone/internal/probe/probetest"
)

// working is a server that accepts the suite's account.
func working() gaussdbtest.Server {
	return gaussdbtest.Server{User: probetest.User, Password: probetest.Password, Database: probetest.Database, Iterations: 256}
}

// serve is a handler of a test's connections.
func serve(server gaussdbtest.Server) func(*probetest.Server, net.Conn) {
	return func(s *probetest.Server, conn net.Conn) {
		one := server
		one.OnLogin = s.Login
		one.Serve(conn)
	}
}

// encoded are messages as they are sent.
func encoded(messages ...pgproto3.BackendMessage) []byte {
	var b []byte
	for _, m := range messages {
		b, _ = m.Encode(b)
	}
	return b
}

// hear reads what the client has sent.
func hear(conn net.Conn) { _, _ = conn.Read(make([]byte, 4096)) }

func TestConformance(t *testing.T) { //nolint:paralleltest // it looks for goroutines left behind
	for _, engine := range []probe.Engine{probe.GaussDBv5, probe.GaussDBv5HA} { //nolint:paralleltest // as above
		t.Run(string(engine), func(t *testing.T) { conformance(t, engine) })
	}
}

func conformance(t *testing.T, engine probe.Engine) {
	t.Helper()
	probetest.Run(t, probetest.Suite{
		Engine: engine, Prober: gaussdb.New(gaussdb.Config{}),
		Accept: func(s *probetest.Server, conn net.Conn, config *tls.Config) {
			server := working()
			server.TLS = config
			serve(server)(s, conn)
		},
		Opening: encoded(&pgproto3.AuthenticationMD5Password{Salt: [4]byte{1, 2, 3, 4}}),
		Upgrade: func(conn net.Conn) error {
			hear(conn)
			_, err := conn.Write([]byte{'S'})
			return err
		},
		Huge: []byte{'R', 0x7f, 0xff, 0xff, 0xff},
		Endless: func(conn net.Conn) {
			hear(conn)
			many := bytes.Repeat(encoded(&pgproto3.ParameterStatus{Name: "still", Value: "here"}), 1000)
			for {
				if _, err := conn.Write(many); err != nil {
					return
				}
			}
		},
		EndlessPhase: probe.PhaseProtocol,
		Busy: func(conn net.Conn) {
			server := working()
			server.Down = &gaussdbtest.Failure{Code: "53300", Text: "sorry, too many clients already"}
			server.Serve(conn)
		},
	})
}
