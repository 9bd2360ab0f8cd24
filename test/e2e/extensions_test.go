package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"testing"

	"dialtone/internal/probe/sqlserver/sqlservertest"
	"dialtone/test/system"
)

// sqlServer starts the protocol server that stands for SQL Server.
func sqlServer(t *testing.T, user, password, database string) (addr string) {
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
				_ = sqlservertest.Serve(c, sqlservertest.Config{User: user, Password: password, Database: database})
			}()
		}
	}()
	return l.Addr().String()
}

// TestExtensions tests what the contract's connection call does not name, by
// both calls.
func TestExtensions(t *testing.T) {
	t.Parallel()
	password := system.Need(t, "DIALTONE_TEST_PASSWORD")
	list := func(dbType, addrs, user, secret, database string) system.Entry {
		return system.Entry{
			"id": "job-" + dbType, "net_type": "eip", "db_type": dbType, "ip": addrs, "db_user": user, "db_password": secret, "db_name": database,
			"end_point_type": "so",
		}
	}
	mssql := sqlServer(t, "sa", password, "shop")
	entries := []system.Entry{
		list("redis", system.Need(t, "DIALTONE_TEST_REDIS_ACL_ADDR"), "dt_login", password, "0"),
		list("rediscluster", system.Need(t, "DIALTONE_TEST_REDIS_CLUSTER_ADDRS"), "", "", ""),
		list("gaussredis", system.Need(t, "DIALTONE_TEST_REDIS_ADDR"), "", "", ""),
		list("sqlserver", mssql, "sa", password, "shop"),
		list("cassandra", system.Need(t, "DIALTONE_TEST_CASSANDRA_ADDR"), "dialtone", password, "dt_login"),
	}
	for i, e := range entries {
		if e["db_user"] != "" {
			entries = append(entries, e.With(system.Entry{"id": fmt.Sprintf("wrong-%d", i), "db_password": "wrong"}))
		}
	}
	// All of these show the server the password, and here in plain text.
	s := system.Start(t, system.Options{Env: []string{"DIALTONE_JOBS=any", "DIALTONE_ALLOW_RECOVERABLE_PASSWORD=true"}})

	check := func(t *testing.T, a system.Answer) {
		t.Helper()
		var r system.Results
		a.Decode(t, &r)
		if a.Status != http.StatusOK || len(r.Results) != len(entries) {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		tests := detail(s, a.Header.Get("X-Batch-Id")).tests()
		for i, e := range entries {
			code := map[bool]string{true: "auth_failed", false: "ok"}[e["db_password"] == "wrong"]
			if got := tests[i].Report.Code; got != code || r.Results[i].OK() != (code == "ok") {
				t.Errorf("%s is %s, want %s: %+v", e["id"], got, code, r.Results[i])
			}
		}
	}
	t.Run("connection call", func(t *testing.T) {
		t.Parallel()
		check(t, s.Must(http.MethodPost, "/jobs/batch-connection", map[string]any{"jobs": entries}))
	})
	t.Run("cluster call", func(t *testing.T) {
		t.Parallel()
		var actions []map[string]string
		for _, e := range entries {
			actions = append(actions, action(t, fmt.Sprint(e["id"]), object(e)))
		}
		check(t, s.Must(http.MethodPost, "/jobs/cluster/batch-connection", map[string]any{"jobs": actions}))
	})
}
