package mysql_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"testing"
	"time"

	driverpkg "github.com/go-sql-driver/mysql"

	"dialtone/internal/probe"
	"dialtone/internal/probe/mysql"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/secret"
)

// Tests against the real MariaDB servers of scripts/services.

const serverTimeout = 4 * time.Second

func TestMariaDB(t *testing.T) {
	t.Parallel()
	const (
		mariadb = "MARIADB_ADDR"
		schema  = "dt_login"
	)
	wrong := func(t *probe.Target) { t.Password = secret.New("certainly-wrong-8") }
	for _, tc := range []struct {
		name, addr, user, database string
		mode                       probe.Verify
		change                     func(*probe.Target)
		code                       probe.Code
		phase                      probe.Phase
		logins                     int
	}{
		{"native", mariadb, "dt_native", schema, "", nil, probe.CodeOK, "", 1},
		{"native without database", mariadb, "dt_native", "", "", nil, probe.CodeOK, "", 1},
		{"native, TLS full", mariadb, "dt_native", schema, probe.VerifyFull, nil, probe.CodeOK, "", 1},
		{"native, TLS ca", mariadb, "dt_native", schema, probe.VerifyCA, nil, probe.CodeOK, "", 1},
		{"native, TLS none", mariadb, "dt_native", schema, probe.VerifyNone, nil, probe.CodeOK, "", 1},
		{"ed25519", mariadb, "dt_ed25519", "", "", nil, probe.CodeOK, "", 1},
		{"ed25519, TLS ca", mariadb, "dt_ed25519", "", probe.VerifyCA, nil, probe.CodeOK, "", 1},
		{"ed25519, TLS none", mariadb, "dt_ed25519", "", probe.VerifyNone, nil, probe.CodeOK, "", 1},
		{"as taurus", mariadb, "dt_native", schema, "", func(t *probe.Target) { t.Engine = probe.Taurus }, probe.CodeOK, "", 1},
		{"wrong password", mariadb, "dt_native", schema, "", wrong, probe.CodeAuthFailed, probe.PhaseLogin, 1},
		{"wrong password, TLS ca", mariadb, "dt_native", schema, probe.VerifyCA, wrong, probe.CodeAuthFailed, probe.PhaseLogin, 1},
		{"wrong password, TLS none", mariadb, "dt_native", schema, probe.VerifyNone, wrong, probe.CodeAuthFailed, probe.PhaseLogin, 1},
		{"unknown user", mariadb, "dt_nobody", schema, "", nil, probe.CodeAuthFailed, probe.PhaseLogin, 1},
		{"TLS demanded, plain", mariadb, "dt_ssl", "", "", nil, probe.CodeAuthFailed, probe.PhaseLogin, 1},
		{"TLS demanded, TLS ca", mariadb, "dt_ssl", "", probe.VerifyCA, nil, probe.CodeOK, "", 1},
		{"client certificate demanded", mariadb, "dt_x509", "", probe.VerifyCA, nil, probe.CodeAuthFailed, probe.PhaseLogin, 1},
		{"locked", mariadb, "dt_locked", "", "", nil, probe.CodeAccountLocked, probe.PhaseLogin, 1},
		{"expired", mariadb, "dt_expired", "", "", nil, probe.CodePasswordExpired, probe.PhaseLogin, 1},
		{"no right on the database", mariadb, "dt_nodb", schema, "", nil, probe.CodePermissionDenied, probe.PhaseSession, 1},
		{"unknown database", mariadb, "dialtone", "dt_nowhere", "", nil, probe.CodeDatabaseUnknown, probe.PhaseSession, 1},
		{"unknown database, TLS none", mariadb, "dialtone", "dt_nowhere", probe.VerifyNone, nil, probe.CodeDatabaseUnknown, probe.PhaseSession, 1},
		{"full", "MARIADB_FULL_ADDR", "dt_native", "", "", nil, probe.CodeTooManyConnections, probe.PhaseProtocol, 0},
		{"full, TLS ca", "MARIADB_FULL_ADDR", "dt_native", "", probe.VerifyCA, nil, probe.CodeTooManyConnections, probe.PhaseProtocol, 0},
		{"our host is not welcome", "MARIADB_DENY_ADDR", "dt_native", "", "", nil, probe.CodeHostNotAllowed, probe.PhaseProtocol, 0},
		{"TLS not offered", "MARIADB_PLAIN_ADDR", "dt_native", "", probe.VerifyCA, nil, probe.CodeTLSNotSupported, probe.PhaseTLS, 0},
		{"another authority", mariadb, "dt_native", "", probe.VerifyCA, func(target *probe.Target) {
			target.TLS.Certificate = probetest.Certificate(t, "rogue-ca.pem")
		}, probe.CodeTLSUntrusted, probe.PhaseTLS, 0},
		{"PostgreSQL", "POSTGRES_ADDR", "dt_native", "", "", nil, probe.CodeProtocolMismatch, probe.PhaseProtocol, 0},
		{"PostgreSQL, TLS ca", "POSTGRES_ADDR", "dt_native", "", probe.VerifyCA, nil, probe.CodeProtocolMismatch, probe.PhaseProtocol, 0},
		{"PostgreSQL without TLS", "POSTGRES_PLAIN_ADDR", "dt_native", "", "", nil, probe.CodeProtocolMismatch, probe.PhaseProtocol, 0},
		{"Redis", "REDIS_ADDR", "dt_native", "", "", nil, probe.CodeTimeoutNoReply, probe.PhaseProtocol, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			target := probetest.RealTarget(t, probe.MySQL, tc.addr, tc.user, tc.database, tc.mode)
			if tc.change != nil {
				tc.change(&target)
			}
			logins := 0
			target.BeforeLogin = func(context.Context) error { logins++; return nil }
			timeout := serverTimeout
			if tc.code == probe.CodeProtocolMismatch || tc.code == probe.CodeTimeoutNoReply {
				timeout /= 2 // these use most of it
			}
			r, err := probetest.Runner(t, mysql.New(mysql.Config{}), timeout).Run(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			if r.Code != tc.code || r.Phase != tc.phase || logins != tc.logins {
				t.Errorf("Run() = %s in %q after %d logins, want %s in %q after %d (server: %s %s)",
					r.Code, r.Phase, logins, tc.code, tc.phase, tc.logins, r.Evidence.ServerCode, r.Evidence.ServerText)
			}
			if e := r.Evidence; tc.code == probe.CodeOK && (e.Product != "MariaDB" || e.Version == "" || e.Mechanism == "") {
				t.Errorf("the server is %q %q, the login by %q", e.Product, e.Version, e.Mechanism)
			}
			if tc.code == probe.CodeProtocolMismatch && r.Evidence.LooksLike != "postgresql" {
				t.Errorf("it looks like %q", r.Evidence.LooksLike)
			}
			probetest.WellFormed(t, r)
			probetest.NoSecrets(t, target, r)
		})
	}
}

// The server has the same words for both; the fact says that TLS may be meant.
func TestMariaDBHintsAtTLS(t *testing.T) {
	t.Parallel()
	for mode, want := range map[probe.Verify]string{"": "true", probe.VerifyCA: ""} {
		target := probetest.RealTarget(t, probe.MySQL, "MARIADB_ADDR", "dt_ssl", "", mode)
		target.Password = secret.New("certainly-wrong-8")
		r, err := probetest.Runner(t, mysql.New(mysql.Config{}), serverTimeout).Run(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Evidence.Facts["account_may_require_tls"]; got != want || r.Code != probe.CodeAuthFailed {
			t.Errorf("mode %q: %s with account_may_require_tls = %q, want %q", mode, r.Code, got, want)
		}
	}
}

// Fifty good tests are fifty connections, and none of them counts as broken
// off: the server has heard every goodbye. Others may use the server meanwhile,
// so one undisturbed round of three is enough.
func TestMariaDBSeesCleanConnections(t *testing.T) { //nolint:paralleltest // it reads the server's counters
	admin := adminDB(t)
	const tests = 50
	runner := probetest.Runner(t, mysql.New(mysql.Config{}), serverTimeout)
	var seen []map[string]int
	for range 3 {
		before := counters(t, admin)
		for i := range tests {
			target := probetest.RealTarget(t, probe.MySQL, "MARIADB_PLAIN_ADDR", "dt_native", "dt_login", "")
			if r, err := runner.Run(t.Context(), target); err != nil || !r.OK() {
				t.Fatalf("test %d: %s, %v", i, r.Code, err)
			}
		}
		after := settled(t, admin)
		delta := map[string]int{}
		for name := range after {
			delta[name] = after[name] - before[name]
		}
		if delta["Connections"] == tests && delta["Aborted_clients"] == 0 && delta["Aborted_connects"] == 0 {
			return
		}
		seen = append(seen, delta)
	}
	t.Errorf("%d good tests changed the counters by %v, want %d connections and none aborted", tests, seen, tests)
}

func adminDB(tb testing.TB) *sql.DB {
	tb.Helper()
	c := driverpkg.NewConfig()
	c.Net, c.Addr = "tcp", probetest.Need(tb, "MARIADB_PLAIN_ADDR")
	c.User, c.Passwd = "dialtone", probetest.Need(tb, "PASSWORD")
	connector, err := driverpkg.NewConnector(c)
	if err != nil {
		tb.Fatal(err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

func counters(tb testing.TB, db *sql.DB) map[string]int {
	tb.Helper()
	rows, err := db.QueryContext(tb.Context(), "show global status where variable_name in ('Connections', 'Aborted_clients', 'Aborted_connects', 'Threads_connected')")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	values := map[string]int{}
	for rows.Next() {
		var name string
		var value int
		if err := rows.Scan(&name, &value); err != nil {
			tb.Fatal(err)
		}
		values[name] = value
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
	return values
}

// settled waits until no connection but ours is left, then reads the counters.
func settled(tb testing.TB, db *sql.DB) map[string]int {
	tb.Helper()
	values := counters(tb, db)
	for deadline := time.Now().Add(2 * time.Second); values["Threads_connected"] > 1 && time.Now().Before(deadline); {
		values = counters(tb, db)
	}
	return values
}

func BenchmarkMariaDB(b *testing.B) {
	b.Run("probe", func(b *testing.B) {
		target := probetest.RealTarget(b, probe.MySQL, "MARIADB_PLAIN_ADDR", "dt_native", "dt_login", "")
		runner := probetest.Runner(b, mysql.New(mysql.Config{}), serverTimeout)
		b.ReportAllocs()
		for b.Loop() {
			if r, err := runner.Run(b.Context(), target); err != nil || !r.OK() {
				b.Fatal(r.Code, err)
			}
		}
	})
	b.Run("driver", func(b *testing.B) {
		c := driverpkg.NewConfig()
		c.Net, c.Addr, c.DBName = "tcp", probetest.Need(b, "MARIADB_PLAIN_ADDR"), "dt_login"
		c.User, c.Passwd, c.MaxAllowedPacket = "dt_native", probetest.Need(b, "PASSWORD"), 1<<20
		connector, err := driverpkg.NewConnector(c)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			conn, err := connector.Connect(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			if execer, ok := conn.(driver.ExecerContext); ok {
				_, err = execer.ExecContext(b.Context(), "DO 1", nil)
			}
			if err != nil {
				b.Fatal(err)
			}
			_ = conn.Close()
		}
	})
}
