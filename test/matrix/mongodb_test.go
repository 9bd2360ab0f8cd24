package matrix_test

import (
	"strings"
	"testing"

	"dialtone/internal/batch"
	"dialtone/internal/probe/mongodb/mongodbtest"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/secret"
	"dialtone/test/system"
)

// FerretDB is the real server; replica sets, shards and errors that it does not
// have are played.
func mongodbScenarios() map[string]scenario {
	b := base(func(t *testing.T) batch.Endpoint { return endpoint(t, "mongodb", "MONGODB_ADDR", "dt_sha256", "") })
	tls := base(func(t *testing.T) batch.Endpoint {
		return encrypted(t, endpoint(t, "mongodb", "MONGODB_TLS_ADDR", "dt_sha256", ""), "ca.pem")
	})
	ferret := map[string]scenario{
		"right":                      scenario(b),
		"right, SHA-1":               b.user("dt_sha1"),
		"right, TLS":                 scenario(tls),
		"right, another database":    b.with(func(_ *testing.T, e *batch.Endpoint) { e.User, e.DBName = "dt_app", "dt_login" }),
		"wrong password":             b.wrongPassword(),
		"wrong password, TLS":        tls.wrongPassword(),
		"unknown user":               b.user("dt_nobody"),
		"unknown database":           b.database("dt_nowhere"), // of accounts: there is no other
		"account of another one":     b.user("dt_app"),
		"plain to a TLS port":        b.at("MONGODB_TLS_ADDR"),
		"TLS not offered":            b.tls("ca.pem"),
		"client certificate missing": b.with(func(t *testing.T, e *batch.Endpoint) { *e = encrypted(t, b.at("MONGODB_MTLS_ADDR")(t), "ca.pem") }),
		"wrong protocol":             b.at("MARIADB_ADDR"),
		"wrong protocol, PostgreSQL": b.at("POSTGRES_ADDR"),
		"second address works": b.with(func(t *testing.T, e *batch.Endpoint) {
			e.IP = system.FreeAddr(t) + "," + probetest.Need(t, "MONGODB_ADDR")
		}),
	}
	return merge(b.network(), tls.certificates(), ferret, mongodbSets(), mongodbErrors())
}

// mongodbAt describes an account on a server that is played.
func mongodbAt(addrs ...string) batch.Endpoint {
	return batch.Endpoint{DBType: "mongodb", User: testUser, Password: secret.New(testPassword), IP: strings.Join(addrs, ",")}
}

// mongodbUser gives a server the one account.
func mongodbUser(s *mongodbtest.Server) {
	s.Users = []mongodbtest.User{{Database: "admin", Name: testUser, Password: testPassword}}
}

// mongodbSets: what a replica set and a cluster of shards can be wrong in.
func mongodbSets() map[string]scenario {
	set := func(t *testing.T, name string, roles ...mongodbtest.Role) []*mongodbtest.Running {
		t.Helper()
		return mongodbtest.StartSet(t, name, mongodbUser, roles...)
	}
	return map[string]scenario{
		"set, one member listed": func(t *testing.T) batch.Endpoint {
			return mongodbAt(set(t, "rs0", mongodbtest.Primary, mongodbtest.Secondary)[0].Addr)
		},
		"set, primary is down": func(t *testing.T) batch.Endpoint {
			members := set(t, "rs0", mongodbtest.Primary, mongodbtest.Secondary)
			members[0].Stop()
			return mongodbAt(members[1].Addr)
		},
		"set, a secondary is down": func(t *testing.T) batch.Endpoint {
			members := set(t, "rs0", mongodbtest.Primary, mongodbtest.Secondary)
			members[1].Stop()
			return mongodbAt(members[0].Addr)
		},
		"members of two sets": func(t *testing.T) batch.Endpoint {
			return mongodbAt(set(t, "rs0", mongodbtest.Primary)[0].Addr, set(t, "rs1", mongodbtest.Primary)[0].Addr)
		},
		"a mongos and a shard": func(t *testing.T) batch.Endpoint {
			router := &mongodbtest.Server{Role: mongodbtest.Mongos}
			mongodbUser(router)
			return mongodbAt(mongodbtest.Start(t, router).Addr, set(t, "rs0", mongodbtest.Primary)[0].Addr)
		},
		"two mongos": func(t *testing.T) batch.Endpoint {
			router := func() *mongodbtest.Server {
				s := &mongodbtest.Server{Role: mongodbtest.Mongos}
				mongodbUser(s)
				return s
			}
			return mongodbAt(mongodbtest.Start(t, router()).Addr, mongodbtest.Start(t, router()).Addr)
		},
		"only an arbiter": func(t *testing.T) batch.Endpoint {
			return mongodbAt(set(t, "rs0", mongodbtest.Primary, mongodbtest.Arbiter)[1].Addr)
		},
	}
}

// mongodbErrors: what a server says in so many words.
func mongodbErrors() map[string]scenario {
	fails := func(command string, code int, text string) scenario {
		return func(t *testing.T) batch.Endpoint {
			s := &mongodbtest.Server{Fail: map[string]mongodbtest.Failure{command: {Code: code, Text: text}}}
			mongodbUser(s)
			return mongodbAt(mongodbtest.Start(t, s).Addr)
		}
	}
	iterations := func(n int) scenario {
		return func(t *testing.T) batch.Endpoint {
			s := &mongodbtest.Server{Iterations: n}
			mongodbUser(s)
			return mongodbAt(mongodbtest.Start(t, s).Addr)
		}
	}
	return map[string]scenario{
		"server shuts down":       fails("saslStart", 91, "The server is in quiesce mode and will shut down"),
		"mechanism not supported": fails("saslStart", 334, "Unsupported mechanism"),
		"mechanism left to others": func(t *testing.T) batch.Endpoint {
			s := &mongodbtest.Server{Users: []mongodbtest.User{{Database: "admin", Name: testUser, Password: testPassword, Mechanisms: []string{"PLAIN"}}}}
			return mongodbAt(mongodbtest.Start(t, s).Addr)
		},
		"hostile iteration count": iterations(2_000_000),
	}
}
