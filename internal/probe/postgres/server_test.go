package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"dialtone/internal/probe"
	"dialtone/internal/probe/postgres"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/secret"
)

// Tests against the real PostgreSQL servers of scripts/services.

const serverTimeout = 4 * time.Second

func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	const (
		server = "POSTGRES_ADDR"
		plain  = "POSTGRES_PLAIN_ADDR"
		ca     = probe.VerifyCA
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
	}{
		{"scram", server, "dt_scram", "dt_login", "", nil, probe.CodeOK, "", 1, "SCRAM-SHA-256"},
		{"scram, default database", server, "dt_scram", "", "", nil, probe.CodeOK, "", 1, "SCRAM-SHA-256"},
		{"scram, TLS full", server, "dt_scram", "dt_login", probe.VerifyFull, nil, probe.CodeOK, "", 1, "SCRAM-SHA-256-PLUS"},
		{"scram, TLS none", server, "dt_scram", "dt_login", probe.VerifyNone, nil, probe.CodeOK, "", 1, "SCRAM-SHA-256-PLUS"},
		{"scram, server without TLS", plain, "dt_scram", "dt_login", "", nil, probe.CodeOK, "", 1, "SCRAM-SHA-256"},
		{"md5", server, "dt_md5", "dt_login", "", nil, probe.CodeOK, "", 1, "md5"},
		{"md5, TLS ca", server, "dt_md5", "dt_login", ca, nil, probe.CodeOK, "", 1, "md5"},
		{"trust", server, "dt_trust", "dt_login", "", nil, probe.CodeOK, "", 0, ""},
		{"clear, TLS ca", server, "dt_clear", "dt_login", ca, nil, probe.CodeOK, "", 1, "password"},
		{"clear, plain", server, "dt_clear", "dt_login", "", nil, probe.CodeInsecureLogin, probe.PhaseLogin, 0, "password"},
		{"clear, TLS none", server, "dt_clear", "dt_login", probe.VerifyNone, nil, probe.CodeInsecureLogin, probe.PhaseLogin, 0, "password"},
		{"wrong password", server, "dt_scram", "dt_login", "", wrong, probe.CodeAuthFailed, probe.PhaseLogin, 1, "SCRAM-SHA-256"},
		{"wrong password, md5, TLS ca", server, "dt_md5", "dt_login", ca, wrong, probe.CodeAuthFailed, probe.PhaseLogin, 1, "md5"},
		{"no password", server, "dt_scram", "dt_login", "", func(t *probe.Target) { t.Password = secret.Text{} }, probe.CodeAuthRequired, probe.PhaseLogin, 0, "SCRAM-SHA-256"},
		{"unknown user", server, "dt_nobody", "dt_login", "", nil, probe.CodeAuthFailed, probe.PhaseLogin, 1, "SCRAM-SHA-256"},
		{"expired", server, "dt_expired", "dt_login", "", nil, probe.CodeAuthFailed, probe.PhaseLogin, 1, "SCRAM-SHA-256"},
		{"may not log in", server, "dt_nologin", "dt_login", "", nil, probe.CodeAccountLocked, probe.PhaseLogin, 1, "SCRAM-SHA-256"},
		{"TLS demanded, plain", server, "dt_tls", "dt_login", "", nil, probe.CodeHostNotAllowedOrTLS, probe.PhaseProtocol, 0, ""},
		{"TLS demanded, TLS ca", server, "dt_tls", "dt_login", ca, nil, probe.CodeOK, "", 1, "SCRAM-SHA-256-PLUS"},
		{"rejected, plain", server, "dt_rejected", "dt_login", "", nil, probe.CodeHostNotAllowedOrTLS, probe.PhaseProtocol, 0, ""},
		{"rejected, TLS ca", server, "dt_rejected", "dt_login", ca, nil, probe.CodeHostNotAllowed, probe.PhaseProtocol, 0, ""},
		{"no entry, plain", server, "dt_limit", "dt_nohba", "", nil, probe.CodeHostNotAllowedOrTLS, probe.PhaseProtocol, 0, ""},
		{"no entry, TLS ca", server, "dt_limit", "dt_nohba", ca, nil, probe.CodeHostNotAllowed, probe.PhaseProtocol, 0, ""},
		{"client certificate demanded", server, "dt_cert", "dt_login", ca, nil, probe.CodeTLSClientCertRequired, probe.PhaseTLS, 0, ""},
		{"client certificate shown", server, "dt_cert", "dt_login", ca, func(target *probe.Target) {
			target.TLS.Certificate = clientOf(t, target.TLS.Certificate, "client")
		}, probe.CodeOK, "", 0, ""},
		{"client certificate of another authority", server, "dt_cert", "dt_login", ca, func(target *probe.Target) {
			target.TLS.Certificate = clientOf(t, target.TLS.Certificate, "rogue-client")
		}, probe.CodeTLSClientCertRejected, probe.PhaseTLS, 0, ""},
		{"GSSAPI demanded", server, "dt_gss", "dt_login", "", nil, probe.CodeAuthMechanism, probe.PhaseLogin, 0, "gssapi"},
		{"the account is full", server, "dt_limit", "dt_login", "", nil, probe.CodeTooManyConnections, probe.PhaseSession, 1, "SCRAM-SHA-256"},
		{"the database is full", server, "dt_scram", "dt_full", "", nil, probe.CodeTooManyConnections, probe.PhaseSession, 1, "SCRAM-SHA-256"},
		{"unknown database", server, "dt_scram", "dt_nowhere", "", nil, probe.CodeDatabaseUnknown, probe.PhaseSession, 1, "SCRAM-SHA-256"},
		{"closed database", server, "dt_scram", "dt_closed", "", nil, probe.CodeDatabaseUnavailable, probe.PhaseSession, 1, "SCRAM-SHA-256"},
		{"no right on the database", server, "dt_scram", "dt_private", "", nil, probe.CodePermissionDenied, probe.PhaseSession, 1, "SCRAM-SHA-256"},
		{"TLS not offered", plain, "dt_scram", "dt_login", ca, nil, probe.CodeTLSNotSupported, probe.PhaseTLS, 0, ""},
		{"another authority", server, "dt_scram", "dt_login", ca, func(target *probe.Target) {
			target.TLS.Certificate = probetest.Certificate(t, "rogue-ca.pem")
		}, probe.CodeTLSUntrusted, probe.PhaseTLS, 0, ""},
		{"MySQL", "MARIADB_ADDR", "dt_scram", "dt_login", "", nil, probe.CodeProtocolMismatch, probe.PhaseProtocol, 0, ""},
		{"MySQL, TLS ca", "MARIADB_ADDR", "dt_scram", "dt_login", ca, nil, probe.CodeProtocolMismatch, probe.PhaseProtocol, 0, ""},
		{"MySQL that is full", "MARIADB_FULL_ADDR", "dt_scram", "dt_login", "", nil, probe.CodeProtocolMismatch, probe.PhaseProtocol, 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			target := probetest.RealTarget(t, probe.PostgreSQL, tc.addr, tc.user, tc.database, tc.mode)
			if tc.change != nil {
				tc.change(&target)
			}
			logins := 0
			target.BeforeLogin = func(context.Context) error { logins++; return nil }
			r, err := probetest.Runner(t, postgres.New(postgres.Config{}), serverTimeout).Run(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			if r.Code != tc.code || r.Phase != tc.phase || logins != tc.logins || r.Evidence.Mechanism != tc.mechanism {
				t.Errorf("Run() = %s in %q after %d logins by %q, want %s in %q after %d by %q (server: %s %s)",
					r.Code, r.Phase, logins, r.Evidence.Mechanism, tc.code, tc.phase, tc.logins, tc.mechanism, r.Evidence.ServerCode, r.Evidence.ServerText)
			}
			if tc.code == probe.CodeOK && (r.Evidence.Product != "PostgreSQL" || r.Evidence.Version == "") {
				t.Errorf("the server is %q %q", r.Evidence.Product, r.Evidence.Version)
			}
			if tc.code == probe.CodeProtocolMismatch && r.Evidence.LooksLike != "mysql" {
				t.Errorf("it looks like %q", r.Evidence.LooksLike)
			}
			probetest.WellFormed(t, r)
			probetest.NoSecrets(t, target, r)
		})
	}
}

// clientOf is an authority and a client's certificate with its key.
func clientOf(t *testing.T, authority secret.Text, name string) secret.Text {
	t.Helper()
	return secret.New(authority.Reveal() + probetest.Certificate(t, name+".pem").Reveal() + probetest.Certificate(t, name+".key").Reveal())
}

// Fifty good tests are fifty sessions, and none of them counts as abandoned:
// the server has heard every goodbye. Others may use the database meanwhile, so
// one undisturbed round of three is enough.
func TestPostgreSQLSeesCleanSessions(t *testing.T) { //nolint:paralleltest // it reads the server's counters
	admin, err := pgconn.Connect(t.Context(), probetest.Need(t, "POSTGRES_PLAIN_DSN"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(context.Background()) }()
	const tests = 50
	runner := probetest.Runner(t, postgres.New(postgres.Config{}), serverTimeout)
	var seen [][2]int
	for range 3 {
		before := sessions(t, admin)
		for i := range tests {
			target := probetest.RealTarget(t, probe.PostgreSQL, "POSTGRES_PLAIN_ADDR", "dt_scram", "dt_login", "")
			if r, err := runner.Run(t.Context(), target); err != nil || !r.OK() {
				t.Fatalf("test %d: %s, %v", i, r.Code, err)
			}
		}
		var delta [2]int
		// The server adds a session up when it has ended.
		for deadline := time.Now().Add(3 * time.Second); delta[0] < tests && time.Now().Before(deadline); {
			after := sessions(t, admin)
			delta = [2]int{after[0] - before[0], after[1] - before[1]}
		}
		if delta == [2]int{tests, 0} {
			return
		}
		seen = append(seen, delta)
	}
	t.Errorf("%d good tests were sessions and broken sessions %v, want %d and 0", tests, seen, tests)
}

// sessions reads how many sessions there were, and how many ended without a
// goodbye.
func sessions(t *testing.T, admin *pgconn.PgConn) [2]int {
	t.Helper()
	result := admin.ExecParams(t.Context(),
		"select sessions, sessions_abandoned + sessions_fatal from pg_stat_database where datname = 'dt_login'", nil, nil, nil, nil).Read()
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	var values [2]int
	for i := range values {
		for _, digit := range result.Rows[0][i] {
			values[i] = values[i]*10 + int(digit-'0')
		}
	}
	return values
}

func BenchmarkPostgreSQL(b *testing.B) {
	b.Run("probe", func(b *testing.B) {
		target := probetest.RealTarget(b, probe.PostgreSQL, "POSTGRES_PLAIN_ADDR", "dt_scram", "dt_login", "")
		runner := probetest.Runner(b, postgres.New(postgres.Config{}), serverTimeout)
		b.ReportAllocs()
		for b.Loop() {
			if r, err := runner.Run(b.Context(), target); err != nil || !r.OK() {
				b.Fatal(r.Code, err)
			}
		}
	})
	b.Run("driver", func(b *testing.B) {
		c, err := pgconn.ParseConfig(probetest.Need(b, "POSTGRES_PLAIN_DSN"))
		if err != nil {
			b.Fatal(err)
		}
		c.User, c.Database = "dt_scram", "dt_login"
		b.ReportAllocs()
		for b.Loop() {
			conn, err := pgconn.ConnectConfig(b.Context(), c)
			if err != nil {
				b.Fatal(err)
			}
			if err := conn.Ping(b.Context()); err != nil {
				b.Fatal(err)
			}
			_ = conn.Close(b.Context())
		}
	})
}
