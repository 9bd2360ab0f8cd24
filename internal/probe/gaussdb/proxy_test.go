package gaussdb_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dialtone/internal/probe"
	"dialtone/internal/probe/gaussdb"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/secret"
)

// serverTimeout is a test's time where the server is a real one.
const serverTimeout = 15 * time.Second

// javaTimeout is for a server that reads its own program during the first test.
const javaTimeout = time.Minute

// A server that others wrote judges our proof: ShardingSphere's proxy, which
// plays an openGauss before a PostgreSQL.
func TestShardingSphere(t *testing.T) {
	t.Parallel()
	const password = "Dt pass/ö%41"
	address := shardingSphere(t, password)
	for _, tc := range []struct {
		name   string
		change func(*probe.Target)
		code   probe.Code
		phase  probe.Phase
		logins int
	}{
		{"right", func(*probe.Target) {}, probe.CodeOK, "", 1},
		{"wrong password", func(t *probe.Target) { t.Password = secret.New("wrong") }, probe.CodeAuthFailed, probe.PhaseLogin, 1},
		{"unknown user", func(t *probe.Target) { t.User = "nobody" }, probe.CodeAuthFailed, probe.PhaseLogin, 1},
		{"unknown database", func(t *probe.Target) { t.Database = "nowhere" }, probe.CodeDatabaseUnknown, probe.PhaseSession, 1},
		{"TLS not offered", func(t *probe.Target) { t.TLS = &probe.TLS{Verify: probe.VerifyNone} }, probe.CodeTLSNotSupported, probe.PhaseTLS, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			goal := target()
			goal.Addresses, goal.Password = []probe.Address{address}, secret.New(password)
			tc.change(&goal)
			logins := 0
			goal.BeforeLogin = func(context.Context) error { logins++; return nil }
			r, err := probetest.Runner(t, gaussdb.New(gaussdb.Config{}), javaTimeout).Run(t.Context(), goal)
			if err != nil {
				t.Fatal(err)
			}
			if r.Code != tc.code || r.Phase != tc.phase || logins != tc.logins {
				t.Errorf("Run() = %s in %q after %d logins, want %s in %q after %d (server: %s %s)",
					r.Code, r.Phase, logins, tc.code, tc.phase, tc.logins, r.Evidence.ServerCode, r.Evidence.ServerText)
			}
			if r.OK() && (r.Evidence.Mechanism != "sha256" || r.Evidence.Facts["role"] != "primary" || !strings.Contains(r.Evidence.Version, "ShardingSphere")) {
				t.Errorf("evidence: %+v", r.Evidence)
			}
			probetest.WellFormed(t, r)
			probetest.NoSecrets(t, goal, r)
		})
	}
}

// shardingSphere starts the proxy with the one account of the tests.
func shardingSphere(t *testing.T, password string) probe.Address {
	t.Helper()
	jars, behind := probetest.Need(t, "GAUSSDB_PROXY_JARS"), probetest.Addr(t, "POSTGRES_PLAIN_ADDR")
	home := t.TempDir()
	write := func(name, text string) {
		file := filepath.Join(home, "conf", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("server.yaml", `
rules:
  - !AUTHORITY
    users: ["`+probetest.User+`@%:`+password+`"]
    provider: {type: ALL_PRIVILEGES_PERMITTED}
props: {proxy-frontend-database-protocol-type: openGauss}
`)
	write("config-login.yaml", `
schemaName: `+probetest.Database+`
dataSources:
  behind:
    url: jdbc:postgresql://`+behind.String()+`/dt_login
    username: dt_scram
    password: `+probetest.Need(t, "PASSWORD")+`
    maxPoolSize: 2
rules: []
`)
	write("../logback.xml", `<configuration><root level="off"/></configuration>`)
	port := freePort(t)
	// It finds conf on the class path, and keeps a journal where it runs.
	java := exec.CommandContext(t.Context(), "java", "-Xmx256m", "-cp", ".:"+jars, "org.apache.shardingsphere.proxy.Bootstrap", port)
	java.Dir = home
	var said strings.Builder
	java.Stdout, java.Stderr = &said, &said
	if err := java.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = java.Wait(); close(ended) }()
	t.Cleanup(func() { <-ended }) // the context is done by then
	for {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = conn.Close()
			number, _ := strconv.ParseUint(port, 10, 16)
			return probe.Address{Host: "127.0.0.1", Port: uint16(number)}
		}
		select {
		case <-ended:
			t.Fatalf("ShardingSphere's proxy ended: %s", said.String())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// freePort is a port on which nobody listens now.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
