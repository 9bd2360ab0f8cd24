package mongodb_test

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"dialtone/internal/probe"
	"dialtone/internal/probe/mongodb"
	"dialtone/internal/probe/mongodb/mongodbtest"
	"dialtone/internal/probe/probetest"
)

// firstAnswer is what a server says to the first hello.
func firstAnswer(t *testing.T) []byte {
	t.Helper()
	body, err := bson.Marshal(bson.D{{Key: "ismaster", Value: true}, {Key: "maxWireVersion", Value: int32(21)}, {Key: "ok", Value: 1.0}})
	if err != nil {
		t.Fatal(err)
	}
	b := append(slices.Repeat([]byte{0}, 36), body...)
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	b[8], b[12], b[32] = 1, 1, 1 // the answer to request 1, an OP_REPLY of one document
	return b
}

func TestConformance(t *testing.T) { //nolint:paralleltest // it looks for goroutines left behind
	opening := firstAnswer(t)
	probetest.Run(t, probetest.Suite{
		Engine: probe.MongoDB, Prober: mongodb.New(mongodb.Config{}),
		Accept: func(s *probetest.Server, conn net.Conn, config *tls.Config) {
			(&mongodbtest.Server{
				Users:   []mongodbtest.User{{Database: probetest.Database, Name: probetest.User, Password: probetest.Password}},
				TLS:     config,
				OnLogin: s.Login,
			}).Serve(conn)
		},
		Opening: opening,
		Huge:    []byte{0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0},
		Endless: func(conn net.Conn) {
			for {
				if _, err := conn.Write(opening); err != nil {
					return
				}
			}
		},
		Verdicts: map[string]probetest.Want{
			// Servers answer, each request once: the second answer to the first
			// request is one that nobody asked for.
			"never ends": {Code: probe.CodeProtocolMismatch, Phase: probe.PhaseLogin},
			// A server without TLS takes the handshake for a message of absurd
			// length, and closes: it has no way to say that it offers none.
			"not offered":             {Code: probe.CodeClosedNoReply, Phase: probe.PhaseProtocol},
			"reset where TLS was due": {Code: probe.CodeClosedNoReply, Phase: probe.PhaseProtocol},
			// The database is where the account is looked for.
			"unknown database": {Code: probe.CodeAuthFailed, Phase: probe.PhaseLogin},
		},
	})
}
