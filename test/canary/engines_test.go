package canary_test

import (
	"context"
	"crypto/tls"
	"database/sql"
	"net"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"

	"dialtone/internal/probe/cassandra/cassandratest"
	"dialtone/internal/probe/gaussdb/gaussdbtest"
	"dialtone/internal/probe/mongodb/mongodbtest"
	"dialtone/internal/probe/oracle/oracletest"
	"dialtone/internal/probe/redis/redistest"
	"dialtone/internal/probe/sqlserver/sqlservertest"
	"dialtone/test/system"
)

// engine is how a type of database takes part.
type engine struct {
	dbType   string
	database string
	// admit gives the address of a server that lets the user in by the password.
	admit func(t *testing.T, user, password string) string
	// refuse is the variable of a real server, whom every password is wrong for.
	refuse string
	// secured is the variable of a real server with TLS.
	secured string
	// encrypted serves one connection with TLS, where no real server does.
	encrypted func(c net.Conn, config *tls.Config)
	// hostile serves one connection up to the login, and answers that with the
	// text.
	hostile func(c net.Conn, say func() string)
	// more are fields that it needs.
	more system.Entry
}

// engines has every type of the connection call.
func engines() []engine {
	redisList := func(t *testing.T, user, password string) string {
		t.Helper()
		server := &redistest.Server{Users: map[string]string{user: password}}
		addr := system.Serve(t, server.Serve)
		server.Slots = "*1\r\n" + redistest.Range(0, 16383, addr)
		return addr
	}
	gauss := func(t *testing.T, user, password string) string {
		t.Helper()
		return system.Serve(t, (&gaussdbtest.Server{User: user, Password: password, Database: "shop"}).Serve)
	}
	gaussTLS := func(c net.Conn, config *tls.Config) {
		(&gaussdbtest.Server{User: "nobody", Password: "nothing", Database: "shop", TLS: config}).Serve(c)
	}
	return []engine{
		{dbType: "mysql", database: "dt_login", secured: "DIALTONE_TEST_MARIADB_ADDR", admit: admitMariaDB, refuse: "DIALTONE_TEST_MARIADB_ADDR", hostile: hostileMySQL},
		{dbType: "taurus", database: "dt_login", secured: "DIALTONE_TEST_MARIADB_ADDR", admit: admitMariaDB, refuse: "DIALTONE_TEST_MARIADB_ADDR", hostile: hostileMySQL},
		{dbType: "postgresql", database: "dt_login", secured: "DIALTONE_TEST_POSTGRES_ADDR", admit: admitPostgres, refuse: "DIALTONE_TEST_POSTGRES_ADDR", hostile: hostilePostgres},
		{dbType: "mongodb", database: "admin", admit: func(t *testing.T, user, password string) string {
			t.Helper()
			return mongodbtest.Start(t, &mongodbtest.Server{Users: []mongodbtest.User{{Database: "admin", Name: user, Password: password}}}).Addr
		}, refuse: "DIALTONE_TEST_MONGODB_ADDR", secured: "DIALTONE_TEST_MONGODB_TLS_ADDR", hostile: hostileMongoDB},
		{dbType: "kafka", admit: admitKafka, refuse: "DIALTONE_TEST_KAFKA_SASL_ADDR", secured: "DIALTONE_TEST_KAFKA_SASL_SSL_ADDR", hostile: hostileKafka, more: system.Entry{
			"kafka_security_config": system.Entry{"type": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN"},
		}},
		{dbType: "gaussdbv5", database: "shop", admit: gauss, encrypted: gaussTLS, hostile: hostileGaussDB},
		{dbType: "gaussdbv5ha", database: "shop", admit: gauss, encrypted: gaussTLS, hostile: hostileGaussDB},
		{dbType: "oracle", database: "shop", admit: func(t *testing.T, user, password string) string {
			t.Helper()
			return system.Serve(t, func(c net.Conn) {
				(&oracletest.Server{User: user, Password: password, Service: "shop"}).Serve(t.Context(), c)
			})
		}, encrypted: func(c net.Conn, config *tls.Config) {
			(&oracletest.Server{User: "nobody", Password: "nothing", Service: "shop", TLS: config}).Serve(context.Background(), c)
		}, hostile: hostileOracle},
		{dbType: "sqlserver", database: "shop", admit: func(t *testing.T, user, password string) string {
			t.Helper()
			return system.Serve(t, func(c net.Conn) {
				_ = sqlservertest.Serve(c, sqlservertest.Config{User: user, Password: password, Database: "shop"})
			})
		}, encrypted: func(c net.Conn, config *tls.Config) {
			_ = sqlservertest.Serve(c, sqlservertest.Config{User: "nobody", Password: "nothing", Database: "shop", TLS: config, Force: true})
		}, hostile: hostileSQLServer},
		{dbType: "cassandra", database: "shop", admit: func(t *testing.T, user, password string) string {
			t.Helper()
			server := &cassandratest.Server{User: user, Password: password, Authenticator: cassandratest.PasswordAuthenticator, Keyspace: "shop"}
			return system.Serve(t, func(c net.Conn) { server.Serve(c, nil) })
		}, refuse: "DIALTONE_TEST_CASSANDRA_ADDR", secured: "DIALTONE_TEST_CASSANDRA_TLS_ADDR", hostile: hostileCassandra},
		{dbType: "redis", database: "0", admit: func(t *testing.T, user, password string) string {
			t.Helper()
			return system.Serve(t, (&redistest.Server{Users: map[string]string{user: password}}).Serve)
		}, refuse: "DIALTONE_TEST_REDIS_ACL_ADDR", secured: "DIALTONE_TEST_REDIS_TLS_ADDR", hostile: hostileRedis},
		{dbType: "rediscluster", admit: redisList, refuse: "DIALTONE_TEST_REDIS_ACL_ADDR", secured: "DIALTONE_TEST_REDIS_TLS_ADDR", hostile: hostileRedis},
		{dbType: "gaussredis", database: "0", admit: redisList, refuse: "DIALTONE_TEST_REDIS_ACL_ADDR", secured: "DIALTONE_TEST_REDIS_TLS_ADDR", hostile: hostileRedis},
	}
}

// entry is one for the engine at an address.
func (e engine) entry(t *testing.T, addr, user, password string) system.Entry {
	t.Helper()
	made := system.Entry{
		"net_type": "eip", "db_type": e.dbType, "ip": addr, "db_user": user, "db_password": password, "end_point_type": "so",
	}
	if e.database != "" {
		made["db_name"] = e.database
	}
	return e.at(t, made.With(e.more), addr)
}

// at points an entry to another address, in the way that the engine wants it.
func (e engine) at(t *testing.T, made system.Entry, addr string) system.Entry {
	t.Helper()
	if e.dbType == "mongodb" || e.dbType == "kafka" {
		return made.With(system.Entry{"ip": addr})
	}
	return made.At(t, addr)
}

// refusal is the address of a real server where every password is wrong, or of
// one that stands for it.
func (e engine) refusal(t *testing.T, user, other string) string {
	t.Helper()
	if e.refuse == "" {
		return e.admit(t, user, other)
	}
	return system.Need(t, e.refuse)
}

// untrusted is the address of a server whose certificate is not that of the
// authority in an entry.
func (e engine) untrusted(t *testing.T) string {
	t.Helper()
	if e.secured != "" {
		return system.Need(t, e.secured)
	}
	p := newPair(t, "canary server")
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{p.cert.Raw}, PrivateKey: p.key}}, MinVersion: tls.VersionTLS12}
	return system.Serve(t, func(c net.Conn) { e.encrypted(c, config) })
}

// admitMariaDB makes a user in the real MariaDB.
func admitMariaDB(t *testing.T, user, password string) string {
	t.Helper()
	db, err := sql.Open("mysql", system.Need(t, "DIALTONE_TEST_MARIADB_DSN"))
	if err != nil {
		t.Fatal(err)
	}
	name := "'" + user + "'@'127.0.0.1'"
	quoted := "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(password) + "'"
	t.Cleanup(func() {
		if _, err := db.Exec("drop user if exists " + name); err != nil {
			t.Error("drop a user of MariaDB: ", err)
		}
		_ = db.Close()
	})
	for _, statement := range []string{"create user " + name + " identified by " + quoted, "grant select on dt_login.* to " + name} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal("make a user of MariaDB: ", err)
		}
	}
	return system.Need(t, "DIALTONE_TEST_MARIADB_ADDR")
}

// admitPostgres makes a role in the real Postgres.
func admitPostgres(t *testing.T, user, password string) string {
	t.Helper()
	ask := func(statement string) {
		ctx := context.WithoutCancel(t.Context())
		conn, err := pgx.Connect(ctx, system.Need(t, "DIALTONE_TEST_POSTGRES_DSN"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Error("roles of Postgres: ", err)
		}
	}
	t.Cleanup(func() { ask("drop role if exists " + user) })
	ask("create role " + user + " login password '" + strings.ReplaceAll(password, "'", "''") + "'")
	return system.Need(t, "DIALTONE_TEST_POSTGRES_ADDR")
}
