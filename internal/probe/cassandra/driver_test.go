package cassandra_test

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"dialtone/internal/probe/probetest"
)

// login logs in with a driver that others wrote, and says what came of it.
const login = `
import json, os, sys
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster, NoHostAvailable

port, version, user, keyspace = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
cluster = Cluster(["127.0.0.1"], port=port, protocol_version=version, connect_timeout=10, control_connection_timeout=10,
    schema_metadata_enabled=False, token_metadata_enabled=False, compression=False,
    auth_provider=PlainTextAuthProvider(user, os.environ["DIALTONE_LOGIN_PASSWORD"]))
try:
    session = cluster.connect()
    session.set_keyspace(keyspace)
    row = session.execute("SELECT release_version, cluster_name, data_center FROM system.local").one()
    print(json.dumps({"cluster": row.cluster_name, "version": session.cluster.protocol_version}))
except NoHostAvailable as e:
    print(json.dumps({"error": " ".join(type(x).__name__ + " " + str(x) for x in e.errors.values())}))
except Exception as e:
    print(json.dumps({"error": type(e).__name__ + " " + str(e)}))
finally:
    cluster.shutdown()
`

// The server of these tests is none that only our own client understands.
func TestDriverLogsIn(t *testing.T) {
	t.Parallel()
	python := probetest.Need(t, "PYTHON")
	s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) { cluster().Serve(conn, nil) })
	type outcome struct {
		Cluster string `json:"cluster"`
		Version int    `json:"version"`
		Error   string `json:"error"`
	}
	run := func(t *testing.T, version int, user, keyspace string) outcome {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), python, "-c", login, strconv.Itoa(int(s.Addr.Port())), strconv.Itoa(version), user, keyspace)
		cmd.Env = append(os.Environ(), "DIALTONE_LOGIN_PASSWORD="+probetest.Password)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		var got outcome
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		return got
	}
	for _, version := range []int{3, 4, 5} {
		t.Run("version "+strconv.Itoa(version), func(t *testing.T) {
			t.Parallel()
			if got, want := run(t, version, probetest.User, probetest.Database), (outcome{Cluster: "cassandratest", Version: version}); got != want {
				t.Errorf("the driver says %+v, want %+v", got, want)
			}
		})
	}
	for _, tc := range []struct{ name, user, keyspace, want string }{
		{"unknown user", "nobody", probetest.Database, "AuthenticationFailed"},
		{"unknown keyspace", probetest.User, "nowhere", "InvalidRequest"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := run(t, 4, tc.user, tc.keyspace); !strings.Contains(got.Error, tc.want) {
				t.Errorf("the driver says %+v, want %s", got, tc.want)
			}
		})
	}
}
