package redistest_test

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"dialtone/internal/probe/probetest"
	"dialtone/internal/probe/redis/redistest"
)

// Redis' own client logs in and is answered, so that the fake is no mirror of
// ours.
func TestRedisCLI(t *testing.T) {
	t.Parallel()
	probetest.Need(t, "REDIS_ADDR") // where the servers are, their client is too
	fake := &redistest.Server{
		Users: map[string]string{probetest.User: probetest.Password, "default": "pw"},
		Slots: redistest.Slots(redistest.Range(0, 16383, "10.0.0.1:6379", ":6380")),
	}
	s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) { fake.Serve(conn) })
	cli := func(user, password string, args ...string) string {
		words := []string{"-h", s.Addr.Addr().String(), "-p", strconv.Itoa(int(s.Addr.Port()))}
		if user != "" {
			words = append(words, "--user", user)
		}
		cmd := exec.CommandContext(t.Context(), "redis-cli", append(words, args...)...)
		if password != "" { // else it would log in with none
			cmd.Env = append(os.Environ(), "REDISCLI_AUTH="+password)
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("redis-cli: %v", err)
		}
		return string(out)
	}
	for _, tc := range []struct {
		name, user, password string
		args                 []string
		want                 string
	}{
		{"user", probetest.User, probetest.Password, []string{"PING"}, "PONG\n"},
		{"password alone", "", "pw", []string{"PING"}, "PONG\n"},
		{"wrong password", probetest.User, "wrong", []string{"PING"}, "AUTH failed: WRONGPASS invalid username-password pair or user is disabled.\nNOAUTH Authentication required.\n\n"},
		{"no login", "", "", []string{"PING"}, "NOAUTH Authentication required.\n\n"},
		{"database", probetest.User, probetest.Password, []string{"SELECT", "0"}, "OK\n"},
		{"no such database", probetest.User, probetest.Password, []string{"SELECT", "3"}, "ERR SELECT is not allowed in cluster mode\n\n"},
		{"role", probetest.User, probetest.Password, []string{"INFO", "replication"}, "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n"},
		{"slots", probetest.User, probetest.Password, []string{"CLUSTER", "SLOTS"}, "0\n16383\n10.0.0.1\n6379\nid-of-10.0.0.1:6379\n\n\n6380\nid-of-:6380\n\n"},
	} {
		if got := cli(tc.user, tc.password, tc.args...); got != tc.want {
			t.Errorf("%s: redis-cli said %q, want %q", tc.name, got, tc.want)
		}
	}
}
