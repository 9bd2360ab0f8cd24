package politeness_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"dialtone/internal/probe"
	"dialtone/internal/probe/probetest"
)

// PostgreSQL locks nobody out, but its sessions are counted by how they ended,
// and each mishap is a line in the log that somebody has to read.
func TestPostgreSQL(t *testing.T) {
	s, admin := postgres(t)
	target := s.target(t, "dt_scram")
	target.Database = "dt_login"
	t.Run("passing", func(t *testing.T) { s.passing(t, target, true, "sessions", "logged logins", "logged ends") })
	t.Run("unreached", func(t *testing.T) { s.unreached(t, target) })

	host, port := split(s.addr)
	client := func(more string) []string {
		return []string{"psql", "-X", "-w", "-c", "", "host=" + host + " port=" + port + " " + more}
	}
	good, bad := []string{"PGPASSWORD=" + probetest.Need(t, "PASSWORD")}, []string{"PGPASSWORD=" + wrong}
	rogue := filepath.Join(probetest.Need(t, "PKI"), "rogue-ca.pem")
	for _, tc := range []struct {
		mistake

		environment []string
	}{
		{mistake{name: "wrong password", change: wrongPassword, code: probe.CodeAuthFailed, official: client("user=dt_scram dbname=dt_login sslmode=disable")}, bad},
		{mistake{name: "unknown user", change: unknownUser, code: probe.CodeAuthFailed, official: client("user=dt_nobody dbname=dt_login sslmode=disable")}, good},
		{mistake{
			name: "unknown database", code: probe.CodeDatabaseUnknown, official: client("user=dt_scram dbname=dt_nowhere sslmode=disable"),
			change: func(t *probe.Target) { t.Database = "dt_nowhere" },
		}, good},
		{mistake{
			name: "TLS untrusted", change: untrusted(t), code: probe.CodeTLSUntrusted,
			official: client("user=dt_scram dbname=dt_login sslmode=verify-ca sslrootcert=" + rogue),
		}, good},
	} {
		t.Run(tc.name, func(t *testing.T) { s.compare(t, target, tc.mistake, tc.environment) })
	}
	t.Run("TLS not supported", func(t *testing.T) {
		offerTLS(t, admin, "off")
		defer offerTLS(t, admin, "on") // a cleanup would come when the context has ended
		s.compare(t, target, mistake{
			name: "TLS not supported", change: untrusted(t), code: probe.CodeTLSNotSupported, unseen: true,
			official: client("user=dt_scram dbname=dt_login sslmode=verify-ca sslrootcert=" + rogue),
		}, good)
	})

	t.Run("control", func(t *testing.T) {
		changed := s.cost(t, repeats, func() {
			for range repeats {
				conn := pgConnect(t, s, "dt_login")
				if err := conn.PgConn().Conn().Close(); err != nil { // no Terminate
					t.Fatal(err)
				}
			}
		})
		if changed["sessions_abandoned"] != repeats {
			t.Errorf("%d callers left without a goodbye and the server has counted%s; want sessions_abandoned", repeats, changed)
		}
	})
}

// offerTLS switches TLS on or off and waits until new callers are told so.
func offerTLS(t *testing.T, admin *pgx.Conn, setting string) {
	t.Helper()
	ctx := t.Context()
	if _, err := admin.Exec(ctx, "alter system set ssl = "+setting); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Exec(ctx, "select pg_reload_conf()"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; {
		var got string
		if err := admin.QueryRow(ctx, "show ssl").Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got == setting {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("ssl stays %s", got)
		}
	}
}

func pgConnect(t *testing.T, s *server, database string) *pgx.Conn {
	t.Helper()
	c, err := pgx.ParseConfig("sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	c.Host, c.Port = s.addr.Addr().String(), s.addr.Port()
	c.User, c.Password, c.Database = "dialtone", probetest.Need(t, "PASSWORD"), database
	conn, err := pgx.ConnectConfig(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// postgres opens the one connection that reads the counters, in a database
// whose sessions are not counted.
func postgres(t *testing.T) (*server, *pgx.Conn) {
	t.Helper()
	s := &server{engine: probe.PostgreSQL, addr: probetest.Addr(t, "POLITE_POSTGRES_ADDR"), connections: "logged connections"}
	admin := pgConnect(t, s, "dialtone")
	t.Cleanup(func() { _ = admin.Close(context.WithoutCancel(t.Context())) })
	offerTLS(t, admin, "on") // a run that was killed may have left it off
	s.read = func() counts { return readPostgres(t, admin) }
	return s, admin
}

func readPostgres(t *testing.T, admin *pgx.Conn) counts {
	t.Helper()
	var last counts
	for deadline := time.Now().Add(patience); ; {
		c := logged(t)
		var clients, sessions, abandoned, fatal, killed int
		err := admin.QueryRow(t.Context(), `select (select count(*) from pg_stat_activity where backend_type = 'client backend') - 1,
			sum(sessions), sum(sessions_abandoned), sum(sessions_fatal), sum(sessions_killed)
			from pg_stat_database where datname <> 'dialtone'`).Scan(&clients, &sessions, &abandoned, &fatal, &killed)
		if err != nil {
			t.Fatal(err)
		}
		c["sessions"], c["sessions_abandoned"], c["sessions_fatal"], c["sessions_killed"] = sessions, abandoned, fatal, killed
		// The server is still at work for those who have gone: nothing shows
		// it while they have not logged in, but that the numbers change.
		if clients == 0 && last != nil && len(c.since(last)) == 0 {
			return c
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d clients are still connected", clients)
		}
		last = c
		select {
		case <-t.Context().Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// A line of a process that serves a client: user and database stand before it.
var logLine = regexp.MustCompile(`^\S+ \S+ \S+ \[\d+\] (?:\[unknown\]@\[unknown\] |\S+@\S+ )([A-Z]+):  (.*)`)

// logged counts what the server has written, by kind.
func logged(t *testing.T) counts {
	t.Helper()
	b, err := os.ReadFile(probetest.Need(t, "POLITE_POSTGRES_LOG"))
	if err != nil {
		t.Fatal(err)
	}
	c := counts{}
	for line := range strings.Lines(string(b)) {
		m := logLine.FindStringSubmatch(line)
		switch {
		case m == nil || strings.Contains(line, "@dialtone ") || strings.HasPrefix(m[2], "connection authenticated"):
		case strings.HasPrefix(m[2], "connection received"):
			c["logged connections"]++
		case strings.HasPrefix(m[2], "connection authorized"):
			c["logged logins"]++
		case strings.HasPrefix(m[2], "disconnection"):
			c["logged ends"]++
		case m[1] != "DETAIL":
			c["logged "+m[1]]++
		}
	}
	return c
}
