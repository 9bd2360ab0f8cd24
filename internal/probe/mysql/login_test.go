package mysql_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/server"

	"dialtone/internal/probe"
	"dialtone/internal/probe/mysql"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/secret"
)

func target(s *probetest.Server, tlsMode *probe.TLS) probe.Target {
	return probe.Target{
		Password: secret.New(probetest.Password),
		Engine:   probe.MySQL, Network: "vpc", User: probetest.User, Database: probetest.Database, TLS: tlsMode,
		Addresses: []probe.Address{{Host: s.Addr.Addr().String(), Port: s.Addr.Port()}},
	}
}

func probeIt(t *testing.T, cfg mysql.Config, target probe.Target) probe.Report {
	t.Helper()
	r, err := probetest.Runner(t, mysql.New(cfg), probetest.Timeout).Run(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	probetest.WellFormed(t, r)
	probetest.NoSecrets(t, target, r)
	return r
}

// The methods of MySQL 8, by how the connection is secured.
func TestLoginMethods(t *testing.T) {
	t.Parallel()
	authority := probetest.NewAuthority(t)
	encrypted, key := rsaServer(t, authority)
	verified, unverified := &probe.TLS{Certificate: authority.PEM()}, &probe.TLS{Verify: probe.VerifyNone}
	lenient := mysql.Config{AllowRecoverable: true}
	for _, tc := range []struct {
		name, method string
		cfg          mysql.Config
		tls          *probe.TLS
		want         probe.Code
	}{
		{"caching_sha2, plain", gomysql.AUTH_CACHING_SHA2_PASSWORD, mysql.Config{}, nil, probe.CodeInsecureLogin},
		{"caching_sha2, plain, allowed", gomysql.AUTH_CACHING_SHA2_PASSWORD, lenient, nil, probe.CodeOK},
		{"caching_sha2, verified", gomysql.AUTH_CACHING_SHA2_PASSWORD, mysql.Config{}, verified, probe.CodeOK},
		{"caching_sha2, unverified", gomysql.AUTH_CACHING_SHA2_PASSWORD, mysql.Config{}, unverified, probe.CodeInsecureLogin},
		{"caching_sha2, unverified, allowed", gomysql.AUTH_CACHING_SHA2_PASSWORD, lenient, unverified, probe.CodeOK},
		{"sha256, plain", gomysql.AUTH_SHA256_PASSWORD, mysql.Config{}, nil, probe.CodeInsecureLogin},
		{"sha256, plain, allowed", gomysql.AUTH_SHA256_PASSWORD, lenient, nil, probe.CodeOK},
		{"sha256, verified", gomysql.AUTH_SHA256_PASSWORD, mysql.Config{}, verified, probe.CodeOK},
		{"sha256, unverified", gomysql.AUTH_SHA256_PASSWORD, mysql.Config{}, unverified, probe.CodeInsecureLogin},
		{"sha256, unverified, allowed", gomysql.AUTH_SHA256_PASSWORD, lenient, unverified, probe.CodeOK},
		{"native, plain", gomysql.AUTH_NATIVE_PASSWORD, mysql.Config{}, nil, probe.CodeOK},
		{"native, unverified", gomysql.AUTH_NATIVE_PASSWORD, mysql.Config{}, unverified, probe.CodeOK},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := probetest.Serve(t, func(s *probetest.Server, conn net.Conn) { fake(s, conn, tc.method, encrypted, key) })
			r := probeIt(t, tc.cfg, target(s, tc.tls))
			if r.Code != tc.want || (tc.want == probe.CodeInsecureLogin && r.Phase != probe.PhaseLogin) {
				t.Errorf("Run() = %s in %q, want %s (server: %s %s)", r.Code, r.Phase, tc.want, r.Evidence.ServerCode, r.Evidence.ServerText)
			}
			if !r.LoginSent {
				t.Error("a login was begun and is not reported as sent")
			}
		})
	}
}

// A key that is none makes the driver panic, were it given to it.
func TestLoginWithAnOddKey(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string][]byte{
		"another kind": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"not a key":    pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der[:20]}),
		"not PEM":      []byte("what?"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
				_, _ = conn.Write(greeting(plainCaps, "caching_sha2_password"))
				_, _ = readPacket(conn)
				_, _ = conn.Write(packet(2, 1, 4))
				_, _ = readPacket(conn)
				_, _ = conn.Write(packet(4, append([]byte{1}, answer...)...))
				_, _ = readPacket(conn)
			})
			r := probeIt(t, mysql.Config{AllowRecoverable: true}, target(s, nil))
			if r.Code != probe.CodeProtocolMismatch || r.Phase != probe.PhaseLogin {
				t.Errorf("Run() = %s in %q, want %s in %q", r.Code, r.Phase, probe.CodeProtocolMismatch, probe.PhaseLogin)
			}
		})
	}
}

// A server that has the password in its cache lets us in on a proof alone.
func TestLoginFromCache(t *testing.T) {
	t.Parallel()
	authority := probetest.NewAuthority(t)
	encrypted, key := rsaServer(t, authority)
	settings := server.NewServer("8.0.36", gomysql.DEFAULT_COLLATION_ID, gomysql.AUTH_CACHING_SHA2_PASSWORD, key, encrypted)
	s := probetest.Serve(t, func(s *probetest.Server, conn net.Conn) {
		c, err := settings.NewCustomizedConn(conn, account{s.Login}, statements{arrived: s.Login})
		for err == nil && !c.Closed() {
			err = c.HandleCommand()
		}
	})
	for _, tc := range []struct {
		tls  *probe.TLS
		want probe.Code
	}{{nil, probe.CodeInsecureLogin}, {&probe.TLS{Certificate: authority.PEM()}, probe.CodeOK}, {nil, probe.CodeOK}, {&probe.TLS{Verify: probe.VerifyNone}, probe.CodeOK}} {
		if r := probeIt(t, mysql.Config{}, target(s, tc.tls)); r.Code != tc.want {
			t.Errorf("Run() with TLS %+v = %s, want %s", tc.tls, r.Code, tc.want)
		}
	}
}

// recorder keeps what the client sends.
type recorder struct {
	mu   sync.Mutex
	sent bytes.Buffer
}

func (r *recorder) read(conn net.Conn) error {
	b, err := readPacket(conn)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent.Write(b)
	return err
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sent.String()
}

const (
	native  = "mysql_native_password"
	ok      = "\x00\x00\x00\x02\x00\x00\x00"
	nonce   = "abcdefghijklmnopqrst\x00"
	refused = "\xff\x15\x04#28000Access denied, you said " + probetest.Password + " of course"
)

// Servers that answer the login as no client should bear.
func TestLoginScripts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, plugin string
		answers      []string // to the login and what follows it
		code         probe.Code
		phase        probe.Phase
		mechanism    string
	}{
		{"switch to clear text", native, []string{"\xfemysql_clear_password\x00"}, probe.CodeInsecureLogin, probe.PhaseLogin, "mysql_clear_password"},
		{"begins with clear text", "mysql_clear_password", []string{"\xfemysql_clear_password\x00"}, probe.CodeInsecureLogin, probe.PhaseLogin, "mysql_clear_password"},
		{"switch to a dialogue", native, []string{"\xfedialog\x00Password:"}, probe.CodeAuthMechanism, probe.PhaseLogin, "dialog"},
		{"switch to the old hash", native, []string{"\xfe"}, probe.CodeAuthMechanism, probe.PhaseLogin, ""},
		{"switch to native", "caching_sha2_password", []string{"\xfe" + native + "\x00" + nonce, ok, ok}, probe.CodeOK, "", native},
		{"switch twice", native, []string{"\xfe" + native + "\x00" + nonce, "\xfe" + native + "\x00" + nonce}, probe.CodeProtocolMismatch, probe.PhaseLogin, native},
		{"asks for the key dance at once", "caching_sha2_password", []string{"\x01\x04", "\x01-----BEGIN PUBLIC KEY-----\n"}, probe.CodeInsecureLogin, probe.PhaseLogin, "caching_sha2_password"},
		{"short challenge", native, []string{"\xfe" + native + "\x00abc"}, probe.CodeProtocolMismatch, probe.PhaseLogin, native},
		{"half an agreement", native, []string{"\x00\xfe"}, probe.CodeProtocolMismatch, probe.PhaseLogin, native},
		{"half a refusal", native, []string{"\xff\x15"}, probe.CodeProtocolMismatch, probe.PhaseLogin, native},
		{"half a refusal with a state", native, []string{"\xff\x15\x04#28"}, probe.CodeProtocolMismatch, probe.PhaseLogin, native},
		{"half a statement's refusal", native, []string{ok, "\xff\x15"}, probe.CodePeerAbusive, probe.PhaseSession, native},
		{"repeats the password", native, []string{refused}, probe.CodeAuthFailed, probe.PhaseLogin, native},
		{"asks for a file", native, []string{ok, "\xfb/etc/passwd"}, probe.CodePeerAbusive, probe.PhaseSession, native},
		{"no right to the account's resources", native, []string{"\xff\xca\x04#42000too many"}, probe.CodeTooManyConnections, probe.PhaseLogin, native},
		{"demands TLS", native, []string{"\xff\x57\x0c#HY000secure transport"}, probe.CodeTLSRequired, probe.PhaseTLS, native},
		{"shuts down", native, []string{"\xff\x1d\x04#08S01shutdown"}, probe.CodeServerNotReady, probe.PhaseLogin, native},
		{"is offline", native, []string{"\xff\xd8\x0b#HY000offline"}, probe.CodeServerNotReady, probe.PhaseLogin, native},
		{"locks the account", native, []string{"\xff\x2e\x0c#HY000locked"}, probe.CodeAccountLocked, probe.PhaseLogin, native},
		{"locks after failures", native, []string{"\xff\x73\x0f#HY000locked"}, probe.CodeAccountLocked, probe.PhaseLogin, native},
		{"password expired at the login", native, []string{"\xff\x46\x07#HY000expired"}, probe.CodePasswordExpired, probe.PhaseLogin, native},
		{"an error of its own", native, []string{"\xff\x51\x04#HY000?"}, probe.CodeServerError, probe.PhaseLogin, native},
		{"switches without end", native, slices.Repeat([]string{"\xfe" + native + "\x00" + nonce}, 50), probe.CodeProtocolMismatch, probe.PhaseLogin, native},
		{"more without end", "caching_sha2_password", slices.Repeat([]string{"\x01\x03"}, 50), probe.CodeTimeoutHandshake, probe.PhaseLogin, "caching_sha2_password"},
		{"16 MiB and more to come, for the login", native, []string{strings.Repeat("\x00", 1<<24-1), ok}, probe.CodePeerAbusive, probe.PhaseLogin, native},
		{"16 MiB and more to come, for the statement", native, []string{ok, strings.Repeat("\x00", 1<<24-1), ok}, probe.CodePeerAbusive, probe.PhaseSession, native},
		{"a huge answer", native, []string{ok, strings.Repeat("x", 70000)}, probe.CodePeerAbusive, probe.PhaseSession, native},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			heard := &recorder{}
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
				_, _ = conn.Write(greeting(plainCaps, tc.plugin))
				if err := heard.read(conn); err != nil {
					return
				}
				seq := byte(2)
				for i, answer := range tc.answers {
					if i > 0 && tc.answers[i-1] == ok {
						seq = 1 // the answer to a statement
					}
					_, _ = conn.Write(packet(seq, []byte(answer)...))
					if err := heard.read(conn); err != nil {
						return
					}
					seq += 2
				}
				for {
					if err := heard.read(conn); err != nil {
						return
					}
				}
			})
			r := probeIt(t, mysql.Config{}, target(s, nil))
			if r.Code != tc.code || r.Phase != tc.phase || r.Evidence.Mechanism != tc.mechanism {
				t.Errorf("Run() = %s in %q by %q, want %s in %q by %q (server: %s %s)",
					r.Code, r.Phase, r.Evidence.Mechanism, tc.code, tc.phase, tc.mechanism, r.Evidence.ServerCode, r.Evidence.ServerText)
			}
			s.Wait(t)
			if sent := heard.String(); strings.Contains(sent, probetest.Password) || strings.Contains(sent, "root:") {
				t.Errorf("the server was sent %q", sent)
			}
			if !strings.Contains(heard.String(), "program_name") || !strings.Contains(heard.String(), "dialtone") {
				t.Errorf("the login %q does not say who we are", heard.String())
			}
		})
	}
}

// Silence is broken late, and what comes then is called by its name.
func TestSilence(t *testing.T) {
	t.Parallel()
	hello := greeting(plainCaps, native)
	for _, tc := range []struct {
		name  string
		serve func(conn net.Conn)
		code  probe.Code
		phase probe.Phase
		looks string
	}{
		{"PostgreSQL with TLS", answering("S"), probe.CodeProtocolMismatch, probe.PhaseProtocol, "postgresql"},
		{"PostgreSQL without", answering("N"), probe.CodeProtocolMismatch, probe.PhaseProtocol, "postgresql"},
		{"HTTP", answering("HTTP/1.1 400 Bad Request\r\n\r\n"), probe.CodeProtocolMismatch, probe.PhaseProtocol, "http"},
		{"something unknown", answering("what?"), probe.CodeProtocolMismatch, probe.PhaseProtocol, ""},
		{"a greeting that comes too late", answering(string(hello)), probe.CodeTimeoutNoReply, probe.PhaseProtocol, ""},
		{"a slow greeting", func(conn net.Conn) {
			<-time.After(probetest.Timeout / 2)
			endless(conn)
		}, probe.CodePeerAbusive, probe.PhaseSession, ""},
		{"hangs up when asked", answering(""), probe.CodeClosedNoReply, probe.PhaseProtocol, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) { tc.serve(conn) })
			called := false
			goal := target(s, nil)
			goal.BeforeLogin = func(context.Context) error { called = true; return nil }
			r := probeIt(t, mysql.Config{}, goal)
			if r.Code != tc.code || r.Phase != tc.phase || r.Evidence.LooksLike != tc.looks {
				t.Errorf("Run() = %s in %q, looks like %q; want %s in %q, %q", r.Code, r.Phase, r.Evidence.LooksLike, tc.code, tc.phase, tc.looks)
			}
			if called && tc.phase == probe.PhaseProtocol {
				t.Error("the login hook was called")
			}
		})
	}
}

// answering speaks once it has been spoken to.
func answering(text string) func(conn net.Conn) {
	return func(conn net.Conn) {
		if _, err := conn.Read(make([]byte, 64)); err != nil {
			return
		}
		if text == "" {
			return
		}
		_, _ = conn.Write([]byte(text))
		_, _ = conn.Read(make([]byte, 64))
	}
}

// A server without credentials of ours wants a file for an answer to every
// packet that we send. The greeting says that there are no files to be had.
func TestNoFileLeaves(t *testing.T) {
	t.Parallel()
	const content = "the content of a file that is nobody's business"
	file := filepath.Join(t.TempDir(), "private")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	const capLocalFiles = 1 << 7
	wants := func(seq byte) []byte { return packet(seq, []byte("\xfb"+file)...) }
	in := packet(2, []byte(ok)...)
	for _, tc := range []struct {
		name    string
		answers [][]byte // to the login and what follows it
		code    probe.Code
		phase   probe.Phase
	}{
		{"for the login", [][]byte{wants(2)}, probe.CodeProtocolMismatch, probe.PhaseLogin},
		{"for the statement", [][]byte{in, wants(1)}, probe.CodePeerAbusive, probe.PhaseSession},
		{"in one piece with the login's acceptance", [][]byte{slices.Concat(in, wants(1))}, probe.CodePeerAbusive, probe.PhaseLogin},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			heard := &recorder{}
			var login []byte
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
				_, _ = conn.Write(greeting(plainCaps|capLocalFiles, native))
				for i := 0; heard.read(conn) == nil; i++ {
					if i == 0 {
						login = []byte(heard.String())
					}
					if i < len(tc.answers) {
						_, _ = conn.Write(tc.answers[i])
					} else {
						_, _ = conn.Write(wants(byte(i)))
					}
				}
			})
			r := probeIt(t, mysql.Config{}, target(s, nil))
			s.Wait(t)
			if r.Code != tc.code || r.Phase != tc.phase {
				t.Errorf("Run() = %s in %q, want %s in %q", r.Code, r.Phase, tc.code, tc.phase)
			}
			if strings.Contains(heard.String(), content) {
				t.Errorf("the server was sent %q", heard.String())
			}
			if len(login) < 4 || login[0]&capLocalFiles != 0 {
				t.Errorf("the login %q offers files", login)
			}
		})
	}
}

// What was said in plain text before the encryption is not taken for something
// that was said within it.
func TestPlainTextBeforeTLS(t *testing.T) {
	t.Parallel()
	authority := probetest.NewAuthority(t)
	config := authority.Server(t, nil)
	heard := &recorder{}
	s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
		_, _ = conn.Write(append(greeting(plainCaps|capTLS, native), packet(2, []byte(ok)...)...))
		if heard.read(conn) == nil {
			_ = tls.Server(conn, config).Handshake()
			_ = heard.read(conn)
		}
	})
	r := probeIt(t, mysql.Config{}, target(s, &probe.TLS{Certificate: authority.PEM()}))
	s.Wait(t)
	if r.OK() || r.LoginSent || strings.Contains(heard.String(), probetest.User) {
		t.Errorf("Run() = %s in %q, login sent: %v; the server was sent %q", r.Code, r.Phase, r.LoginSent, heard.String())
	}
}

func TestErrorInPlaceOfGreeting(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, body, number string
		code               probe.Code
	}{
		{"blocked", "\xff\x69\x04#HY000Host is blocked", "1129", probe.CodeHostNotAllowed},
		{"not allowed", "\xff\x6a\x04Host is not allowed", "1130", probe.CodeHostNotAllowed},
		{"full", "\xff\x10\x04#08004Too many connections", "1040", probe.CodeTooManyConnections},
		{"unknown", "\xff\x01\x00", "1", probe.CodeServerError},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) { _, _ = conn.Write(packet(0, []byte(tc.body)...)) })
			r := probeIt(t, mysql.Config{}, target(s, nil))
			if r.Code != tc.code || r.Phase != probe.PhaseProtocol || r.Evidence.ServerCode != tc.number || r.LoginSent {
				t.Errorf("Run() = %s in %q with error %q, login sent %v; want %s in %q with %q, false",
					r.Code, r.Phase, r.Evidence.ServerCode, r.LoginSent, tc.code, probe.PhaseProtocol, tc.number)
			}
		})
	}
}
