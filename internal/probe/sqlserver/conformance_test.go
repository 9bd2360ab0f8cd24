package sqlserver_test

import (
	"bytes"
	"crypto/tls"
	"net"
	"testing"

	"dialtone/internal/probe"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/probe/sqlserver"
	"dialtone/internal/probe/sqlserver/sqlservertest"
)

// known is a server that knows the suite's account.
func known(s *probetest.Server, config *tls.Config) sqlservertest.Config {
	return sqlservertest.Config{
		User: probetest.User, Password: probetest.Password, Database: probetest.Database, TLS: config,
		OnLogin: func(sqlservertest.Login) { s.Login() },
	}
}

// endless answers PRELOGIN, and the login with messages of one token each that
// belong to one answer.
func endless(conn net.Conn) {
	if sqlservertest.Await(conn, sqlservertest.NoEncryption) != nil {
		return
	}
	if _, err := conn.Read(make([]byte, 4096)); err != nil {
		return
	}
	notice := sqlservertest.Packets(4, sqlservertest.Notice("still here"))
	notice[1] = 0 // another packet follows
	many := bytes.Repeat(notice, 100)
	for {
		if _, err := conn.Write(many); err != nil {
			return
		}
	}
}

func TestConformance(t *testing.T) { //nolint:paralleltest // it looks for goroutines left behind
	probetest.Run(t, probetest.Suite{
		Engine: probe.SQLServer,
		// Every login is one whose password the server can read; that it goes to
		// the right ones only is tested by itself.
		Prober: sqlserver.New(sqlserver.Config{AllowRecoverable: true}),
		Accept: func(s *probetest.Server, conn net.Conn, config *tls.Config) {
			_ = sqlservertest.Serve(conn, known(s, config))
		},
		Opening: sqlservertest.Opening(sqlservertest.FullEncryption),
		Upgrade: func(conn net.Conn) error { return sqlservertest.Await(conn, sqlservertest.FullEncryption) },
		Huge:    []byte{0x04, 0x01, 0xff, 0xff, 0, 0, 1, 0},
		Endless: endless, EndlessPhase: probe.PhaseLogin,
		// TLS inside of packets goes to 1.2 only.
		Verdicts: map[string]probetest.Want{
			"no client certificate, TLS 1.3":      {Code: probe.CodeTLSVersion, Phase: probe.PhaseTLS},
			"foreign client certificate, TLS 1.3": {Code: probe.CodeTLSVersion, Phase: probe.PhaseTLS},
		},
		Busy: func(conn net.Conn) {
			_ = sqlservertest.Serve(conn, sqlservertest.Config{Busy: []sqlservertest.Error{{
				Number: 17809, State: 2, Class: 20, Text: "Could not connect because the maximum number of '2' user connections has already been reached.",
			}}})
		},
	})
}

func BenchmarkSQLServer(b *testing.B) {
	authority := probetest.NewAuthority(b)
	for name, config := range map[string]*tls.Config{"plain": nil, "TLS": authority.Server(b, nil)} {
		b.Run(name, func(b *testing.B) {
			s := probetest.Serve(b, func(s *probetest.Server, conn net.Conn) { _ = sqlservertest.Serve(conn, known(s, config)) })
			goal := target(s, nil)
			if config != nil {
				goal.TLS = &probe.TLS{Certificate: authority.PEM()}
			}
			runner := probetest.Runner(b, sqlserver.New(sqlserver.Config{AllowRecoverable: true}), probetest.Timeout)
			b.ReportAllocs()
			for b.Loop() {
				if r, err := runner.Run(b.Context(), goal); err != nil || !r.OK() {
					b.Fatal(r.Code, err)
				}
			}
		})
	}
}
