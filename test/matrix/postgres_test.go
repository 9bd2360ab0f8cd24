package matrix_test

import (
	"testing"

	"dialtone/internal/batch"
)

func postgresScenarios() map[string]scenario {
	b := base(func(t *testing.T) batch.Endpoint {
		return endpoint(t, "postgresql", "POSTGRES_ADDR", "dt_scram", "dt_login")
	})
	over := func(s scenario) scenario {
		return func(t *testing.T) batch.Endpoint { t.Helper(); return encrypted(t, s(t), "ca.pem") }
	}
	return merge(b.network(), b.certificates(), map[string]scenario{
		"right":                         scenario(b),
		"right, md5":                    b.user("dt_md5"),
		"right, trust":                  b.user("dt_trust"),
		"right, no database":            b.database(""),
		"right, TLS":                    b.tls("ca.pem"),
		"right, clear text over TLS":    over(b.user("dt_clear")),
		"right, TLS demanded":           over(b.user("dt_tls")),
		"clear text, plain":             b.user("dt_clear"),
		"wrong password":                b.wrongPassword(),
		"wrong password, TLS":           over(b.wrongPassword()),
		"unknown user":                  b.user("dt_nobody"),
		"password expired":              b.user("dt_expired"),
		"may not log in":                b.user("dt_nologin"),
		"unknown database":              b.database("dt_nowhere"),
		"database takes no connections": b.database("dt_closed"),
		"no right on the database":      b.database("dt_private"),
		"database full":                 b.database("dt_full"),
		"account full":                  b.user("dt_limit"),
		"TLS demanded, plain":           b.user("dt_tls"),
		"rejected by pg_hba.conf":       over(b.user("dt_rejected")),
		"no entry in pg_hba.conf": b.with(func(t *testing.T, e *batch.Endpoint) {
			e.User, e.DBName = "dt_limit", "dt_nohba"
			*e = encrypted(t, *e, "ca.pem")
		}),
		"no entry in pg_hba.conf, plain": b.with(func(_ *testing.T, e *batch.Endpoint) { e.User, e.DBName = "dt_limit", "dt_nohba" }),
		"client certificate demanded":    over(b.user("dt_cert")),
		"GSSAPI demanded":                b.user("dt_gss"),
		"TLS not offered":                over(b.at("POSTGRES_PLAIN_ADDR")),
		"wrong protocol":                 b.at("MARIADB_ADDR"),
		"wrong protocol, full MySQL":     b.at("MARIADB_FULL_ADDR"),
		"wrong protocol, Redis":          b.at("REDIS_ADDR"),
	})
}
