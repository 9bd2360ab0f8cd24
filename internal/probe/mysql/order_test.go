package mysql_test

import (
	"bytes"
	"context"
	"net"
	"testing"

	"dialtone/internal/probe"
	"dialtone/internal/probe/mysql"
	"dialtone/internal/probe/probetest"
)

// Demands of a server during the login.
const (
	caching      = "caching_sha2_password"
	switchNative = "\xfe" + native + "\x00" + nonce
	fullLogin    = "\x01\x04"
	fastLogin    = "\x01\x03"
	doOne        = "\x03DO 1"
)

// step is what a server says at once; numbered as the client expects it.
type step []string

// talk serves one connection by a script and gives what the client has sent,
// packet by packet, from the login on.
func talk(conn net.Conn, plugin string, script []step, sent *[][]byte) {
	_, err := conn.Write(greeting(plainCaps, plugin))
	if err != nil {
		return
	}
	seq := byte(1)
	hear := func() bool {
		b, err := readPacket(conn)
		if err != nil {
			return false
		}
		*sent = append(*sent, b)
		seq++
		if bytes.Equal(b, []byte(doOne)) {
			seq = 1
		}
		return true
	}
	for i := 0; hear(); i++ {
		if i >= len(script) {
			continue
		}
		var piece []byte
		for _, body := range script[i] {
			piece = append(piece, packet(seq, []byte(body)...)...)
			seq++
		}
		if _, err := conn.Write(piece); err != nil {
			return
		}
	}
}

// A server that speaks out of turn: it may not get one packet more than the
// method that it chose takes, and nothing without the login mark.
func TestDemandsOutOfTurn(t *testing.T) {
	t.Parallel()
	_, pemKey := rsaServer(t, probetest.NewAuthority(t))
	key := "\x01" + string(pemKey)
	const mismatch = probe.CodeProtocolMismatch
	for _, tc := range []struct {
		name, plugin string
		lenient      bool
		script       []step
		code         probe.Code
		phase        probe.Phase
		packets      int // of the client's, the login among them
	}{
		{"switches once", caching, false, []step{{switchNative}, {ok}, {ok}}, probe.CodeOK, "", 4},
		{"switches twice", native, false, []step{{switchNative}, {switchNative}}, mismatch, probe.PhaseLogin, 2},
		{"switches twice, in one piece", native, false, []step{{switchNative, switchNative}}, mismatch, probe.PhaseLogin, 1},
		{"switches and lets in without an answer", native, false, []step{{switchNative, ok}}, mismatch, probe.PhaseLogin, 1},
		{"switches after it let in", native, false, []step{{ok, switchNative}}, mismatch, probe.PhaseSession, 1},
		{"switches for an answer to the statement", native, true, []step{{ok}, {switchNative}}, probe.CodeTimeoutHandshake, probe.PhaseSession, 2},
		{"asks for more after it let in", caching, true, []step{{ok, fullLogin}}, mismatch, probe.PhaseSession, 1},
		{"more than native needs", native, false, []step{{fullLogin}}, mismatch, probe.PhaseLogin, 1},
		{"more than native needs, allowed", native, true, []step{{fullLogin}}, mismatch, probe.PhaseLogin, 1},
		{"a key for native, allowed", native, true, []step{{key}}, mismatch, probe.PhaseLogin, 1},
		{"more of nothing", caching, true, []step{{"\x01"}}, mismatch, probe.PhaseLogin, 1},
		{"known from the cache", caching, false, []step{{fastLogin, ok}, {ok}}, probe.CodeOK, "", 3},
		{"known from the cache, then a demand", caching, true, []step{{fastLogin, fullLogin}}, mismatch, probe.PhaseLogin, 1},
		{"known from the cache, then a switch", caching, true, []step{{fastLogin}, {switchNative}}, probe.CodeTimeoutHandshake, probe.PhaseLogin, 1},
		{"known from the cache, then a switch, in one piece", caching, true, []step{{fastLogin, switchNative}}, mismatch, probe.PhaseLogin, 1},
		{"a key, and lets in at once", caching, false, []step{{fullLogin}, {key, ok}}, probe.CodeInsecureLogin, probe.PhaseLogin, 1},
		{"a key for sha256, and lets in at once", "sha256_password", false, []step{{key, ok}}, mismatch, probe.PhaseLogin, 1},
		{"a key for sha256, and switches at once", "sha256_password", false, []step{{key, switchNative}}, mismatch, probe.PhaseLogin, 1},
		{"full login and a switch at once", caching, false, []step{{fullLogin, switchNative}}, mismatch, probe.PhaseLogin, 1},
		{"full login and in at once", caching, false, []step{{fullLogin, ok}, {key, ok}}, mismatch, probe.PhaseLogin, 1},
		{"a key, allowed, and a second one", caching, true, []step{{fullLogin}, {key}, {key}}, mismatch, probe.PhaseLogin, 3},
		{"a key, allowed, and a switch", caching, true, []step{{fullLogin}, {key}, {switchNative}}, mismatch, probe.PhaseLogin, 3},
		{"a key, allowed", caching, true, []step{{fullLogin}, {key}, {ok}, {ok}}, probe.CodeOK, "", 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var sent [][]byte
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) { talk(conn, tc.plugin, tc.script, &sent) })
			goal, hook := target(s, nil), 0
			goal.BeforeLogin = func(context.Context) error { hook++; return nil }
			r := probeIt(t, mysql.Config{AllowRecoverable: tc.lenient}, goal)
			s.Wait(t)
			// The goodbye is none of the login's, but an OK test has one.
			if r.Code != tc.code || r.Phase != tc.phase || hook != 1 || !r.LoginSent || len(sent) != tc.packets {
				t.Errorf("Run() = %s in %q, hook %d, %d packets %q; want %s in %q, 1, %d",
					r.Code, r.Phase, hook, len(sent), sent, tc.code, tc.phase, tc.packets)
			}
		})
	}
}

// Over TLS, where the password itself may leave, it leaves once.
func TestPasswordLeavesOnce(t *testing.T) {
	t.Parallel()
	authority := probetest.NewAuthority(t)
	config, pemKey := rsaServer(t, authority)
	key, toSHA := "\x01"+string(pemKey), "\xfesha256_password\x00"+nonce
	for _, tc := range []struct {
		name, plugin string
		answers      []string
		passwords    int
	}{
		{"sha256, then a key", "sha256_password", []string{toSHA, key, key}, 1},
		{"caching_sha2, then a key", caching, []string{fullLogin, key, key}, 1},
		{"caching_sha2 twice", caching, []string{fullLogin, fullLogin, fullLogin}, 1},
		{"clear text, then more", native, []string{"\xfemysql_clear_password\x00", fullLogin, key}, 1},
		{"clear text, then a switch", native, []string{"\xfemysql_clear_password\x00", toSHA, key}, 1},
		{"sha256 that never switches", "sha256_password", []string{key, key}, 0},
		{"native, then more", native, []string{fullLogin, fullLogin}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			heard := &recorder{}
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
				conn, err := begin(conn, tc.plugin, config, heard)
				for i, seq := 0, byte(3); err == nil; i, seq = i+1, seq+2 {
					if i < len(tc.answers) {
						_, err = conn.Write(packet(seq, []byte(tc.answers[i])...))
					}
					if err == nil {
						err = heard.read(conn)
					}
				}
			})
			r := probeIt(t, mysql.Config{}, target(s, &probe.TLS{Certificate: authority.PEM()}))
			s.Wait(t)
			count := bytes.Count([]byte(heard.String()), []byte(probetest.Password))
			if r.Code != probe.CodeProtocolMismatch || r.Phase != probe.PhaseLogin || count != tc.passwords {
				t.Errorf("Run() = %s in %q, the password left %d times in %q; want %s in %q, %d times",
					r.Code, r.Phase, count, heard.String(), probe.CodeProtocolMismatch, probe.PhaseLogin, tc.passwords)
			}
		})
	}
}
