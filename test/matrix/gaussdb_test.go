package matrix_test

import (
	"maps"
	"testing"

	"dialtone/internal/batch"
	"dialtone/internal/probe/gaussdb/gaussdbtest"
)

// No GaussDB can be had here: it is played, by a server into which openGauss's
// own JDBC driver logs in.
func gaussdbIs(dbType string, change func(t *testing.T, s *gaussdbtest.Server)) base {
	return func(t *testing.T) batch.Endpoint {
		t.Helper()
		s := gaussdbtest.Server{User: testUser, Password: testPassword, Database: testDatabase}
		if change != nil {
			change(t, &s)
		}
		return played(t, dbType, s.Serve)
	}
}

// gaussdbCommon are the conditions of both types.
func gaussdbCommon(dbType string) map[string]scenario {
	says := func(field func(*gaussdbtest.Server) **gaussdbtest.Failure, code, text, routine string) scenario {
		return scenario(gaussdbIs(dbType, func(_ *testing.T, s *gaussdbtest.Server) {
			*field(s) = &gaussdbtest.Failure{Code: code, Text: text, Routine: routine}
		}))
	}
	down := func(s *gaussdbtest.Server) **gaussdbtest.Failure { return &s.Down }
	forbidden := func(s *gaussdbtest.Server) **gaussdbtest.Failure { return &s.Forbidden }
	locked := func(s *gaussdbtest.Server) **gaussdbtest.Failure { return &s.Locked }
	b := gaussdbIs(dbType, nil)
	encrypting := gaussdbIs(dbType, func(t *testing.T, s *gaussdbtest.Server) { s.TLS = identity(t) })
	secured := base(encrypting.tls("ca.pem"))
	return merge(b.network(), encrypting.certificates(), map[string]scenario{
		"right":                    scenario(b),
		"right, TLS":               scenario(secured),
		"wrong password":           b.wrongPassword(),
		"wrong password, TLS":      secured.wrongPassword(),
		"unknown user":             b.user("nobody"),
		"unknown database":         b.database("nowhere"),
		"TLS not offered":          b.tls("ca.pem"),
		"server is starting":       says(down, "57P03", "the database system is starting up", "ProcessStartupPacket"),
		"too many connections":     says(down, "53300", "sorry, too many clients already", "ProcessStartupPacket"),
		"no entry in pg_hba.conf":  says(forbidden, "28000", `no pg_hba.conf entry for host "10.0.0.1", user "dt_user", database "dt_login", SSL off`, "ClientAuthentication"),
		"initial user from remote": says(forbidden, "28000", "Forbid remote connection with initial user.", "ClientAuthentication"),
		"account locked":           says(locked, "28000", "The account has been locked.", "ClientAuthentication"),
		"wrong protocol":           b.at("MARIADB_ADDR"),
		"a PostgreSQL":             b.at("POSTGRES_ADDR"),
	})
}

func gaussdbScenarios() map[string]scenario {
	method := func(m gaussdbtest.Method) scenario {
		return scenario(gaussdbIs("gaussdbv5", func(_ *testing.T, s *gaussdbtest.Server) { s.Method = m }))
	}
	all := gaussdbCommon("gaussdbv5")
	maps.Copy(all, map[string]scenario{
		"right, md5":              method(gaussdbtest.MD5),
		"right, everybody may in": method(gaussdbtest.Trust),
		"token of the cloud":      method(gaussdbtest.IAM),
		"clear text, plain":       method(gaussdbtest.Clear),
		"hostile iteration count": scenario(gaussdbIs("gaussdbv5", func(_ *testing.T, s *gaussdbtest.Server) { s.Iterations = 1_000_001 })),
		"TLS demanded, plain": scenario(gaussdbIs("gaussdbv5", func(t *testing.T, s *gaussdbtest.Server) {
			s.TLS, s.RequireTLS = identity(t), true
		})),
	})
	return all
}

func gaussdbHAScenarios() map[string]scenario {
	pair := func(first, second base) scenario {
		return func(t *testing.T) batch.Endpoint {
			a, b := first(t), second(t)
			a.IP, a.DBPort = join(a)+","+join(b), 0
			return a
		}
	}
	primary := gaussdbIs("gaussdbv5ha", nil)
	standby := gaussdbIs("gaussdbv5ha", func(_ *testing.T, s *gaussdbtest.Server) { s.Standby = true })
	all := gaussdbCommon("gaussdbv5ha")
	maps.Copy(all, map[string]scenario{
		"primary and standby": pair(primary, standby),
		"standby first":       pair(standby, primary),
		"only a standby":      scenario(standby),
	})
	return all
}
