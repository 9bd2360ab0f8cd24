package sqlservertest_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/probe/probetest"
	"dialtone/internal/probe/sqlserver/sqlservertest"
)

// FreeTDS's tsql logs in to the server, so that it is right for others than
// dialtone's own client.

// tsql runs a statement as a user would and gives all that it prints.
func tsql(t *testing.T, server *probetest.Server, encryption, ca, user, password, database, statement string) string {
	t.Helper()
	program := probetest.Need(t, "TSQL")
	conf := filepath.Join(t.TempDir(), "freetds.conf")
	text := fmt.Sprintf("[dt]\nhost = %s\nport = %d\ntds version = 7.4\nencryption = %s\nclient charset = UTF-8\n%s",
		server.Addr.Addr(), server.Addr.Port(), encryption, ca)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	args := []string{"-I", conf, "-S", "dt", "-U", user, "-P", password}
	if database != "" {
		args = append(args, "-D", database)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	cmd.Stdin = strings.NewReader(statement + "\ngo\nexit\n")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	t.Logf("tsql: %v\n%s", err, &out)
	return out.String()
}

// heard keeps the logins that have come.
type heard struct {
	mu     sync.Mutex
	logins []sqlservertest.Login
}

func (h *heard) login(l sqlservertest.Login) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.logins = append(h.logins, l)
}

func (h *heard) all() []sqlservertest.Login {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.logins
}

// serve starts a server that knows the suite's account and keeps its logins.
func serve(t *testing.T, c sqlservertest.Config) (*probetest.Server, *heard) {
	t.Helper()
	h := &heard{}
	c.User, c.Password, c.Database, c.OnLogin = probetest.User, probetest.Password, probetest.Database, h.login
	return probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
		if err := sqlservertest.Serve(conn, c); err != nil {
			t.Logf("the connection ended with: %v", err)
		}
	}), h
}

func TestTSQLLogsIn(t *testing.T) {
	t.Parallel()
	authority := probetest.NewAuthority(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte(authority.PEM().Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	checked := "ca file = " + ca + "\n"
	with := sqlservertest.Config{TLS: authority.Server(t, nil)}
	forced := with
	forced.Force = true
	for _, tc := range []struct {
		name       string
		config     sqlservertest.Config
		encryption string
		ca         string
		encrypted  bool
		session    bool
	}{
		{"a server without encryption", sqlservertest.Config{}, "off", "", false, false},
		{"no encryption where there could be", with, "off", "", false, false},
		{"the login packet only", with, "request", "", true, false},
		{"the whole session", with, "require", checked, true, true},
		{"the server demands it", forced, "request", checked, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server, heard := serve(t, tc.config)
			out := tsql(t, server, tc.encryption, tc.ca, probetest.User, probetest.Password, probetest.Database, "select 1")
			if !strings.Contains(out, "1> 2> \n1\n(1 row affected)") {
				t.Error("tsql does not print the row of select 1")
			}
			logins := heard.all()
			if len(logins) != 1 {
				t.Fatalf("%d logins arrived, want 1", len(logins))
			}
			got := logins[0]
			if got.User != probetest.User || got.Password != probetest.Password || got.Database != probetest.Database || got.Program != "TSQL" ||
				got.Encrypted != tc.encrypted || got.Session != tc.session {
				t.Errorf("the login that arrived is %+v", got)
			}
		})
	}
}

func TestTSQLIsRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, user, password, database string
		config                         sqlservertest.Config
		want                           []string
	}{
		{"wrong password", probetest.User, "wrong", probetest.Database, sqlservertest.Config{}, []string{"Msg 18456", "severity 14", "Login failed for user 'dialtone'."}},
		{"unknown user", "nobody", probetest.Password, "", sqlservertest.Config{}, []string{"Msg 18456", "'nobody'"}},
		{"unknown database", probetest.User, probetest.Password, "nowhere", sqlservertest.Config{}, []string{"Msg 4060", "Msg 18456"}},
		{"statement", probetest.User, probetest.Password, "", sqlservertest.Config{
			Statement: []sqlservertest.Error{{Number: 50000, State: 7, Class: 16, Text: "not today"}},
		}, []string{"Msg 50000", "state 7", "not today"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server, _ := serve(t, tc.config)
			out := tsql(t, server, "off", "", tc.user, tc.password, tc.database, "select 1")
			for _, want := range tc.want {
				if !strings.Contains(out, want) {
					t.Errorf("tsql does not print %q", want)
				}
			}
		})
	}
}

// A client that is sent elsewhere goes there and logs in again.
func TestTSQLIsRouted(t *testing.T) {
	t.Parallel()
	there, arrived := serve(t, sqlservertest.Config{})
	here, seen := serve(t, sqlservertest.Config{Route: &sqlservertest.Route{Host: "127.0.0.1", Port: there.Addr.Port()}})
	tsql(t, here, "off", "", probetest.User, probetest.Password, "", "select 1")
	if len(seen.all()) != 1 || len(arrived.all()) != 1 {
		t.Errorf("%d logins here and %d there, want 1 and 1", len(seen.all()), len(arrived.all()))
	}
}
