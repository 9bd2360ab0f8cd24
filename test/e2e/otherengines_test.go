package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"testing"

	"dialtone/internal/probe/gaussdb/gaussdbtest"
	"dialtone/internal/probe/oracle/oracletest"
	"dialtone/internal/probe/sqlserver/sqlservertest"
	"dialtone/test/system"
)

// playing serves each connection by a server that stands for one that cannot
// be had.
func playing(t *testing.T, serve func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return l.Addr().String()
}

// TestOtherEngines tests what the contract has no example of, and what its
// connection call does not name at all, by both calls.
func TestOtherEngines(t *testing.T) {
	t.Parallel()
	const user, database = "app", "shop"
	password := system.Need(t, "DIALTONE_TEST_PASSWORD")
	mssql := playing(t, func(c net.Conn) {
		_ = sqlservertest.Serve(c, sqlservertest.Config{User: user, Password: password, Database: database})
	})
	gauss := playing(t, (&gaussdbtest.Server{User: user, Password: password, Database: database}).Serve)
	oracle := playing(t, func(c net.Conn) {
		(&oracletest.Server{User: user, Password: password, Service: database}).Serve(t.Context(), c)
	})

	entry := func(dbType, addrs, user, secret, database string) system.Entry {
		return system.Entry{
			"id": "job-" + dbType, "net_type": "eip", "db_type": dbType, "ip": addrs, "db_user": user, "db_password": secret, "db_name": database,
			"end_point_type": "so",
		}
	}
	right := []system.Entry{
		entry("redis", system.Need(t, "DIALTONE_TEST_REDIS_ACL_ADDR"), "dt_login", password, "0"),
		entry("rediscluster", system.Need(t, "DIALTONE_TEST_REDIS_CLUSTER_ADDRS"), "", "", ""),
		entry("gaussredis", system.Need(t, "DIALTONE_TEST_REDIS_ADDR"), "", "", ""),
		entry("cassandra", system.Need(t, "DIALTONE_TEST_CASSANDRA_ADDR"), "dialtone", password, "dt_login"),
		entry("sqlserver", mssql, user, password, database),
		entry("gaussdbv5", gauss, user, password, database),
		entry("gaussdbv5ha", gauss, user, password, database),
		entry("oracle", oracle, user, password, database),
	}
	var wrong []system.Entry
	for _, e := range right {
		if e["db_user"] != "" {
			wrong = append(wrong, e.With(system.Entry{"db_password": "wrong"}))
		}
	}
	// Some of these show the server the password, and here in plain text. Both
	// calls bring the same wrong ones.
	s := system.Start(t, system.Options{Env: []string{
		"DIALTONE_JOBS=any", "DIALTONE_ALLOW_RECOVERABLE_PASSWORD=true", "DIALTONE_LOGIN_REPEAT_AFTER=0s", "DIALTONE_LOGIN_REFUSALS=100",
	}})

	for _, call := range []struct {
		path string
		job  func(system.Entry) any
	}{
		{"/jobs/batch-connection", func(e system.Entry) any { return e }},
		{"/jobs/cluster/batch-connection", func(e system.Entry) any { return action(t, fmt.Sprint(e["id"]), object(e)) }},
	} {
		for _, sent := range []struct {
			code    string
			entries []system.Entry
		}{{"ok", right}, {"auth_failed", wrong}} {
			t.Run(call.path+" "+sent.code, func(t *testing.T) {
				t.Parallel()
				var jobs []any
				for _, e := range sent.entries {
					jobs = append(jobs, call.job(e))
				}
				a := s.Must(http.MethodPost, call.path, map[string]any{"jobs": jobs})
				var r system.Results
				a.Decode(t, &r)
				if a.Status != http.StatusOK || len(r.Results) != len(sent.entries) {
					t.Fatalf("%d %s", a.Status, a.Body)
				}
				tests := detail(s, a.Header.Get("X-Batch-Id")).tests()
				for i, e := range sent.entries {
					if got := tests[i].Report.Code; got != sent.code || r.Results[i].OK() != (sent.code == "ok") {
						t.Errorf("%s is %s, want %s: %+v", e["db_type"], got, sent.code, r.Results[i])
					}
				}
			})
		}
	}
}
