package matrix_test

import (
	"testing"

	"dialtone/internal/batch"
	"dialtone/internal/secret"
)

// openTo makes an endpoint for a Redis that asks for no password.
func openTo(dbType, addrVar string) base {
	return func(t *testing.T) batch.Endpoint {
		t.Helper()
		return nobody(endpoint(t, dbType, addrVar, "", ""))
	}
}

func nobody(e batch.Endpoint) batch.Endpoint {
	e.User, e.Password = "", secret.Text{}
	return e
}

// Every server is real.
func redisScenarios() map[string]scenario {
	b := base(func(t *testing.T) batch.Endpoint {
		return encrypted(t, endpoint(t, "redis", "REDIS_TLS_ADDR", "dt_login", ""), "ca.pem")
	})
	open := openTo("redis", "REDIS_ADDR")
	sentinel := openTo("redis", "REDIS_SENTINEL_ADDRS")
	return merge(open.network(), b.certificates(), map[string]scenario{
		"right, TLS":                scenario(b),
		"right, no INFO":            b.user("dt_noinfo"),
		"everybody may in":          scenario(open),
		"everybody may in, replica": open.at("REDIS_REPLICA_ADDR"),
		"wrong password":            b.wrongPassword(),
		"unknown user":              b.user("dt_nobody"),
		"unknown database":          open.database("16"),
		"disabled user":             b.user("dt_off"),
		"no PING":                   b.user("dt_noperm"),
		"password, plain": func(t *testing.T) batch.Endpoint {
			return endpoint(t, "redis", "REDIS_PASSWORD_ADDR", "", "")
		},
		"password missing":           openTo("redis", "REDIS_PASSWORD_ADDR").at("REDIS_PASSWORD_ADDR"),
		"TLS not offered":            open.tls("ca.pem"),
		"TLS demanded":               openTo("redis", "REDIS_TLS_ADDR").at("REDIS_TLS_ADDR"),
		"client certificate missing": b.at("REDIS_MTLS_ADDR"),
		"too many connections":       open.at("REDIS_FULL_ADDR"),
		"server loads its data":      open.at("REDIS_LOADING_ADDR"),
		"master is away":             open.at("REDIS_ORPHAN_ADDR"),
		"a sentinel":                 scenario(sentinel),
		"wrong protocol":             open.at("POSTGRES_ADDR"),
		"wrong protocol, MySQL":      open.at("MARIADB_ADDR"),
	})
}

func redisClusterScenarios() map[string]scenario {
	b := openTo("rediscluster", "REDIS_CLUSTER_ADDRS")
	return merge(map[string]scenario{
		"right":          scenario(b),
		"single server":  b.at("REDIS_ADDR"),
		"serves no slot": b.at("REDIS_DOWN_ADDR"),
		"wrong protocol": b.at("MARIADB_ADDR"),
		"as gaussredis":  b.with(func(_ *testing.T, e *batch.Endpoint) { e.DBType = "gaussredis" }),
	})
}
