package redis_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/probe"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/probe/redis/redistest"
)

// What servers of all ages and kinds say, word for word.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const protected = "-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the default user. In this mode connections are only accepted from the loopback interface. "
	for _, tc := range []struct {
		name, command, reply string
		code                 probe.Code
		phase                probe.Phase
	}{
		{"protected mode", "PING", protected + strings.Repeat("If you want to connect from external computers ", 20) + "\r\n", probe.CodeHostNotAllowed, probe.PhaseProtocol},
		{"full", "PING", "-ERR max number of clients reached\r\n", probe.CodeTooManyConnections, probe.PhaseProtocol},
		{"full with a cluster's links", "PING", "-ERR max number of clients + cluster connections reached\r\n", probe.CodeTooManyConnections, probe.PhaseProtocol},
		{"a script runs", "PING", "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n", probe.CodeServerNotReady, probe.PhaseProtocol},
		{"cannot save", "PING", "-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.\r\n", probe.CodeServerError, probe.PhaseProtocol},
		{"a mail server", "PING", "+OK POP3 ready\r\n", probe.CodeProtocolMismatch, probe.PhaseProtocol},
		{"memcached", "PING", "ERROR\r\n", probe.CodeProtocolMismatch, probe.PhaseProtocol},
		{"a line without a return", "PING", "+PONG\n", probe.CodeProtocolMismatch, probe.PhaseProtocol},
		{"a reply too many", "PING", "+PONG\r\n+PONG\r\n", probe.CodeProtocolMismatch, probe.PhaseProtocol},
		{"Redis 2.6 wants a password", "PING", "-ERR operation not permitted\r\n", probe.CodeOK, ""},
		{"the default user may do nothing", "PING", "-NOPERM this user has no permissions to run the 'ping' command\r\n", probe.CodePermissionDenied, probe.PhaseSession},
		{"wrong password, Redis 5", "AUTH", "-ERR invalid password\r\n", probe.CodeAuthFailed, probe.PhaseLogin},
		{"wrong password, another product", "AUTH", "-ERR invalid username-password pair\r\n", probe.CodeAuthFailed, probe.PhaseLogin},
		{"no password is set, Redis 5", "AUTH", "-ERR Client sent AUTH, but no password is set\r\n", probe.CodeAuthNotEnabled, probe.PhaseLogin},
		{"Redis 5 knows no users", "AUTH", "-ERR wrong number of arguments for 'auth' command\r\n", probe.CodeAuthMechanism, probe.PhaseLogin},
		{"says yes and no", "AUTH", "+QUEUED\r\n", probe.CodeProtocolMismatch, probe.PhaseLogin},
		{"a number for a login", "AUTH", ":1\r\n", probe.CodeProtocolMismatch, probe.PhaseLogin},
		{"repeats the password", "AUTH", "-WRONGPASS you said " + probetest.Password + " of course\r\n", probe.CodeAuthFailed, probe.PhaseLogin},
		{"SELECT is forbidden", "SELECT", "-NOPERM this user has no permissions to run the 'select' command\r\n", probe.CodePermissionDenied, probe.PhaseSession},
		{"Redis 5 has no such database", "SELECT", "-ERR invalid DB index\r\n", probe.CodeDatabaseUnknown, probe.PhaseSession},
		{"INFO is unknown", "INFO", "-ERR unknown command 'INFO'\r\n", probe.CodeOK, ""},
		{"the name is not taken", "CLIENT", "-ERR unknown command 'CLIENT'\r\n", probe.CodeOK, ""},
		{"INFO is endless", "INFO", "$300000\r\n", probe.CodeProtocolMismatch, probe.PhaseSession},
		{"INFO is not closed", "INFO", "$4\r\nroleX\r\n", probe.CodeProtocolMismatch, probe.PhaseSession},
		{"nests without end", "INFO", strings.Repeat("*1\r\n", 4000) + ":1\r\n", probe.CodeProtocolMismatch, probe.PhaseSession},
		{"announces four thousand million", "INFO", "*4294967296\r\n", probe.CodeProtocolMismatch, probe.PhaseSession},
		{"a length that is none", "INFO", "$-2\r\n", probe.CodeProtocolMismatch, probe.PhaseSession},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			fake := &redistest.Server{
				Users: map[string]string{probetest.User: probetest.Password}, Replies: map[string]string{tc.command: tc.reply},
			}
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
				mine := *fake
				if tc.code == probe.CodeOK && tc.command == "PING" { // only before the login
					mine.Replies = map[string]string{"PING": tc.reply}
					mine.OnAuth = func() { delete(mine.Replies, "PING") }
				}
				mine.Serve(conn)
			})
			goal := target(s, probe.Redis)
			goal.Database = "0"
			r := run(t, lenient, goal, probetest.Timeout)
			if r.Code != tc.code || r.Phase != tc.phase {
				t.Errorf("Run() = %s in %q, want %s in %q (server: %s %s)", r.Code, r.Phase, tc.code, tc.phase, r.Evidence.ServerCode, r.Evidence.ServerText)
			}
			if s.Accepted() != 1 {
				t.Errorf("%d connections were made", s.Accepted())
			}
		})
	}
}

func TestProducts(t *testing.T) {
	t.Parallel()
	for lines, want := range map[string]string{
		"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\nredis_mode:standalone\r\n": "Valkey 8.0.1",
		"redis_version:7.4.0\r\ndragonfly_version:df-v1.25\r\n":                                          "Dragonfly df-v1.25",
		"redis_version:5.0.14\r\nredis_mode:standalone\r\n":                                              "Redis 5.0.14",
	} {
		fake := &redistest.Server{Replies: map[string]string{"INFO SERVER": redistest.Bulk(lines)}}
		s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) { fake.Serve(conn) })
		goal := target(s, probe.Redis)
		goal.User = "" // and no password
		goal.Password = probe.Target{}.Password
		if r := run(t, lenient, goal, probetest.Timeout); !r.OK() || r.Evidence.Product+" "+r.Evidence.Version != want {
			t.Errorf("Run() = %s, the server is %q %q, want %s", r.Code, r.Evidence.Product, r.Evidence.Version, want)
		}
	}
}

// nowhere is an address at which nobody listens.
func nowhere(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// Clusters as they announce themselves to clients.
func TestAnnouncedNodes(t *testing.T) {
	t.Parallel()
	node := func(replies map[string]string) string {
		fake := &redistest.Server{Users: map[string]string{"x": "y"}, Replies: replies, Slots: "*0\r\n"}
		return probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) { fake.Serve(conn) }).Addr.String()
	}
	const all, half, rest = 16383, 8191, 8192
	other, closed := node(nil), nowhere(t)
	loading := node(map[string]string{"PING": "-LOADING Redis is loading the dataset in memory\r\n"})
	full := node(map[string]string{"PING": "-ERR max number of clients reached\r\n"})
	web := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
		_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	}).Addr.String()
	slots := redistest.Slots
	for _, tc := range []struct {
		name, slots, state string
		code               probe.Code
		phase              probe.Phase
		members            map[string]probe.Code
	}{
		{"another node", slots(redistest.Range(0, half, ":1"), redistest.Range(rest, all, other)), "ok", probe.CodeAdvertisedUnreachable, probe.PhaseTopology, map[string]probe.Code{"127.0.0.1:1": probe.CodeConnectionRefused, other: probe.CodeOK}},
		{"a node twice", slots(redistest.Range(0, half, other), redistest.Range(rest, all, other)), "ok", probe.CodeOK, "", map[string]probe.Code{other: probe.CodeOK}},
		{"a replica that cannot be reached", slots(redistest.Range(0, all, other, closed)), "ok", probe.CodeAdvertisedUnreachable, probe.PhaseTopology, map[string]probe.Code{other: probe.CodeOK, closed: probe.CodeConnectionRefused}},
		{"a replica that loads", slots(redistest.Range(0, all, other, loading)), "ok", probe.CodeOK, "", map[string]probe.Code{other: probe.CodeOK, loading: probe.CodeServerNotReady}},
		{"a full node", slots(redistest.Range(0, all, full)), "ok", probe.CodeAdvertisedUnreachable, probe.PhaseTopology, map[string]probe.Code{full: probe.CodeTooManyConnections}},
		{"not Redis", slots(redistest.Range(0, all, web)), "ok", probe.CodeAdvertisedUnreachable, probe.PhaseTopology, map[string]probe.Code{web: probe.CodeProtocolMismatch}},
		{"an unknown name", slots(redistest.Range(0, all, "?:6379")), "ok", probe.CodeAdvertisedUnreachable, probe.PhaseTopology, nil},
		{"a slot short", slots(redistest.Range(0, all-1, other)), "ok", probe.CodeDatabaseUnavailable, probe.PhaseSession, nil},
		{"the state is bad", slots(redistest.Range(0, all, other)), "fail", probe.CodeDatabaseUnavailable, probe.PhaseSession, nil},
		{"forbidden", "-NOPERM this user has no permissions to run the 'cluster|slots' command\r\n", "ok", probe.CodePermissionDenied, probe.PhaseSession, nil},
		{"no array", "+OK\r\n", "ok", probe.CodeProtocolMismatch, probe.PhaseSession, nil},
		{"a slot too many", slots(redistest.Range(0, all+1, other)), "ok", probe.CodeProtocolMismatch, probe.PhaseSession, nil},
		{"slots below nothing", slots(redistest.Range(-5, all, other)), "ok", probe.CodeProtocolMismatch, probe.PhaseSession, nil},
		{"nobody serves it", slots(redistest.Range(0, all)), "ok", probe.CodeProtocolMismatch, probe.PhaseSession, nil},
		{"a port that is none", slots(redistest.Range(0, all, "127.0.0.1:70000")), "ok", probe.CodeProtocolMismatch, probe.PhaseSession, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			fake := &redistest.Server{
				Users: map[string]string{probetest.User: probetest.Password}, Slots: tc.slots,
				Replies: map[string]string{"CLUSTER INFO": redistest.Bulk("cluster_state:" + tc.state + "\r\n")},
			}
			s := probetest.Serve(t, func(s *probetest.Server, conn net.Conn) { fake.Serve(conn) })
			r := run(t, lenient, target(s, probe.RedisCluster), probetest.Timeout)
			members := map[string]probe.Code{}
			for _, m := range r.Evidence.Members {
				if _, twice := members[m.Address]; twice {
					t.Errorf("%s was tested twice", m.Address)
				}
				members[m.Address] = m.Code
			}
			if tc.members == nil && tc.phase == probe.PhaseTopology {
				members = nil // how a name fails depends on the resolver
			} else if tc.members == nil {
				tc.members = map[string]probe.Code{}
			}
			if diff := cmp.Diff(tc.members, members); diff != "" || r.Code != tc.code || r.Phase != tc.phase {
				t.Errorf("Run() = %s in %q, want %s in %q; members (-want +got):\n%s", r.Code, r.Phase, tc.code, tc.phase, diff)
			}
		})
	}
}

// Addresses of two clusters are no target, though each of them works.
func TestTwoClusters(t *testing.T) {
	t.Parallel()
	one := func(id string) *probetest.Server {
		return probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
			_, port, _ := net.SplitHostPort(conn.LocalAddr().String())
			(&redistest.Server{Slots: strings.ReplaceAll(ownSlots(port), "id-of-:"+port, "id-of-"+(id + ":00000")[:1+len(port)])}).Serve(conn)
		})
	}
	first, second, third := one("a"), one("b"), one("a")
	for _, tc := range []struct {
		name  string
		other *probetest.Server
		want  probe.Code
	}{{"another cluster", second, probe.CodeTopologyMismatch}, {"the same", third, probe.CodeOK}} {
		goal := target(first, probe.RedisCluster)
		goal.User, goal.Password = "", probe.Target{}.Password
		goal.Addresses = append(goal.Addresses, target(tc.other, probe.RedisCluster).Addresses...)
		if r := run(t, lenient, goal, probetest.Timeout); r.Code != tc.want || r.Strict != r.OK() {
			t.Errorf("%s: Run() = %s in %q, strict %v; want %s", tc.name, r.Code, r.Phase, r.Strict, tc.want)
		}
	}
}

// One node with everything may be used as if it were alone; and addresses of
// the list which the cluster does not name are noted.
func TestClusterOfOne(t *testing.T) {
	t.Parallel()
	fake := &redistest.Server{Replies: map[string]string{
		"CLUSTER INFO": redistest.Bulk("cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_size:1\r\n"),
	}}
	s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
		mine := *fake
		_, port, _ := net.SplitHostPort(conn.LocalAddr().String())
		mine.Slots = ownSlots(port)
		mine.Serve(conn)
	})
	goal := target(s, probe.Redis)
	goal.User, goal.Password = "", probe.Target{}.Password
	if r := run(t, lenient, goal, probetest.Timeout); !r.OK() {
		t.Errorf("as redis: Run() = %s in %q", r.Code, r.Phase)
	}
	goal.Engine = probe.RedisCluster
	stray := netip.MustParseAddrPort(nowhere(t))
	goal.Addresses = append(goal.Addresses, probe.Address{Host: stray.Addr().String(), Port: stray.Port()})
	r := run(t, lenient, goal, probetest.Timeout)
	if got := r.Evidence.Facts["listed_not_announced"]; !r.OK() || r.Strict || got != stray.String() {
		t.Errorf("Run() = %s, strict %v, listed_not_announced %q; want ok, false, %s", r.Code, r.Strict, got, stray)
	}
}
