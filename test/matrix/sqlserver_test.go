package matrix_test

import (
	"net"
	"testing"

	"dialtone/internal/batch"
	"dialtone/internal/probe/sqlserver/sqlservertest"
)

// No SQL Server can be had here: all of it is played, by a server into which
// FreeTDS logs in. Its passwords are readable, so most of it needs TLS.
func sqlserverScenarios() map[string]scenario {
	is := func(change func(*sqlservertest.Config)) base {
		return func(t *testing.T) batch.Endpoint {
			c := sqlservertest.Config{User: testUser, Password: testPassword, Database: testDatabase, TLS: identity(t)}
			if change != nil {
				change(&c)
			}
			return encrypted(t, played(t, "sqlserver", func(conn net.Conn) { _ = sqlservertest.Serve(conn, c) }), "ca.pem")
		}
	}
	unencrypted := func(b base) scenario {
		return b.with(func(_ *testing.T, e *batch.Endpoint) { e.SSLLink = false })
	}
	refuses := func(number int32, text string) scenario {
		return scenario(is(func(c *sqlservertest.Config) {
			c.Refuse = []sqlservertest.Error{{Number: number, State: 1, Class: 14, Text: text}}
		}))
	}
	b := is(nil)
	return merge(b.network(), b.certificates(), map[string]scenario{
		"right, TLS":                scenario(b),
		"right, encryption forced":  scenario(is(func(c *sqlservertest.Config) { c.Force = true })),
		"right, no database":        b.database(""),
		"wrong password":            b.wrongPassword(),
		"unknown user":              b.user("nobody"),
		"unknown database":          b.database("nowhere"),
		"plain":                     unencrypted(b),
		"plain, encryption forced":  unencrypted(is(func(c *sqlservertest.Config) { c.Force = true })),
		"TLS not offered":           scenario(is(func(c *sqlservertest.Config) { c.TLS = nil })),
		"account disabled":          refuses(18470, "Login failed. The account is disabled."),
		"account locked":            refuses(18486, "Login failed because the account is locked out."),
		"password expired":          refuses(18487, "Login failed because the password has expired."),
		"password must be changed":  refuses(18488, "Login failed because the password must be changed."),
		"Windows accounts only":     refuses(18452, "The login is from an untrusted domain."),
		"server is starting":        refuses(18401, "Server is in script upgrade mode."),
		"firewall of Azure":         refuses(40615, "Client with IP address is not allowed to access the server."),
		"database is not available": refuses(40613, "Database is not currently available."),
		"too many connections": scenario(is(func(c *sqlservertest.Config) {
			c.Busy = []sqlservertest.Error{{Number: 17809, State: 1, Class: 20, Text: "too many users"}}
		})),
		"wrong protocol":             b.at("MARIADB_ADDR"),
		"wrong protocol, PostgreSQL": b.at("POSTGRES_ADDR"),
	})
}
