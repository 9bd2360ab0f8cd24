package mongodb_test

import (
	"context"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"dialtone/internal/probe"
	"dialtone/internal/probe/mongodb"
	"dialtone/internal/probe/mongodb/mongodbtest"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/secret"
)

const (
	user     = "dt_user"
	password = "pass wörd" // SASLprep leaves it as it is
	timeout  = 4 * time.Second
)

func account(mechanisms ...string) []mongodbtest.User {
	return []mongodbtest.User{{Database: "admin", Name: user, Password: password, Mechanisms: mechanisms}}
}

// at is a target at the addresses of test servers.
func at(t *testing.T, servers ...*mongodbtest.Running) probe.Target {
	t.Helper()
	target := probe.Target{Engine: probe.MongoDB, Network: "vpc", User: user, Password: secret.New(password)}
	for _, s := range servers {
		target.Addresses = append(target.Addresses, address(t, s.Addr))
	}
	return target
}

func address(t *testing.T, text string) probe.Address {
	t.Helper()
	a, err := netip.ParseAddrPort(text)
	if err != nil {
		t.Fatal(err)
	}
	return probe.Address{Host: a.Addr().String(), Port: a.Port()}
}

// test runs one test and holds the report against the rules of all.
func test(t *testing.T, target probe.Target) probe.Report {
	t.Helper()
	r, err := probetest.Runner(t, mongodb.New(mongodb.Config{}), timeout).Run(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	probetest.WellFormed(t, r)
	probetest.NoSecrets(t, target, r)
	return r
}

func TestLogin(t *testing.T) {
	t.Parallel()
	const (
		sha1, sha256 = "SCRAM-SHA-1", "SCRAM-SHA-256"
		login        = probe.PhaseLogin
	)
	wrong := func(t *probe.Target) { t.Password = secret.New("certainly-wrong-8") }
	for _, tc := range []struct {
		name      string
		server    mongodbtest.Server
		change    func(*probe.Target)
		code      probe.Code
		phase     probe.Phase
		logins    int
		mechanism string
		facts     map[string]string
	}{
		{"both mechanisms", mongodbtest.Server{Users: account()}, nil, probe.CodeOK, "", 1, sha256, nil},
		{"SHA-1 only", mongodbtest.Server{Users: account(sha1)}, nil, probe.CodeOK, "", 1, sha1, nil},
		{"SHA-256 only", mongodbtest.Server{Users: account(sha256)}, nil, probe.CodeOK, "", 1, sha256, nil},
		{"4.0", mongodbtest.Server{Users: account(), Wire: 7, Roundabout: true}, nil, probe.CodeOK, "", 1, sha256, nil},
		{"3.6", mongodbtest.Server{Users: account(sha1), Wire: 6, Roundabout: true}, nil, probe.CodeOK, "", 1, sha1, nil},
		{"3.4", mongodbtest.Server{Users: account(sha1), Wire: 5, Roundabout: true}, nil, probe.CodeOK, "", 1, sha1, nil},
		{"2.6", mongodbtest.Server{Users: account(), Wire: 2}, nil, probe.CodeVersionUnsupported, probe.PhaseProtocol, 0, "", nil},
		{"neither mechanism", mongodbtest.Server{Users: account("PLAIN", "GSSAPI")}, nil, probe.CodeAuthMechanism, login, 0, "PLAIN,GSSAPI", nil},
		{"15,000 rounds", mongodbtest.Server{Users: account(sha256), Iterations: 15000}, nil, probe.CodeOK, "", 1, sha256, nil},
		{
			"wrong password",
			mongodbtest.Server{Users: account()},
			wrong, probe.CodeAuthFailed, login, 1, sha256,
			map[string]string{"user_in_auth_database": "confirmed"},
		},
		{
			"wrong password, SHA-1",
			mongodbtest.Server{Users: account(sha1)},
			wrong, probe.CodeAuthFailed, login, 1, sha1,
			map[string]string{"user_in_auth_database": "confirmed"},
		},
		{
			"wrong password, 3.4",
			mongodbtest.Server{Users: account(), Wire: 5},
			wrong, probe.CodeAuthFailed, login, 1, sha1,
			map[string]string{"auth_database": "admin"},
		},
		{
			"another database",
			mongodbtest.Server{Users: account()},
			func(t *probe.Target) { t.Database = "shop" }, probe.CodeAuthFailed, login, 1, sha1,
			map[string]string{"auth_database": "shop", "user_in_auth_database": "not confirmed"},
		},
		{
			"the account's own database",
			mongodbtest.Server{Users: []mongodbtest.User{{Database: "shop", Name: user, Password: password}}},
			func(t *probe.Target) { t.Database = "shop" },
			probe.CodeOK, "", 1, sha256,
			map[string]string{"auth_database": "shop"},
		},
		{
			"no password",
			mongodbtest.Server{Users: account()},
			func(t *probe.Target) { t.Password = secret.Text{} },
			probe.CodeAuthRequired, login, 0, sha256, nil,
		},
		{
			"no account, and none needed",
			mongodbtest.Server{},
			func(t *probe.Target) { t.User, t.Password = "", secret.Text{} },
			probe.CodeOK, "", 0, "",
			map[string]string{"role": "standalone"},
		},
		{
			"no account, and one needed",
			mongodbtest.Server{Users: account()},
			func(t *probe.Target) { t.User, t.Password = "", secret.Text{} },
			probe.CodeAuthRequired, login, 0, "", nil,
		},
		{
			"a password that no server can have",
			mongodbtest.Server{Users: account()},
			func(t *probe.Target) { t.Password = secret.New("bell\a!") },
			probe.CodeAuthFailed, login, 1, sha256, nil,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			came := make(chan struct{}, 8)
			tc.server.OnLogin = func() { came <- struct{}{} }
			target := at(t, mongodbtest.Start(t, &tc.server))
			if tc.change != nil {
				tc.change(&target)
			}
			hook := 0
			target.BeforeLogin = func(context.Context) error { hook++; return nil }
			r := test(t, target)
			if r.Code != tc.code || r.Phase != tc.phase || r.Evidence.Mechanism != tc.mechanism {
				t.Errorf("Run() = %s in %q by %q, want %s in %q by %q (server: %s %s)", r.Code, r.Phase, r.Evidence.Mechanism,
					tc.code, tc.phase, tc.mechanism, r.Evidence.ServerCode, r.Evidence.ServerText)
			}
			if hook != tc.logins || len(came) != tc.logins {
				t.Errorf("the hook was called %d times and %d logins came, want %d", hook, len(came), tc.logins)
			}
			for name, want := range tc.facts {
				if got := r.Evidence.Facts[name]; got != want {
					t.Errorf("the fact %s = %q, want %q", name, got, want)
				}
			}
			if r.OK() && (r.Evidence.Product != "MongoDB" || r.Evidence.Version != "7.0.14") {
				t.Errorf("the server is %q %q", r.Evidence.Product, r.Evidence.Version)
			}
		})
	}
}

// TestServersThatCheat: those who do not know the password, or want too much.
func TestServersThatCheat(t *testing.T) {
	t.Parallel()
	payload := func(change func(string) string) func(bson.D) bson.D {
		return func(answer bson.D) bson.D {
			for i, e := range answer {
				if b, ok := e.Value.(bson.Binary); ok {
					answer[i].Value = bson.Binary{Data: []byte(change(string(b.Data)))}
				}
			}
			return answer
		}
	}
	always := func(text string) func(bson.D) bson.D { return payload(func(string) string { return text }) }
	without := func(name string) func(bson.D) bson.D {
		return func(answer bson.D) bson.D {
			var rest bson.D
			for _, e := range answer {
				if e.Key != name {
					rest = append(rest, e)
				}
			}
			return rest
		}
	}
	for _, tc := range []struct {
		name, command string
		change        func(bson.D) bson.D
		code          probe.Code
		phase         probe.Phase
	}{
		{"too many rounds", "saslStart", payload(func(s string) string { return s + "0000000" }), probe.CodePeerAbusive, probe.PhaseLogin},
		{"another nonce", "saslStart", always("r=elsewhere,s=c2FsdA==,i=4096"), probe.CodeProtocolMismatch, probe.PhaseLogin},
		{"no payload", "saslStart", without("payload"), probe.CodeProtocolMismatch, probe.PhaseLogin},
		{"a wrong proof", "saslContinue", always("v=d3Jvbmc="), probe.CodeProtocolMismatch, probe.PhaseLogin},
		{"no proof", "saslContinue", always(""), probe.CodeProtocolMismatch, probe.PhaseLogin},
		{"refuses in SCRAM", "saslContinue", always("e=invalid-proof"), probe.CodeAuthFailed, probe.PhaseLogin},
		{"never done", "saslContinue", without("done"), probe.CodeProtocolMismatch, probe.PhaseLogin},
		{"neither ok nor error", "buildInfo", without("ok"), probe.CodeProtocolMismatch, probe.PhaseSession},
		{"a hello without a role", "isMaster", without("ismaster"), probe.CodeProtocolMismatch, probe.PhaseProtocol},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := test(t, at(t, mongodbtest.Start(t, &mongodbtest.Server{
				Users: account(), Reply: map[string]func(bson.D) bson.D{tc.command: tc.change},
			})))
			if r.Code != tc.code || r.Phase != tc.phase {
				t.Errorf("Run() = %s in %q, want %s in %q", r.Code, r.Phase, tc.code, tc.phase)
			}
		})
	}
}

// TestServerErrors: what each error of the server's means, wherever it comes.
func TestServerErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		command string
		number  int
		code    probe.Code
		phase   probe.Phase
	}{
		{"isMaster", 13, probe.CodeAuthRequired, probe.PhaseLogin},
		{"isMaster", 91, probe.CodeServerNotReady, probe.PhaseProtocol},
		{"isMaster", 11600, probe.CodeServerNotReady, probe.PhaseProtocol},
		{"isMaster", 462, probe.CodeTooManyConnections, probe.PhaseProtocol},
		{"isMaster", 8000, probe.CodeServerError, probe.PhaseProtocol},
		{"saslStart", 18, probe.CodeAuthFailed, probe.PhaseLogin},
		{"saslStart", 11, probe.CodeAuthFailed, probe.PhaseLogin},
		{"saslStart", 334, probe.CodeAuthMechanism, probe.PhaseLogin},
		{"saslStart", 2, probe.CodeAuthMechanism, probe.PhaseLogin},
		{"saslStart", 17, probe.CodeAuthMechanism, probe.PhaseLogin},
		{"saslStart", 202, probe.CodeTooManyConnections, probe.PhaseLogin},
		{"saslStart", 133, probe.CodeServerNotReady, probe.PhaseLogin},
		{"saslContinue", 18, probe.CodeAuthFailed, probe.PhaseLogin},
		{"saslContinue", 189, probe.CodeServerNotReady, probe.PhaseLogin},
		{"saslContinue", 8000, probe.CodeServerError, probe.PhaseLogin},
		{"buildInfo", 13, probe.CodeOK, ""}, // a ping is the last word
	} {
		t.Run(tc.command+" "+strconv.Itoa(tc.number), func(t *testing.T) {
			t.Parallel()
			r := test(t, at(t, mongodbtest.Start(t, &mongodbtest.Server{
				Users: account(), Fail: map[string]mongodbtest.Failure{tc.command: {Code: tc.number, Text: "because of " + password}},
			})))
			if r.Code != tc.code || r.Phase != tc.phase {
				t.Errorf("%d on %s: Run() = %s in %q, want %s in %q", tc.number, tc.command, r.Code, r.Phase, tc.code, tc.phase)
			}
			if !r.OK() && r.Evidence.ServerText != "because of [redacted]" {
				t.Errorf("the server's text in evidence: %q", r.Evidence.ServerText)
			}
		})
	}
	t.Run("the session", func(t *testing.T) {
		t.Parallel()
		for number, want := range map[int]probe.Code{13: probe.CodePermissionDenied, 13436: probe.CodeServerNotReady, 8000: probe.CodeServerError} {
			r := test(t, at(t, mongodbtest.Start(t, &mongodbtest.Server{
				Users: account(), Fail: map[string]mongodbtest.Failure{"buildInfo": {Code: 13}, "ping": {Code: number, Text: "no"}},
			})))
			if r.Code != want {
				t.Errorf("%d on ping: Run() = %s in %q, want %s", number, r.Code, r.Phase, want)
			}
		}
	})
}

// TestClosedWithoutAWord: a server that only closes could mean several things.
func TestClosedWithoutAWord(t *testing.T) {
	t.Parallel()
	authority := probetest.NewAuthority(t)
	encrypted := mongodbtest.Start(t, &mongodbtest.Server{Users: account(), TLS: authority.Server(t, nil)})
	plain := mongodbtest.Start(t, &mongodbtest.Server{Users: account()})
	target := at(t, plain)
	target.TLS = &probe.TLS{Certificate: authority.PEM()}
	r := test(t, target)
	if want := "tls_not_supported_by_server, too_many_connections, host_not_allowed"; r.Code != probe.CodeClosedNoReply || r.Evidence.Facts["closing_may_mean"] != want {
		t.Errorf("TLS to a plain server: %s, which may mean %q; want %q", r.Code, r.Evidence.Facts["closing_may_mean"], want)
	}
	target = at(t, encrypted)
	target.TLS = &probe.TLS{Certificate: authority.PEM(), Verify: probe.VerifyFull}
	if r := test(t, target); !r.OK() || r.Evidence.TLS == nil {
		t.Errorf("TLS to a server with TLS: %s in %q", r.Code, r.Phase)
	}
}

// TestClientMetadata: the server can tell who was there.
func TestClientMetadata(t *testing.T) {
	t.Parallel()
	seen := make(chan bson.Raw, 1)
	target := at(t, mongodbtest.Start(t, &mongodbtest.Server{OnHello: func(client bson.Raw) { seen <- client }}))
	target.User = ""
	runner := probetest.Runner(t, mongodb.New(mongodb.Config{ProgramName: "dialtone-test"}), timeout)
	if r, err := runner.Run(t.Context(), target); err != nil || !r.OK() {
		t.Fatal(r.Code, err)
	}
	client := <-seen
	got := map[string]string{}
	for _, path := range [][]string{{"application", "name"}, {"driver", "name"}, {"os", "type"}} {
		got[path[0]], _ = client.Lookup(path...).StringValueOK()
	}
	want := map[string]string{"application": "dialtone-test", "driver": "dialtone", "os": "linux"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the client's description (-want +got):\n%s", diff)
	}
}
