package cassandra_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/probe"
	"dialtone/internal/probe/cassandra"
	"dialtone/internal/probe/cassandra/cassandratest"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/secret"
)

func serve(t *testing.T, node *cassandratest.Server) *probetest.Server {
	t.Helper()
	return probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) { node.Serve(conn, nil) })
}

func target(s *probetest.Server) probe.Target {
	return probe.Target{
		Engine: probe.Cassandra, Network: "vpc", User: probetest.User, Database: probetest.Database,
		Password:  secret.New(probetest.Password),
		Addresses: []probe.Address{{Host: s.Addr.Addr().String(), Port: s.Addr.Port()}},
	}
}

func probeIt(t *testing.T, p probe.Prober, target probe.Target) probe.Report {
	t.Helper()
	r, err := probetest.Runner(t, p, probetest.Timeout).Run(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	probetest.WellFormed(t, r)
	probetest.NoSecrets(t, target, r)
	return r
}

// permissive sends the password to whoever asks for it.
func permissive() *cassandra.Prober { return cassandra.New(cassandra.Config{AllowRecoverable: true}) }

// failing makes a node that answers one kind of message with an error; words
// choose among statements.
func failing(op cassandratest.Op, words string, code uint32, text string) func(*cassandratest.Server) {
	return func(node *cassandratest.Server) {
		node.Fail = func(got cassandratest.Op, statement string) *cassandratest.Error {
			if got == op && strings.Contains(statement, words) {
				return &cassandratest.Error{Code: code, Text: text}
			}
			return nil
		}
	}
}

func TestServerErrors(t *testing.T) {
	t.Parallel()
	const away = "Cannot achieve consistency level QUORUM"
	for _, tc := range []struct {
		name   string
		change func(*cassandratest.Server)
		code   probe.Code
		phase  probe.Phase
		sent   bool
		number string
	}{
		{"overloaded at once", failing(cassandratest.Options, "", 0x1001, "overloaded"), probe.CodeTooManyConnections, probe.PhaseProtocol, false, "0x1001"},
		{"bootstrapping", failing(cassandratest.Startup, "", 0x1002, "is bootstrapping"), probe.CodeServerNotReady, probe.PhaseProtocol, false, "0x1002"},
		{"a fault of its own", failing(cassandratest.Startup, "", 0, "you said "+probetest.Password), probe.CodeServerError, probe.PhaseProtocol, false, "0x0000"},
		{"a version refused in that version", failing(cassandratest.Options, "", 0x000A, "unsupported"), probe.CodeVersionUnsupported, probe.PhaseProtocol, false, "0x000A"},
		{"a version refused late", failing(cassandratest.Startup, "", 0x000A, "unsupported"), probe.CodeVersionUnsupported, probe.PhaseProtocol, false, "0x000A"},
		{"may not log in", failing(cassandratest.AuthResponse, "", 0x0100, "dialtone is not permitted to log in"), probe.CodeAccountLocked, probe.PhaseLogin, true, "0x0100"},
		{"the accounts are away", failing(cassandratest.AuthResponse, "", 0x0100, "Unable to perform authentication: "+away), probe.CodeServerNotReady, probe.PhaseLogin, true, "0x0100"},
		{"the accounts are away, 3.0", failing(cassandratest.AuthResponse, "", 0, "org.apache.cassandra.exceptions.UnavailableException: "+away), probe.CodeServerNotReady, probe.PhaseLogin, true, "0x0000"},
		{"overloaded at the login", failing(cassandratest.AuthResponse, "", 0x1001, "overloaded"), probe.CodeTooManyConnections, probe.PhaseLogin, true, "0x1001"},
		{"keyspace denied", failing(cassandratest.Query, "USE", 0x2100, "no"), probe.CodePermissionDenied, probe.PhaseSession, true, "0x2100"},
		{"timed out in the session", failing(cassandratest.Query, "system.local", 0x1200, "timeout"), probe.CodeServerNotReady, probe.PhaseSession, true, "0x1200"},
		{"no such table", failing(cassandratest.Query, "system.local", 0x2200, "what?"), probe.CodeServerError, probe.PhaseSession, true, "0x2200"},
		{"peers denied", failing(cassandratest.Query, "system.peers", 0x2100, "no"), probe.CodePermissionDenied, probe.PhaseSession, true, "0x2100"},
		{"nothing wrong", func(*cassandratest.Server) {}, probe.CodeOK, "", true, ""},
		{"before 4.0", func(node *cassandratest.Server) { node.Old = true }, probe.CodeOK, "", true, ""},
		{"another authenticator", func(node *cassandratest.Server) { node.Authenticator = "org.example.KerberosAuthenticator" }, probe.CodeAuthMechanism, probe.PhaseLogin, false, ""},
		{"an authenticator that asks on", func(node *cassandratest.Server) {
			node.Authenticator, node.Password = "com.scylladb.auth.SaslauthdAuthenticator", "another"
		}, probe.CodeAuthMechanism, probe.PhaseLogin, true, ""},
		{"lets everybody in", func(node *cassandratest.Server) { node.Authenticator = "" }, probe.CodeOK, "", false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			node := cluster()
			var logins atomic.Int32
			node.OnLogin = func() { logins.Add(1) }
			tc.change(node)
			s := serve(t, node)
			r := probeIt(t, permissive(), target(s))
			if r.Code != tc.code || r.Phase != tc.phase || r.LoginSent != tc.sent || r.Evidence.ServerCode != tc.number {
				t.Errorf("Run() = %s in %q, login sent %v, server's code %q; want %s in %q, %v, %q (%s)",
					r.Code, r.Phase, r.LoginSent, r.Evidence.ServerCode, tc.code, tc.phase, tc.sent, tc.number, r.Evidence.ServerText)
			}
			s.Wait(t)
			if n := s.Accepted(); n != 1 || logins.Load() > 1 {
				t.Errorf("%d connections and %d logins were made, want one and at most one", n, logins.Load())
			}
		})
	}
}

// What is missing or would be torn apart is not sent.
func TestCredentialsThatAreNotSent(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name           string
		user, password string
		code           probe.Code
	}{
		{"no user", "", "", probe.CodeAuthRequired},
		{"zero byte in the user", "a\x00b", probetest.Password, probe.CodeAuthFailed},
		{"zero byte in the password", probetest.User, "a\x00b", probe.CodeAuthFailed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			node := cluster()
			node.OnLogin = func() { t.Error("credentials were sent") }
			goal := target(serve(t, node))
			goal.User, goal.Password = tc.user, secret.New(tc.password)
			goal.BeforeLogin = func(context.Context) error { t.Error("the login hook was called"); return nil }
			if r := probeIt(t, permissive(), goal); r.Code != tc.code || r.Phase != probe.PhaseLogin || r.LoginSent {
				t.Errorf("Run() = %s in %q, login sent %v; want %s in login, false", r.Code, r.Phase, r.LoginSent, tc.code)
			}
		})
	}
}

// A keyspace is asked for as it is written, whatever is in its name.
func TestKeyspaceNames(t *testing.T) {
	t.Parallel()
	for name, known := range map[string]bool{`Mixed "Case"; --`: true, `x"; DROP KEYSPACE y; --`: false, "Upper": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := cluster()
			node.Keyspace = "upper"
			if known {
				node.Keyspace = name
			}
			goal := target(serve(t, node))
			goal.Database = name
			r := probeIt(t, permissive(), goal)
			if r.OK() != known || !known && (r.Code != probe.CodeDatabaseUnknown || r.Evidence.Facts["keyspace_has_upper_case"] != "true") {
				t.Errorf("Run() = %s, facts %v (%s)", r.Code, r.Evidence.Facts, r.Evidence.ServerText)
			}
		})
	}
}

// A server that does not speak version 4 is asked again in the one that it
// names: on the same connection, or on a second one if it has closed it.
func TestVersions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name        string
		versions    []byte
		hasty       bool
		code        probe.Code
		version     string
		connections int
	}{
		{"all", nil, false, probe.CodeOK, "4", 1},
		{"only 3", []byte{3}, false, probe.CodeOK, "3", 1},
		{"only 3, closes", []byte{1, 2, 3}, true, probe.CodeOK, "3", 2},
		{"only 5", []byte{5}, false, probe.CodeOK, "5", 1},
		{"only 5, closes", []byte{5}, true, probe.CodeOK, "5", 2},
		{"only 6", []byte{6}, false, probe.CodeVersionUnsupported, "", 1},
		{"only 2", []byte{2}, true, probe.CodeVersionUnsupported, "", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			node := cluster()
			node.Versions, node.Hasty = tc.versions, tc.hasty
			s := serve(t, node)
			r := probeIt(t, permissive(), target(s))
			if got := r.Evidence.Facts["protocol_version"]; r.Code != tc.code || got != tc.version || s.Accepted() != tc.connections {
				t.Errorf("Run() = %s by version %q on %d connections, want %s, %q, %d (%s)",
					r.Code, got, s.Accepted(), tc.code, tc.version, tc.connections, r.Evidence.ServerText)
			}
		})
	}
}

func TestVersionsOverTLS(t *testing.T) {
	t.Parallel()
	authority := probetest.NewAuthority(t)
	config := authority.Server(t, nil)
	node := cluster()
	node.Versions, node.Hasty = []byte{3}, true
	s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) { node.Serve(conn, config) })
	goal := target(s)
	goal.TLS = &probe.TLS{Certificate: authority.PEM()}
	if r := probeIt(t, cassandra.New(cassandra.Config{}), goal); !r.OK() || s.Accepted() != 2 {
		t.Errorf("Run() = %s in %q on %d connections, want ok on 2", r.Code, r.Phase, s.Accepted())
	}
}

// What the server is told of its client.
func TestClientName(t *testing.T) {
	t.Parallel()
	node, came := cluster(), make(chan map[string]string, 1)
	node.OnStartup = func(options map[string]string) { came <- options }
	if r := probeIt(t, permissive(), target(serve(t, node))); !r.OK() {
		t.Fatalf("Run() = %s", r.Code)
	}
	if diff := cmp.Diff(map[string]string{"CQL_VERSION": "3.0.0", "DRIVER_NAME": "dialtone"}, <-came); diff != "" {
		t.Errorf("STARTUP (-want +got):\n%s", diff)
	}
}

// A port that answers in TLS says so.
func TestAlertInPlainText(t *testing.T) {
	t.Parallel()
	s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
		hear(conn)
		_, _ = conn.Write([]byte{0x15, 3, 3, 0, 2, 2, 10})
		hear(conn)
	})
	if r := probeIt(t, permissive(), target(s)); r.Code != probe.CodeTLSRequired {
		t.Errorf("Run() = %s, want %s", r.Code, probe.CodeTLSRequired)
	}
}

// A server that asks for a certificate, gets none and hangs up wants one,
// whether or not its alert arrives before the reset does.
func TestClientCertificateRequired(t *testing.T) {
	t.Parallel()
	authority := probetest.NewAuthority(t)
	for _, tc := range []struct {
		name string
		auth tls.ClientAuthType
		want probe.Code
	}{
		{"reset", tls.RequestClientCert, probe.CodeTLSClientCertRequired},
		{"reset, nothing asked", tls.NoClientCert, probe.CodeConnectionLost},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			config := authority.Server(t, nil)
			config.ClientAuth = tc.auth
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
				hear(tls.Server(conn, config))
				if tcp, ok := conn.(*net.TCPConn); ok {
					_ = tcp.SetLinger(0)
				}
			})
			goal := target(s)
			goal.TLS = &probe.TLS{Certificate: authority.PEM()}
			if r := probeIt(t, permissive(), goal); r.Code != tc.want || r.LoginSent {
				t.Errorf("Run() = %s in %q, login sent %v; want %s", r.Code, r.Phase, r.LoginSent, tc.want)
			}
		})
	}
	t.Run("alert", func(t *testing.T) {
		t.Parallel()
		config := authority.Server(t, nil)
		config.ClientAuth = tls.RequireAnyClientCert
		s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) { cluster().Serve(conn, config) })
		goal := target(s)
		goal.TLS = &probe.TLS{Certificate: authority.PEM()}
		if r := probeIt(t, permissive(), goal); r.Phase != probe.PhaseTLS || r.LoginSent {
			t.Errorf("Run() = %s in %q, login sent %v", r.Code, r.Phase, r.LoginSent)
		}
	})
}

// peer is another node at an address of this machine.
func peer(s *probetest.Server, dataCenter string) cassandratest.Peer {
	return cassandratest.Peer{Peer: netip.MustParseAddr("127.0.0.1"), Native: s.Addr.Addr(), Port: s.Addr.Port(), DataCenter: dataCenter}
}

func TestTopology(t *testing.T) {
	t.Parallel()
	other := serve(t, cluster())
	foreign := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
		hear(conn)
		_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	})
	alive, wrong := peer(other, ""), peer(foreign, "")
	everywhere := alive
	everywhere.Native = netip.IPv4Unspecified()
	joining := cassandratest.Peer{Peer: alive.Peer}
	for _, tc := range []struct {
		name    string
		peers   []cassandratest.Peer
		warned  probe.Code
		facts   map[string]string
		members []probe.MemberResult
	}{
		{"none", nil, "", map[string]string{"peers": "0"}, nil},
		{"one that answers", []cassandratest.Peer{alive}, "", map[string]string{"peers": "1"}, []probe.MemberResult{
			{Address: other.Addr.String(), Role: "node", Code: probe.CodeOK, Reached: probe.PhaseProtocol},
		}},
		{"listens everywhere", []cassandratest.Peer{everywhere}, "", map[string]string{"peers": "1"}, []probe.MemberResult{
			{Address: other.Addr.String(), Role: "node", Code: probe.CodeOK, Reached: probe.PhaseProtocol},
		}},
		{"one is something else", []cassandratest.Peer{alive, wrong}, probe.CodeAdvertisedUnreachable, map[string]string{"peers": "2", "peers_unreachable": "1"}, []probe.MemberResult{
			{Address: other.Addr.String(), Role: "node", Code: probe.CodeOK, Reached: probe.PhaseProtocol},
			{Address: foreign.Addr.String(), Role: "node", Code: probe.CodeProtocolMismatch, Reached: probe.PhaseConnect},
		}},
		{"another data centre", []cassandratest.Peer{peer(foreign, "elsewhere")}, "", map[string]string{"peers": "0", "peers_elsewhere": "1"}, nil},
		{"joining", []cassandratest.Peer{joining}, "", map[string]string{"peers": "0"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			node := cluster()
			node.Peers = tc.peers
			r := probeIt(t, permissive(), target(serve(t, node)))
			if !r.OK() || r.Phases[len(r.Phases)-1].Code != tc.warned {
				t.Errorf("Run() = %s, topology %+v; want ok, %q", r.Code, r.Phases[len(r.Phases)-1], tc.warned)
			}
			facts := map[string]string{}
			for name, value := range r.Evidence.Facts {
				if strings.HasPrefix(name, "peers") {
					facts[name] = value
				}
			}
			if diff := cmp.Diff(tc.facts, facts); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.members, r.Evidence.Members); diff != "" {
				t.Errorf("members (-want +got):\n%s", diff)
			}
		})
	}
}

// Behind TLS the port is that of the node asked: the table tells only the one
// without.
func TestTopologyBehindTLS(t *testing.T) {
	t.Parallel()
	authority := probetest.NewAuthority(t)
	config := authority.Server(t, nil)
	node := cluster()
	node.Peers = []cassandratest.Peer{{Peer: netip.MustParseAddr("127.0.0.2"), Native: netip.MustParseAddr("127.0.0.1"), Port: 1}}
	s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) { node.Serve(conn, config) })
	goal := target(s)
	goal.TLS = &probe.TLS{Certificate: authority.PEM()}
	r := probeIt(t, cassandra.New(cassandra.Config{}), goal)
	want := []probe.MemberResult{{Address: s.Addr.String(), Role: "node", Code: probe.CodeOK, Reached: probe.PhaseProtocol}}
	if diff := cmp.Diff(want, r.Evidence.Members); diff != "" || !r.OK() {
		t.Errorf("Run() = %s, members (-want +got):\n%s", r.Code, diff)
	}
}

// Events that nobody asked for are passed over, but not for ever.
func TestEvents(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		events int
		code   probe.Code
	}{{"some", 16, probe.CodeOK}, {"too many", 17, probe.CodePeerAbusive}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
				_, _ = conn.Write(bytes.Repeat(cassandratest.Event(), tc.events))
				cluster().Serve(conn, nil)
			})
			if r := probeIt(t, permissive(), target(s)); r.Code != tc.code {
				t.Errorf("Run() = %s, want %s", r.Code, tc.code)
			}
		})
	}
}

// A node that a server names is dialled only where policy would let a caller.
func TestForbiddenPeer(t *testing.T) {
	t.Parallel()
	trap := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) { hear(conn) })
	node := cluster()
	node.Peers = []cassandratest.Peer{peer(trap, "")}
	seed := serve(t, node)
	runner, err := probe.NewRunner(probetest.Only(t, seed.Addr), []probe.Prober{permissive()}, probe.RunnerConfig{Timeout: probetest.Timeout})
	if err != nil {
		t.Fatal(err)
	}
	r, err := runner.Run(t.Context(), target(seed))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Evidence.Members) != 1 || r.Evidence.Members[0].Code != probe.CodeTargetNotAllowed || trap.Accepted() != 0 {
		t.Errorf("members %+v, %d connections to the forbidden one", r.Evidence.Members, trap.Accepted())
	}
}
