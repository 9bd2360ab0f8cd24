package redis_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/probe"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/probe/redis"
	"dialtone/internal/secret"
)

// Tests against the real servers of scripts/services.

const serverTimeout = 4 * time.Second

// lenient lets a password go to a server in plain text.
var lenient = redis.Config{AllowRecoverable: true}

func run(tb testing.TB, cfg redis.Config, target probe.Target, timeout time.Duration) probe.Report {
	tb.Helper()
	r, err := probetest.Runner(tb, redis.New(cfg), timeout).Run(tb.Context(), target)
	if err != nil {
		tb.Fatal(err)
	}
	probetest.WellFormed(tb, r)
	probetest.NoSecrets(tb, target, r)
	return r
}

func TestRedis(t *testing.T) {
	t.Parallel()
	const (
		plain    = "REDIS_ADDR"
		acl      = "REDIS_ACL_ADDR"
		tls      = "REDIS_TLS_ADDR"
		password = "REDIS_PASSWORD_ADDR"
	)
	nothing := func(t *probe.Target) { t.Password = secret.Text{} }
	wrong := func(t *probe.Target) { t.Password = secret.New("certainly-wrong-8") }
	alone := map[string]string{"redis_mode": "standalone", "role": "master"}
	open := map[string]string{"redis_mode": "standalone", "role": "master", "login_needed": "false"}
	for _, tc := range []struct {
		name, addr, user, database string
		mode                       probe.Verify
		change                     func(*probe.Target)
		code                       probe.Code
		phase                      probe.Phase
		logins                     int
		facts                      map[string]string
	}{
		{"no password", plain, "", "", "", nothing, probe.CodeOK, "", 0, open},
		{"no password, database", plain, "", "15", "", nothing, probe.CodeOK, "", 0, open},
		{"no password, no such database", plain, "", "16", "", nothing, probe.CodeDatabaseUnknown, probe.PhaseSession, 0, open},
		{"no password, a name for a database", plain, "", "shop", "", nothing, probe.CodeDatabaseUnknown, probe.PhaseSession, 0, open},
		{"a password where none is", plain, "", "", "", nil, probe.CodeAuthNotEnabled, probe.PhaseLogin, 1, map[string]string{"redis_mode": "standalone", "login_needed": "false"}},
		{"the default user, who takes any", plain, "default", "", "", nil, probe.CodeOK, "", 1, open},
		{"a user where none is", plain, "dt_login", "", "", nil, probe.CodeAuthFailed, probe.PhaseLogin, 1, map[string]string{"redis_mode": "standalone", "login_needed": "false"}},
		{"as gaussredis", plain, "", "", "", func(t *probe.Target) { nothing(t); t.Engine = probe.GaussRedis }, probe.CodeOK, "", 0, open},
		{"requirepass", password, "", "3", "", nil, probe.CodeOK, "", 1, alone},
		{"requirepass, as the default user", password, "default", "", "", nil, probe.CodeOK, "", 1, alone},
		{"requirepass, wrong", password, "", "", "", wrong, probe.CodeAuthFailed, probe.PhaseLogin, 1, nil},
		{"requirepass, nothing given", password, "", "", "", nothing, probe.CodeAuthRequired, probe.PhaseLogin, 0, nil},
		{"ACL", acl, "dt_login", "0", "", nil, probe.CodeOK, "", 1, alone},
		{"ACL, wrong password", acl, "dt_login", "", "", wrong, probe.CodeAuthFailed, probe.PhaseLogin, 1, nil},
		{"ACL, unknown user", acl, "dt_nobody", "", "", nil, probe.CodeAuthFailed, probe.PhaseLogin, 1, nil},
		{"ACL, disabled user", acl, "dt_off", "", "", nil, probe.CodeAuthFailed, probe.PhaseLogin, 1, nil},
		{"ACL, user left out", acl, "", "", "", nil, probe.CodeAuthFailed, probe.PhaseLogin, 1, nil},
		{"ACL, a user who needs no password", acl, "dt_nopass", "", "", nothing, probe.CodeOK, "", 1, alone},
		{"ACL, no PING", acl, "dt_noperm", "", "", nil, probe.CodePermissionDenied, probe.PhaseSession, 1, nil},
		{"ACL, no INFO", acl, "dt_noinfo", "", "", nil, probe.CodeOK, "", 1, map[string]string{"info": "forbidden"}},
		{"TLS full", tls, "dt_login", "", probe.VerifyFull, nil, probe.CodeOK, "", 1, map[string]string{"client_certificate": "requested", "redis_mode": "standalone", "role": "master"}},
		{"TLS ca", tls, "dt_login", "", probe.VerifyCA, nil, probe.CodeOK, "", 1, map[string]string{"client_certificate": "requested", "redis_mode": "standalone", "role": "master"}},
		{"TLS, wrong password", tls, "dt_login", "", probe.VerifyCA, wrong, probe.CodeAuthFailed, probe.PhaseLogin, 1, map[string]string{"client_certificate": "requested"}},
		{"TLS, another authority", tls, "dt_login", "", probe.VerifyCA, func(target *probe.Target) {
			target.TLS.Certificate = probetest.Certificate(t, "rogue-ca.pem")
		}, probe.CodeTLSUntrusted, probe.PhaseTLS, 0, nil},
		{"TLS not offered", plain, "", "", probe.VerifyCA, nil, probe.CodeTLSNotSupported, probe.PhaseTLS, 0, nil},
		{"TLS not offered, password", password, "", "", probe.VerifyCA, nil, probe.CodeTLSNotSupported, probe.PhaseTLS, 0, nil},
		{"TLS demanded", tls, "dt_login", "", "", nil, probe.CodeTLSRequired, probe.PhaseTLS, 0, nil},
		{"client certificate demanded", "REDIS_MTLS_ADDR", "dt_login", "", probe.VerifyCA, nil, probe.CodeTLSClientCertRequired, probe.PhaseTLS, 0, map[string]string{"client_certificate": "requested"}},
		{"full", "REDIS_FULL_ADDR", "", "", "", nothing, probe.CodeTooManyConnections, probe.PhaseProtocol, 0, nil},
		{"loading", "REDIS_LOADING_ADDR", "", "", "", nothing, probe.CodeServerNotReady, probe.PhaseProtocol, 0, nil},
		{"without its master", "REDIS_ORPHAN_ADDR", "", "", "", nothing, probe.CodeServerNotReady, probe.PhaseProtocol, 0, nil},
		{"a replica", "REDIS_REPLICA_ADDR", "", "", "", nothing, probe.CodeOK, "", 0, map[string]string{
			"redis_mode": "standalone", "role": "replica", "master_link": "up", "login_needed": "false",
		}},
		{"a single server, as rediscluster", plain, "", "", "", func(t *probe.Target) { nothing(t); t.Engine = probe.RedisCluster }, probe.CodeTopologyMismatch, probe.PhaseTopology, 0, open},
		{"a cluster that serves nothing", "REDIS_DOWN_ADDR", "", "", "", func(t *probe.Target) { nothing(t); t.Engine = probe.RedisCluster }, probe.CodeDatabaseUnavailable, probe.PhaseSession, 0, map[string]string{
			"redis_mode": "cluster", "role": "master", "login_needed": "false", "cluster_state": "fail", "cluster_slots": "0", "cluster_nodes": "0",
		}},
		// It hangs up on what it cannot read, without a word.
		{"PostgreSQL", "POSTGRES_ADDR", "", "", "", nothing, probe.CodeClosedNoReply, probe.PhaseProtocol, 0, nil},
		{"MariaDB", "MARIADB_PLAIN_ADDR", "", "", "", nothing, probe.CodeProtocolMismatch, probe.PhaseProtocol, 0, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			target := probetest.RealTarget(t, probe.Redis, tc.addr, tc.user, tc.database, tc.mode)
			if tc.change != nil {
				tc.change(&target)
			}
			logins := 0
			target.BeforeLogin = func(context.Context) error { logins++; return nil }
			r := run(t, lenient, target, serverTimeout)
			if r.Code != tc.code || r.Phase != tc.phase || logins != tc.logins {
				t.Errorf("Run() = %s in %q after %d logins, want %s in %q after %d (server: %s %s)",
					r.Code, r.Phase, logins, tc.code, tc.phase, tc.logins, r.Evidence.ServerCode, r.Evidence.ServerText)
			}
			if diff := cmp.Diff(tc.facts, r.Evidence.Facts); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
			if e := r.Evidence; r.OK() && tc.facts["info"] == "" && (e.Product != "Redis" || !strings.HasPrefix(e.Version, "7.")) {
				t.Errorf("the server is %q %q", e.Product, e.Version)
			}
		})
	}
}

// Without permission no password goes out in plain text, and everything up to
// the login is known.
func TestRedisKeepsThePassword(t *testing.T) {
	t.Parallel()
	for mode, want := range map[probe.Verify]probe.Code{
		probe.VerifyNone: probe.CodeInsecureLogin, probe.VerifyCA: probe.CodeOK,
	} {
		target := probetest.RealTarget(t, probe.Redis, "REDIS_TLS_ADDR", "dt_login", "", mode)
		if r := run(t, redis.Config{}, target, serverTimeout); r.Code != want || r.LoginSent != r.OK() {
			t.Errorf("TLS %s: Run() = %s in %q, login sent %v; want %s", mode, r.Code, r.Phase, r.LoginSent, want)
		}
	}
	target := probetest.RealTarget(t, probe.Redis, "REDIS_PASSWORD_ADDR", "", "", "")
	if r := run(t, redis.Config{}, target, serverTimeout); r.Code != probe.CodeInsecureLogin || r.Phase != probe.PhaseLogin || r.LoginSent {
		t.Errorf("plain: Run() = %s in %q, login sent %v; want %s", r.Code, r.Phase, r.LoginSent, probe.CodeInsecureLogin)
	}
}

func TestSentinelIsNoRedis(t *testing.T) {
	t.Parallel()
	target := clusterTarget(t, "REDIS_SENTINEL_ADDRS")
	target.Engine, target.Password = probe.Redis, secret.New("not for a sentinel")
	r := run(t, lenient, target, serverTimeout)
	if r.Code != probe.CodeProtocolMismatch || r.Phase != probe.PhaseProtocol || r.Evidence.LooksLike != "redis sentinel" || r.LoginSent {
		t.Errorf("Run() = %s in %q, looks like %q, login sent %v", r.Code, r.Phase, r.Evidence.LooksLike, r.LoginSent)
	}
}

// clusterTarget is a list of addresses of scripts/services.
func clusterTarget(tb testing.TB, name string) probe.Target {
	tb.Helper()
	target := probe.Target{Engine: probe.RedisCluster, Network: "vpc"}
	for text := range strings.SplitSeq(probetest.Need(tb, name), ",") {
		addr := netip.MustParseAddrPort(text)
		target.Addresses = append(target.Addresses, probe.Address{Host: addr.Addr().String(), Port: addr.Port()})
	}
	return target
}

func TestCluster(t *testing.T) {
	t.Parallel()
	all := clusterTarget(t, "REDIS_CLUSTER_ADDRS")
	one := all
	one.Addresses = all.Addresses[:1]
	for _, tc := range []struct {
		name    string
		target  probe.Target
		engine  probe.Engine
		policy  []probe.Address // nil: all are allowed
		code    probe.Code
		members map[probe.Code]int
		strict  bool
	}{
		{"all listed", all, probe.RedisCluster, nil, probe.CodeOK, map[probe.Code]int{probe.CodeOK: 2}, true},
		{"one listed", one, probe.RedisCluster, nil, probe.CodeOK, map[probe.Code]int{probe.CodeOK: 2}, true},
		{"as gaussredis", one, probe.GaussRedis, nil, probe.CodeOK, map[probe.Code]int{probe.CodeOK: 2}, true},
		{"as redis", one, probe.Redis, nil, probe.CodeTopologyMismatch, nil, false},
		{"others are forbidden", one, probe.RedisCluster, all.Addresses[:1], probe.CodeTargetNotAllowed, map[probe.Code]int{probe.CodeTargetNotAllowed: 2}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			policy := probetest.Policy(t)
			if tc.policy != nil {
				var allowed []netip.AddrPort
				for _, a := range tc.policy {
					allowed = append(allowed, netip.MustParseAddrPort(a.String()))
				}
				policy = probetest.Only(t, allowed...)
			}
			runner, err := probe.NewRunner(policy, []probe.Prober{redis.New(redis.Config{})}, probe.RunnerConfig{Timeout: serverTimeout})
			if err != nil {
				t.Fatal(err)
			}
			target := tc.target
			target.Engine = tc.engine
			r, err := runner.Run(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			probetest.WellFormed(t, r)
			var members map[probe.Code]int
			for _, m := range r.Evidence.Members {
				if members == nil {
					members = map[probe.Code]int{}
				}
				members[m.Code]++
			}
			if diff := cmp.Diff(tc.members, members); diff != "" || r.Code != tc.code || r.Strict != tc.strict || (r.OK() != (r.Phase == "")) || (!r.OK() && r.Phase != probe.PhaseTopology) {
				t.Errorf("Run() = %s in %q, strict %v; want %s, strict %v; members (-want +got):\n%s", r.Code, r.Phase, r.Strict, tc.code, tc.strict, diff)
			}
		})
	}
}

func BenchmarkRedis(b *testing.B) {
	for name, target := range map[string]probe.Target{
		"open":  probetest.RealTarget(b, probe.Redis, "REDIS_ADDR", "default", "", ""),
		"plain": probetest.RealTarget(b, probe.Redis, "REDIS_PASSWORD_ADDR", "", "", ""),
		"tls":   probetest.RealTarget(b, probe.Redis, "REDIS_TLS_ADDR", "dt_login", "", probe.VerifyCA),
	} {
		b.Run(name, func(b *testing.B) {
			runner := probetest.Runner(b, redis.New(lenient), serverTimeout)
			b.ReportAllocs()
			for b.Loop() {
				if r, err := runner.Run(b.Context(), target); err != nil || !r.OK() {
					b.Fatal(r.Code, err)
				}
			}
		})
	}
}
