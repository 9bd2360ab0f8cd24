package postgres_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"dialtone/internal/probe"
	"dialtone/internal/probe/postgres"
	"dialtone/internal/probe/probetest"
)

// tape keeps what the client sends.
type tape struct {
	net.Conn
	mu   sync.Mutex
	sent bytes.Buffer
}

func (c *tape) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent.Write(p[:n])
	return n, err
}

// proofs counts the messages that carry credentials: those of type p, behind
// the first message, which has no type.
func (c *tape) proofs(t *testing.T) int {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	rest, count := c.sent.Bytes(), 0
	for kind := 0; len(rest) > 0; kind = 1 {
		if len(rest) < kind+4 || len(rest) < kind+int(binary.BigEndian.Uint32(rest[kind:])) {
			t.Fatalf("the client sent %q, which ends in half a message", c.sent.String())
		}
		if kind == 1 && rest[0] == 'p' {
			count++
		}
		rest = rest[kind+int(binary.BigEndian.Uint32(rest[kind:])):]
	}
	return count
}

// drains reads until the client has gone, so that all it sends is on the tape.
func drains(f *fake) { _, _ = io.Copy(io.Discard, f.conn) }

// md5Answer reads the answer to a demand for an MD5 password.
func md5Answer(f *fake) {
	_ = f.back.SetAuthType(pgproto3.AuthTypeMD5Password)
	_, _ = f.back.Receive()
}

// The driver obeys demands for credentials in any number and order until it
// is told that the server is ready. No credential may leave at any but the
// first, nor without the login mark.
func TestDemandsOutOfTurn(t *testing.T) {
	t.Parallel()
	let, full := &pgproto3.AuthenticationOk{}, fatal("53300", "sorry")
	md5, plain := &pgproto3.AuthenticationMD5Password{}, &pgproto3.AuthenticationCleartextPassword{}
	sasl := &pgproto3.AuthenticationSASL{AuthMechanisms: []string{"SCRAM-SHA-256"}}
	const mismatch = probe.CodeProtocolMismatch
	for _, tc := range []struct {
		name   string
		script []answer
		code   probe.Code
		phase  probe.Phase
		hook   int
		proofs int
	}{
		{"MD5 after the login, and then full", []answer{say(let), say(md5), md5Answer, say(full), drains}, mismatch, probe.PhaseSession, 0, 0},
		{"MD5 after the login, in one piece", []answer{say(let, md5, full), drains}, mismatch, probe.PhaseSession, 0, 0},
		{"MD5 when nearly ready", []answer{say(let, &pgproto3.ParameterStatus{Name: "server_version", Value: "15"}, md5), drains}, mismatch, probe.PhaseSession, 0, 0},
		{"clear text after the login", []answer{say(let, plain), drains}, mismatch, probe.PhaseSession, 0, 0},
		{"SASL after the login", []answer{say(let, sasl), drains}, mismatch, probe.PhaseSession, 0, 0},
		{"lets in twice", []answer{say(let, let, ready()), drains}, mismatch, probe.PhaseSession, 0, 0},
		{"MD5 after MD5 and the login", []answer{say(md5), md5Answer, say(let, md5), drains}, mismatch, probe.PhaseSession, 1, 1},
		{"MD5 twice", []answer{say(md5), md5Answer, say(md5), drains}, mismatch, probe.PhaseLogin, 1, 1},
		{"MD5 twice, in one piece", []answer{say(md5, md5), drains}, mismatch, probe.PhaseProtocol, 0, 0},
		{"MD5, then clear text", []answer{say(md5), md5Answer, say(plain), drains}, mismatch, probe.PhaseLogin, 1, 1},
		{"MD5, then SASL", []answer{say(md5), md5Answer, say(sasl), drains}, mismatch, probe.PhaseLogin, 1, 1},
		{"MD5, then a part of SASL", []answer{say(md5), md5Answer, say(&pgproto3.AuthenticationSASLContinue{Data: []byte("r=")}), drains}, mismatch, probe.PhaseLogin, 1, 1},
		{"SASL twice", []answer{scram("i=4096"), hears, say(sasl), drains}, mismatch, probe.PhaseLogin, 1, 2},
		{"SASL, then MD5", []answer{scram("i=4096"), hears, say(md5), drains}, mismatch, probe.PhaseLogin, 1, 2},
		{"SASL for a million rounds and one", []answer{scram("i=1000001"), drains}, probe.CodePeerAbusive, probe.PhaseLogin, 1, 1},
		{"SASL for more than the driver does", []answer{scram("i=200000000"), drains}, probe.CodePeerAbusive, probe.PhaseLogin, 1, 1},
		{"SASL with a challenge that hides the rounds", []answer{scram("m=" + strings.Repeat("x", 2000) + ",i=5000000"), drains}, mismatch, probe.PhaseLogin, 1, 1},
		{"SASL, and lets in before its challenge", []answer{say(sasl), hears, say(let, ready()), drains}, mismatch, probe.PhaseSession, 1, 1},
		{"SASL, and lets in without a proof of its own", []answer{scram("i=4096"), hears, say(let, ready()), drains}, mismatch, probe.PhaseSession, 1, 2},
		{"SASL, with a proof of nothing", []answer{scram("i=4096"), hears, say(&pgproto3.AuthenticationSASLFinal{Data: []byte("v=")}, let, ready()), drains}, mismatch, probe.PhaseLogin, 1, 2},
		{"SASL, with an error in place of the proof", []answer{scram("i=4096"), hears, say(&pgproto3.AuthenticationSASLFinal{Data: []byte("e=other-error")}, let, ready()), drains}, mismatch, probe.PhaseLogin, 1, 2},
		{"SASL out of nothing", []answer{say(&pgproto3.AuthenticationSASLContinue{Data: []byte("r=")}), drains}, mismatch, probe.PhaseProtocol, 0, 0},
		{"ready without a login", []answer{say(ready()), drains}, mismatch, probe.PhaseProtocol, 0, 0},
		{"does not wait for the answer", []answer{say(md5, let, ready()), md5Answer, (*fake).statements}, probe.CodeOK, "", 1, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			heard := &tape{}
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
				heard.Conn = conn
				f := newFake(heard)
				if _, ok := f.startup(nil); !ok {
					return
				}
				for _, step := range tc.script {
					step(f)
				}
			})
			goal, hook := target(s), 0
			goal.BeforeLogin = func(context.Context) error { hook++; return nil }
			r := probeIt(t, postgres.New(postgres.Config{AllowRecoverable: true}), goal)
			s.Wait(t)
			proofs := heard.proofs(t)
			if r.Code != tc.code || r.Phase != tc.phase || hook != tc.hook || r.LoginSent != (tc.hook > 0) || proofs != tc.proofs {
				t.Errorf("Run() = %s in %q, hook %d, sent %v, credentials %d times; want %s in %q, %d, %d",
					r.Code, r.Phase, hook, r.LoginSent, proofs, tc.code, tc.phase, tc.hook, tc.proofs)
			}
			if r.Retryable() && proofs > 0 {
				t.Error("a test that sent credentials may be repeated")
			}
		})
	}
}
