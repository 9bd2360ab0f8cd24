package mongodb_test

import (
	"context"
	"strings"
	"testing"

	"dialtone/internal/probe"
	"dialtone/internal/probe/mongodb"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/secret"
)

// Tests against the FerretDB of scripts/services, which calls itself a replica
// set of one: the plain address.

func TestFerretDB(t *testing.T) {
	t.Parallel()
	const (
		server    = "MONGODB_ADDR"
		encrypted = "MONGODB_TLS_ADDR"
		mutual    = "MONGODB_MTLS_ADDR"
		ca        = probe.VerifyCA
		sha1      = "SCRAM-SHA-1"
		sha256    = "SCRAM-SHA-256"
	)
	wrong := func(t *probe.Target) { t.Password = secret.New("certainly-wrong-8") }
	for _, tc := range []struct {
		name, addr, user, database string
		mode                       probe.Verify
		change                     func(*probe.Target)
		code                       probe.Code
		phase                      probe.Phase
		logins                     int
		mechanism                  string
		warnings                   string
	}{
		{"both mechanisms", server, "dt_both", "", "", nil, probe.CodeOK, "", 1, sha256, ""},
		{"SHA-256", server, "dt_sha256", "admin", "", nil, probe.CodeOK, "", 1, sha256, ""},
		{"SHA-1", server, "dt_sha1", "admin", "", nil, probe.CodeOK, "", 1, sha1, ""},
		{"an account of another database", server, "dt_app", "dt_login", "", nil, probe.CodeOK, "", 1, sha256, ""},
		{"that account looked for in admin", server, "dt_app", "", "", nil, probe.CodeAuthFailed, probe.PhaseLogin, 1, sha1, ""},
		{"wrong password", server, "dt_sha256", "", "", wrong, probe.CodeAuthFailed, probe.PhaseLogin, 1, sha256, ""},
		{"wrong password, SHA-1", server, "dt_sha1", "", "", wrong, probe.CodeAuthFailed, probe.PhaseLogin, 1, sha1, ""},
		{"unknown user", server, "dt_nobody", "", "", nil, probe.CodeAuthFailed, probe.PhaseLogin, 1, sha1, ""},
		{"no user", server, "", "", "", nil, probe.CodeAuthRequired, probe.PhaseLogin, 0, "", ""},
		// The member's own address is the plain one, where TLS leads nowhere.
		{"TLS full", encrypted, "dt_sha256", "", probe.VerifyFull, nil, probe.CodeOK, "", 1, sha256, "advertised_unreachable"},
		{"TLS none", encrypted, "dt_sha1", "", probe.VerifyNone, nil, probe.CodeOK, "", 1, sha1, "advertised_unreachable"},
		{"wrong password, TLS ca", encrypted, "dt_sha256", "", ca, wrong, probe.CodeAuthFailed, probe.PhaseLogin, 1, sha256, ""},
		{"another authority", encrypted, "dt_sha256", "", ca, func(target *probe.Target) {
			target.TLS.Certificate = probetest.Certificate(t, "rogue-ca.pem")
		}, probe.CodeTLSUntrusted, probe.PhaseTLS, 0, "", ""},
		{"plain to TLS", encrypted, "dt_sha256", "", "", nil, probe.CodeClosedNoReply, probe.PhaseProtocol, 0, "", ""},
		{"TLS to plain", server, "dt_sha256", "", ca, nil, probe.CodeClosedNoReply, probe.PhaseProtocol, 0, "", ""},
		{"no client certificate", mutual, "dt_sha256", "", ca, nil, probe.CodeTLSClientCertRequired, probe.PhaseTLS, 0, "", ""},
		{"PostgreSQL", "POSTGRES_ADDR", "dt_sha256", "", "", nil, probe.CodeClosedNoReply, probe.PhaseProtocol, 0, "", ""},
		{"MySQL", "MARIADB_ADDR", "dt_sha256", "", "", nil, probe.CodeProtocolMismatch, probe.PhaseProtocol, 0, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			target := probetest.RealTarget(t, probe.MongoDB, tc.addr, tc.user, tc.database, tc.mode)
			if tc.change != nil {
				tc.change(&target)
			}
			logins := 0
			target.BeforeLogin = func(context.Context) error { logins++; return nil }
			r := test(t, target)
			if r.Code != tc.code || r.Phase != tc.phase || logins != tc.logins || r.Evidence.Mechanism != tc.mechanism {
				t.Errorf("Run() = %s in %q after %d logins by %q, want %s in %q after %d by %q (server: %s %s)",
					r.Code, r.Phase, logins, r.Evidence.Mechanism, tc.code, tc.phase, tc.logins, tc.mechanism, r.Evidence.ServerCode, r.Evidence.ServerText)
			}
			if tc.code == probe.CodeOK && (r.Evidence.Product != "FerretDB" || !strings.HasPrefix(r.Evidence.Version, "v1.24") ||
				r.Evidence.Facts["replica_set"] != "dialtone" || r.Evidence.Facts["role"] != "primary") {
				t.Errorf("the server is %q %q, %v", r.Evidence.Product, r.Evidence.Version, r.Evidence.Facts)
			}
			var warnings []string
			for _, w := range r.Evidence.Warnings {
				warnings = append(warnings, string(w))
			}
			if got := strings.Join(warnings, " "); got != tc.warnings {
				t.Errorf("warnings %q, want %q; members %v", got, tc.warnings, r.Evidence.Members)
			}
		})
	}
}

func BenchmarkFerretDB(b *testing.B) {
	for _, tc := range []struct{ name, user string }{{"SHA-256", "dt_sha256"}, {"SHA-1", "dt_sha1"}} {
		b.Run(tc.name, func(b *testing.B) {
			target := probetest.RealTarget(b, probe.MongoDB, "MONGODB_ADDR", tc.user, "", "")
			runner := probetest.Runner(b, mongodb.New(mongodb.Config{}), timeout)
			b.ReportAllocs()
			for b.Loop() {
				if r, err := runner.Run(b.Context(), target); err != nil || !r.OK() {
					b.Fatal(r.Code, err)
				}
			}
		})
	}
}
