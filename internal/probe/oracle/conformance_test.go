package oracle_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"net"
	"testing"

	"dialtone/internal/probe"
	"dialtone/internal/probe/oracle"
	"dialtone/internal/probe/oracle/oracletest"
	"dialtone/internal/probe/probetest"
)

// accept is an ACCEPT of TNS version 318, and resend asks for the CONNECT
// again.
var (
	accept = packet(2, append(binary.BigEndian.AppendUint16(nil, 318), make([]byte, 35)...)...)
	resend = packet(11)
)

// packet is one with a length of two bytes.
func packet(kind byte, body ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(8+len(body)))
	return append(append(b, 0, 0, kind, 0, 0, 0), body...)
}

// refuse is the listener's error as it goes over the wire.
func refuse(conn net.Conn, code int) {
	s := oracletest.Server{Refuse: code}
	_ = s.Serve(context.Background(), conn)
}

func TestConformance(t *testing.T) { //nolint:paralleltest // it looks for goroutines left behind
	probetest.Run(t, probetest.Suite{
		Engine: probe.Oracle, Prober: oracle.New(oracle.Config{}),
		Accept: func(s *probetest.Server, conn net.Conn, config *tls.Config) {
			server := oracletest.Server{User: probetest.User, Password: probetest.Password, TLS: config, OnLogin: s.Login}
			_ = server.Serve(context.Background(), conn)
		},
		Opening: accept,
		Huge:    []byte{0xff, 0xff, 0, 0, 2, 0, 0, 0},
		Endless: func(conn net.Conn) {
			for {
				if _, err := conn.Write(resend); err != nil {
					return
				}
			}
		},
		EndlessPhase: probe.PhaseProtocol,
		Busy:         func(conn net.Conn) { refuse(conn, 12520) },
		Verdicts: map[string]probetest.Want{
			// The listener says so before any login, and is asked twice: see
			// TestNames.
			"unknown database": {},
			// It takes the first bytes of the handshake for the length of a
			// packet, and waits for the rest.
			"not offered": {Code: probe.CodeTimeoutNoReply, Phase: probe.PhaseProtocol},
			// Nothing comes before TLS, so nothing at all has come.
			"reset where TLS was due": {Code: probe.CodeClosedNoReply, Phase: probe.PhaseProtocol},
		},
	})
}
