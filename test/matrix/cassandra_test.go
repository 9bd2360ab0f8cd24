package matrix_test

import (
	"net"
	"testing"

	"dialtone/internal/batch"
	"dialtone/internal/probe/cassandra/cassandratest"
)

// A real Cassandra; what it cannot be made to say is played. Its passwords are
// readable, so most of it needs TLS.
func cassandraScenarios() map[string]scenario {
	plain := base(func(t *testing.T) batch.Endpoint {
		return endpoint(t, "cassandra", "CASSANDRA_ADDR", "dt_reader", "dt_login")
	})
	b := base(func(t *testing.T) batch.Endpoint {
		return encrypted(t, endpoint(t, "cassandra", "CASSANDRA_TLS_ADDR", "dt_reader", "dt_login"), "ca.pem")
	})
	fails := func(at cassandratest.Op, code uint32, text string) scenario {
		return func(t *testing.T) batch.Endpoint {
			server := &cassandratest.Server{Fail: func(op cassandratest.Op, _ string) *cassandratest.Error {
				if op == at {
					return &cassandratest.Error{Code: code, Text: text}
				}
				return nil
			}}
			e := played(t, "cassandra", func(conn net.Conn) { server.Serve(conn, nil) })
			e.DBName = ""
			return e
		}
	}
	open := func(t *testing.T) batch.Endpoint {
		server := &cassandratest.Server{}
		e := played(t, "cassandra", func(conn net.Conn) { server.Serve(conn, nil) })
		e.User, e.DBName = "", ""
		return e
	}
	return merge(plain.network(), b.certificates(), map[string]scenario{
		"right, TLS":                 scenario(b),
		"right, no keyspace":         b.database(""),
		"right, plain":               scenario(plain),
		"everybody may in":           open,
		"wrong password":             b.wrongPassword(),
		"unknown user":               b.user("dt_nobody"),
		"unknown database":           b.database("nowhere"),
		"may not log in":             b.user("dt_nologin"),
		"accounts are away":          b.user("cassandra"),
		"not from this address":      b.with(func(_ *testing.T, e *batch.Endpoint) { e.User, e.DBName = "dt_office", "" }),
		"not in this data centre":    b.user("dt_elsewhere"),
		"TLS not offered":            plain.tls("ca.pem"),
		"plain to a TLS port":        plain.at("CASSANDRA_TLS_ADDR"),
		"wrong protocol":             plain.at("MARIADB_ADDR"),
		"wrong protocol, PostgreSQL": plain.at("POSTGRES_ADDR"),
		"server is overloaded":       fails(cassandratest.Startup, 0x1001, "overloaded"),
		"server is starting":         fails(cassandratest.Startup, 0x1002, "bootstrapping"),
	})
}
