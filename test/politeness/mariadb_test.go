package politeness_test

import (
	"context"
	"database/sql"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"dialtone/internal/probe"
	"dialtone/internal/probe/probetest"
)

// What MariaDB keeps of an address goes up to max_connect_errors and then locks
// it out for everybody who calls from there.
func TestMariaDB(t *testing.T) {
	s, plain := mariadb(t, "POLITE_MARIADB_ADDR"), mariadb(t, "POLITE_MARIADB_PLAIN_ADDR")
	target := s.target(t, "dt_native")
	target.Database = "dt_login"
	t.Run("passing", func(t *testing.T) { s.passing(t, target, true) })
	t.Run("unreached", func(t *testing.T) { s.unreached(t, target) })

	client := func(s *server, user string, more ...string) []string {
		host, port := split(s.addr)
		return append([]string{"mariadb", "--no-defaults", "--protocol=tcp", "-h", host, "-P", port, "-u", user, "-e", "do 0"}, more...)
	}
	good, bad := []string{"MYSQL_PWD=" + probetest.Need(t, "PASSWORD")}, []string{"MYSQL_PWD=" + wrong}
	rogue := filepath.Join(probetest.Need(t, "PKI"), "rogue-ca.pem")
	for _, tc := range []struct {
		mistake

		server      *server
		environment []string
	}{
		{mistake{name: "wrong password", change: wrongPassword, code: probe.CodeAuthFailed, official: client(s, "dt_native")}, s, bad},
		{mistake{name: "unknown user", change: unknownUser, code: probe.CodeAuthFailed, official: client(s, "dt_nobody")}, s, good},
		{mistake{
			name: "unknown database", code: probe.CodeDatabaseUnknown, official: client(s, "dialtone", "-D", "dt_nowhere"),
			change: func(t *probe.Target) { t.User, t.Database = "dialtone", "dt_nowhere" },
		}, s, good},
		{mistake{
			name: "no right to the database", code: probe.CodePermissionDenied, official: client(s, "dt_native", "-D", "mysql"),
			change: func(t *probe.Target) { t.Database = "mysql" },
		}, s, good},
		{mistake{
			name: "TLS untrusted", change: untrusted(t), code: probe.CodeTLSUntrusted,
			official: client(s, "dt_native", "--ssl-ca="+rogue, "--ssl-verify-server-cert"),
		}, s, good},
		{mistake{
			name: "TLS not supported", change: untrusted(t), code: probe.CodeTLSNotSupported,
			official: client(plain, "dt_native", "--ssl-ca="+rogue, "--ssl-verify-server-cert"),
		}, plain, good},
	} {
		t.Run(tc.name, func(t *testing.T) {
			target := target
			target.Addresses = tc.server.target(t, "").Addresses
			tc.server.compare(t, target, tc.mistake, tc.environment)
		})
	}

	t.Run("control", func(t *testing.T) {
		changed := s.cost(t, repeats, func() {
			for range repeats {
				hangUp(t, s.addr)
			}
		})
		for _, name := range []string{"SUM_CONNECT_ERRORS", "COUNT_HANDSHAKE_ERRORS", "Aborted_connects"} {
			if changed[name] != repeats {
				t.Errorf("%d callers hung up after the greeting and the server has counted%s; want %s", repeats, changed, name)
			}
		}
		changed = s.cost(t, 1, func() { s.slip(t) })
		if changed["Aborted_clients"] != 1 {
			t.Errorf("one caller left without a goodbye and the server has counted%s; want Aborted_clients", changed)
		}
	})
}

// slip logs in and closes the socket below the driver.
func (s *server) slip(t *testing.T) {
	t.Helper()
	var socket net.Conn
	c := mariadbConfig(t, s.addr.String())
	c.Logger = &driver.NopLogger{} // which would complain of the closed socket
	c.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		socket = conn
		return conn, err
	}
	connector, err := driver.NewConnector(c)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := connector.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = socket.Close()
	_ = conn.Close()
}

func mariadbConfig(t *testing.T, addr string) *driver.Config {
	t.Helper()
	c := driver.NewConfig()
	c.Net, c.Addr = "tcp", addr
	c.User, c.Passwd = "dialtone", probetest.Need(t, "PASSWORD")
	return c
}

// mariadb opens the one connection that reads the counters. It stays open: a
// login that succeeds sets SUM_CONNECT_ERRORS back.
func mariadb(t *testing.T, name string) *server {
	t.Helper()
	addr := probetest.Addr(t, name)
	connector, err := driver.NewConnector(mariadbConfig(t, addr.String()))
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.ExecContext(t.Context(), "flush hosts"); err != nil {
		t.Fatal(err)
	}
	return &server{engine: probe.MySQL, addr: addr, connections: "Connections", read: func() counts { return readMariaDB(t, db) }}
}

func readMariaDB(t *testing.T, db *sql.DB) counts {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		c := counts{}
		queryMariaDB(t, db, `show global status where variable_name in ('Connections', 'Aborted_clients', 'Aborted_connects',
			'Aborted_connects_preauth', 'Access_denied_errors', 'Threads_connected') or variable_name like 'Connection\_errors\_%'`,
			func(_ []string, values []any) { c[text(values[0])] = number(t, values[1]) })
		queryMariaDB(t, db, "select * from performance_schema.host_cache", func(columns []string, values []any) {
			for i, name := range columns {
				if strings.HasPrefix(name, "SUM_") || strings.HasPrefix(name, "COUNT_") {
					c[name] += number(t, values[i])
				}
			}
		})
		if c["Threads_connected"] == 1 {
			return c
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d clients are still connected", c["Threads_connected"]-1)
		}
	}
}
