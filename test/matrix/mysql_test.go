package matrix_test

import (
	"testing"

	"dialtone/internal/batch"
)

func mysqlScenarios() map[string]scenario {
	b := base(func(t *testing.T) batch.Endpoint {
		return endpoint(t, "mysql", "MARIADB_ADDR", "dt_native", "dt_login")
	})
	admin := base(func(t *testing.T) batch.Endpoint { return endpoint(t, "mysql", "MARIADB_ADDR", "dialtone", "") })
	return merge(b.network(), b.certificates(), map[string]scenario{
		"right":              scenario(b),
		"right, ed25519":     b.with(func(_ *testing.T, e *batch.Endpoint) { e.User, e.DBName = "dt_ed25519", "" }),
		"right, no database": b.database(""),
		"right, TLS":         b.tls("ca.pem"),
		"right, TLS demanded": b.with(func(t *testing.T, e *batch.Endpoint) {
			e.User, e.DBName = "dt_ssl", ""
			*e = encrypted(t, *e, "ca.pem")
		}),
		"wrong password":           b.wrongPassword(),
		"wrong password, TLS":      b.with(func(t *testing.T, e *batch.Endpoint) { *e = encrypted(t, b.wrongPassword()(t), "ca.pem") }),
		"unknown user":             b.user("dt_nobody"),
		"unknown database":         admin.database("dt_nowhere"),
		"no right on the database": b.user("dt_nodb"),
		"account locked":           b.with(func(_ *testing.T, e *batch.Endpoint) { e.User, e.DBName = "dt_locked", "" }),
		"password expired":         b.with(func(_ *testing.T, e *batch.Endpoint) { e.User, e.DBName = "dt_expired", "" }),
		"TLS demanded, plain":      b.with(func(_ *testing.T, e *batch.Endpoint) { e.User, e.DBName = "dt_ssl", "" }),
		"client certificate demanded": b.with(func(t *testing.T, e *batch.Endpoint) {
			e.User, e.DBName = "dt_x509", ""
			*e = encrypted(t, *e, "ca.pem")
		}),
		"TLS not offered":       b.with(func(t *testing.T, e *batch.Endpoint) { *e = encrypted(t, b.at("MARIADB_PLAIN_ADDR")(t), "ca.pem") }),
		"too many connections":  b.at("MARIADB_FULL_ADDR"),
		"host not allowed":      b.at("MARIADB_DENY_ADDR"),
		"wrong protocol":        b.at("POSTGRES_ADDR"),
		"wrong protocol, Redis": b.at("REDIS_ADDR"),
	})
}

// TaurusDB speaks MySQL's protocol; MariaDB stands in for it.
func taurusScenarios() map[string]scenario {
	b := base(func(t *testing.T) batch.Endpoint {
		return endpoint(t, "taurus", "MARIADB_ADDR", "dt_native", "dt_login")
	})
	admin := base(func(t *testing.T) batch.Endpoint { return endpoint(t, "taurus", "MARIADB_ADDR", "dialtone", "") })
	return merge(b.network(), b.certificates(), map[string]scenario{
		"right":                    scenario(b),
		"right, TLS":               b.tls("ca.pem"),
		"wrong password":           b.wrongPassword(),
		"unknown user":             b.user("dt_nobody"),
		"unknown database":         admin.database("dt_nowhere"),
		"no right on the database": b.user("dt_nodb"),
		"account locked":           b.with(func(_ *testing.T, e *batch.Endpoint) { e.User, e.DBName = "dt_locked", "" }),
		"too many connections":     b.at("MARIADB_FULL_ADDR"),
		"wrong protocol":           b.at("POSTGRES_ADDR"),
	})
}
