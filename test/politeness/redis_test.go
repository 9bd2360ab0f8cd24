package politeness_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"dialtone/internal/probe"
	"dialtone/internal/probe/probetest"
)

// notIn is what a Redis with a password counts of each test: it is asked who it
// is before it gets one, and answers that one must log in first.
const notIn = "errorstat_NOAUTH"

func TestRedis(t *testing.T) {
	s := redis(t)
	target := s.target(t, "dialtone")
	t.Run("passing", func(t *testing.T) { s.passing(t, target, false, notIn) })
	t.Run("unreached", func(t *testing.T) { s.unreached(t, target) })

	host, port := split(s.addr)
	client := func(user, database string) []string {
		return []string{"redis-cli", "-e", "-h", host, "-p", port, "--user", user, "-n", database, "ping"}
	}
	good, bad := []string{"REDISCLI_AUTH=" + probetest.Need(t, "PASSWORD")}, []string{"REDISCLI_AUTH=" + wrong}
	for _, tc := range []struct {
		mistake

		environment []string
	}{
		{mistake{name: "wrong password", change: wrongPassword, code: probe.CodeAuthFailed, official: client("dialtone", "0")}, bad},
		{mistake{name: "unknown user", change: unknownUser, code: probe.CodeAuthFailed, official: client("dt_nobody", "0")}, good},
	} {
		t.Run(tc.name, func(t *testing.T) { s.compare(t, target, tc.mistake, tc.environment, notIn) })
	}

	t.Run("control", func(t *testing.T) {
		changed := s.cost(t, 1, func() {
			odd := goredis.NewClient(&goredis.Options{
				Addr: s.addr.String(), Protocol: 2, DisableIdentity: true, MaxRetries: -1,
				Username: "dialtone", Password: probetest.Need(t, "PASSWORD"),
			})
			defer func() { _ = odd.Close() }()
			if err := odd.Do(t.Context(), "nonsense").Err(); err == nil {
				t.Fatal("Redis takes nonsense")
			}
		})
		if changed["errorstat_ERR"] != 1 {
			t.Errorf("one caller talked nonsense and the server has counted%s; want errorstat_ERR", changed)
		}
	})
}

func redis(t *testing.T) *server {
	t.Helper()
	addr := probetest.Addr(t, "POLITE_REDIS_ADDR")
	client := goredis.NewClient(&goredis.Options{
		Addr: addr.String(), Protocol: 2, DisableIdentity: true, PoolSize: 1, ConnMaxIdleTime: -1,
		Username: "dialtone", Password: probetest.Need(t, "PASSWORD"),
	})
	t.Cleanup(func() { _ = client.Close() })
	return &server{engine: probe.Redis, addr: addr, connections: "total_connections_received", read: func() counts { return readRedis(t, client) }}
}

func readRedis(t *testing.T, client *goredis.Client) counts {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		info, err := client.Do(t.Context(), "info", "all").Text()
		if err != nil {
			t.Fatal(err)
		}
		refused, err := client.ACLLog(t.Context(), 128).Result()
		if err != nil {
			t.Fatal(err)
		}
		c := counts{}
		for _, entry := range refused {
			c["acl_log"] += int(entry.Count)
		}
		for line := range strings.Lines(info) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			switch {
			case name == "connected_clients" || name == "rejected_connections" || name == "total_connections_received":
				c[name], err = strconv.Atoi(value)
			case strings.HasPrefix(name, "errorstat_"):
				c[name], err = strconv.Atoi(strings.TrimPrefix(value, "count="))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if c["connected_clients"] == 1 {
			return c
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d clients are still connected", c["connected_clients"]-1)
		}
	}
}
