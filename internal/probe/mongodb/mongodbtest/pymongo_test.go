package mongodbtest_test

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dialtone/internal/probe/mongodb/mongodbtest"
	"dialtone/internal/probe/probetest"
)

const password = "pass wörd, \"quoted\""

// script logs in and tells what it saw as JSON.
const script = `
import json, sys
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

options = json.loads(sys.stdin.read())
client = MongoClient(serverSelectionTimeoutMS=5000, appname="pymongo", **options)
try:
    with client:
        client.admin.command("listDatabases", nameOnly=True)
        seen = {
            "version": client.server_info()["version"],
            "kind": client.topology_description.topology_type_name,
            "primary": ":".join(map(str, client.primary or [])),
            "secondaries": len(client.secondaries),
        }
except OperationFailure as refused:
    seen = {"code": refused.code}
except PyMongoError as failed:
    seen = {"error": type(failed).__name__}
print(json.dumps(seen))
`

// seen is what pymongo tells.
type seen struct {
	Version     string `json:"version"`
	Kind        string `json:"kind"`
	Primary     string `json:"primary"`
	Secondaries int    `json:"secondaries"`
	Code        int    `json:"code"`
	Error       string `json:"error"`
}

func pymongo(t *testing.T, options map[string]any) seen {
	t.Helper()
	python := probetest.Need(t, "PYTHON")
	input, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	command := exec.CommandContext(ctx, python, "-c", script)
	command.Stdin = strings.NewReader(string(input))
	output, err := command.Output()
	if err != nil {
		if failed, ok := err.(*exec.ExitError); ok { //nolint:errorlint // as exec documents it
			t.Fatalf("pymongo: %v\n%s", err, failed.Stderr)
		}
		t.Fatal(err)
	}
	var s seen
	if err := json.Unmarshal(output, &s); err != nil {
		t.Fatalf("%v in %s", err, output)
	}
	return s
}

func users(mechanisms ...string) []mongodbtest.User {
	return []mongodbtest.User{{Database: "shop", Name: "dt,us=er", Password: password, Mechanisms: mechanisms}}
}

// login are the options of a client that knows the account.
func login(more map[string]any) map[string]any {
	options := map[string]any{"username": "dt,us=er", "password": password, "authSource": "shop"}
	maps.Copy(options, more)
	return options
}

func TestPyMongo(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		server  mongodbtest.Server
		options map[string]any
		want    seen
	}{
		{"SHA-256", mongodbtest.Server{Users: users()}, login(nil), seen{Version: "7.0.14", Kind: "Single"}},
		{"SHA-1", mongodbtest.Server{Users: users("SCRAM-SHA-1")}, login(nil), seen{Version: "7.0.14", Kind: "Single"}},
		{"one exchange more", mongodbtest.Server{Users: users(), Wire: 9, Roundabout: true}, login(nil), seen{Version: "7.0.14", Kind: "Single"}},
		{"a mongos", mongodbtest.Server{Role: mongodbtest.Mongos, Users: users()}, login(nil), seen{Version: "7.0.14", Kind: "Sharded"}},
		{"nobody", mongodbtest.Server{Users: users()}, map[string]any{}, seen{Code: 13}},
		{"wrong password", mongodbtest.Server{Users: users()}, login(map[string]any{"password": "wrong"}), seen{Code: 18}},
		{"wrong password, SHA-1", mongodbtest.Server{Users: users("SCRAM-SHA-1")}, login(map[string]any{"password": "wrong"}), seen{Code: 18}},
		{"wrong database", mongodbtest.Server{Users: users()}, login(map[string]any{"authSource": "admin"}), seen{Code: 18}},
		{"a mechanism it has not", mongodbtest.Server{Users: users("SCRAM-SHA-1")}, login(map[string]any{"authMechanism": "SCRAM-SHA-256"}), seen{Code: 334}},
		{"a server that fails", mongodbtest.Server{Users: users(), Fail: map[string]mongodbtest.Failure{"saslContinue": {Code: 91}}}, login(nil), seen{Error: "NotPrimaryError"}},
		{"too old for it", mongodbtest.Server{Users: users(), Wire: 8}, login(nil), seen{Error: "ConfigurationError"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server := mongodbtest.Start(t, &tc.server)
			tc.options["host"] = "mongodb://" + server.Addr
			if got := pymongo(t, tc.options); got != tc.want {
				t.Errorf("pymongo saw %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestPyMongoOverTLS(t *testing.T) {
	t.Parallel()
	authority := probetest.NewAuthority(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte(authority.PEM().Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	server := mongodbtest.Start(t, &mongodbtest.Server{Users: users(), TLS: authority.Server(t, nil)})
	got := pymongo(t, login(map[string]any{"host": "mongodb://" + server.Addr, "tls": true, "tlsCAFile": ca}))
	if want := (seen{Version: "7.0.14", Kind: "Single"}); got != want {
		t.Errorf("pymongo saw %+v, want %+v", got, want)
	}
}

// TestPyMongoFindsTheSet: a client that is given one member finds the others.
func TestPyMongoFindsTheSet(t *testing.T) {
	t.Parallel()
	servers := mongodbtest.StartSet(t, "rs0", func(s *mongodbtest.Server) { s.Users = users() },
		mongodbtest.Secondary, mongodbtest.Primary, mongodbtest.Secondary)
	got := pymongo(t, login(map[string]any{"host": "mongodb://" + servers[0].Addr, "replicaSet": "rs0"}))
	if want := (seen{Version: "7.0.14", Kind: "ReplicaSetWithPrimary", Primary: servers[1].Addr, Secondaries: got.Secondaries}); got != want {
		t.Errorf("pymongo saw %+v, want %+v", got, want)
	}
}
