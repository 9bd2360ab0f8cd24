package canary_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"dialtone/test/system"
)

// ground is a Postgres and a Redis of the run's own, which write down all they
// are told.
type ground struct {
	// dsn is Postgres' for its superuser.
	dsn, postgresDir string
	postgresLog      *place
	// redis is an address, redisTLS the one with TLS and a client's certificate.
	redis, redisTLS string
	redisDir        string
	client          *redis.Client
}

// daemon starts a server that ends with the test by the signal, and whose
// output goes to a stream.
func daemon(t *testing.T, out io.Writer, by syscall.Signal, run ...string) {
	t.Helper()
	cmd := exec.Command(run[0], run[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(by)
		select {
		case <-ended:
		case <-time.After(2 * system.WaitForServers):
			t.Errorf("%s did not end", run[0])
			_ = cmd.Process.Kill()
			<-ended
		}
	})
}

// startPostgres starts a Postgres whose superuser has the password. It logs
// every statement with every parameter, and so shows also what is not kept.
func (g *ground) startPostgres(t *testing.T, password string) {
	t.Helper()
	home := system.NewPostgresHome(t)
	given := filepath.Join(home.Dir, "password")
	if err := os.WriteFile(given, []byte(password+"\n"), 0o644); err != nil { // for another user, and only a moment
		t.Fatal(err)
	}
	g.postgresDir = home.Data
	home.Init(t, "--auth=scram-sha-256", "--pwfile="+given, "--wal-segsize=4")
	if err := os.Remove(given); err != nil {
		t.Fatal(err)
	}
	addr := system.FreeAddr(t)
	g.postgresLog = &place{name: "Postgres' log of every statement and parameter", holds: []string{"insert into", "parameters: $1 = "}}
	run := home.Server(addr,
		"-c", "log_statement=all", "-c", "log_min_messages=debug1", "-c", "log_parameter_max_length=-1", "-c", "log_parameter_max_length_on_error=-1",
		"-c", "log_connections=on", "-c", "log_min_duration_statement=0", "-c", "default_toast_compression=pglz")
	daemon(t, g.postgresLog.stream(), syscall.SIGINT, run...)
	g.dsn = fmt.Sprintf("postgres://%s@%s/postgres?sslmode=disable", url.UserPassword("dialtone", password), addr)
	system.AwaitPostgres(t, g.dsn)
}

// startRedis starts a Redis with the password, which keeps every write in its
// log and compresses nothing.
func (g *ground) startRedis(t *testing.T, password string) {
	t.Helper()
	g.redisDir = t.TempDir()
	pki := system.Need(t, "DIALTONE_TEST_PKI")
	g.redis, g.redisTLS = system.FreeAddr(t), system.FreeAddr(t)
	_, port, _ := net.SplitHostPort(g.redis)
	_, tlsPort, _ := net.SplitHostPort(g.redisTLS)
	conf := filepath.Join(t.TempDir(), "redis.conf")
	lines := []string{
		"bind 127.0.0.1", "port " + port, "tls-port " + tlsPort, "dir " + g.redisDir, "requirepass " + strconv.Quote(password), "save \"\"",
		"appendonly yes", "aof-use-rdb-preamble no", "auto-aof-rewrite-percentage 0", "rdbcompression no", "maxmemory-policy noeviction",
		"loglevel debug", "tls-cert-file " + pki + "/server.pem", "tls-key-file " + pki + "/server.key", "tls-ca-cert-file " + pki + "/ca.pem",
		"tls-auth-clients optional",
	}
	if err := os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon(t, io.Discard, syscall.SIGTERM, system.Program(t, "redis-server"), conf)
	g.client = redis.NewClient(&redis.Options{Addr: g.redis, Password: password, MaxRetries: -1})
	t.Cleanup(func() { _ = g.client.Close() })
	system.Eventually(t, system.WaitForServers, "Redis answers", func() bool { return g.client.Ping(t.Context()).Err() == nil })
}

// monitor has Redis tell every command that it gets into the place. Redis
// leaves out the logins.
func (g *ground) monitor(t *testing.T, password string, into *place) {
	t.Helper()
	conn, err := net.Dial("tcp", g.redis)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	in := bufio.NewReader(conn)
	for _, command := range []string{fmt.Sprintf("*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n", len(password), password), "*1\r\n$7\r\nMONITOR\r\n"} {
		if _, err := io.WriteString(conn, command); err != nil {
			t.Fatal(err)
		}
		if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "+OK") {
			t.Fatalf("Redis says %q, %v", line, err)
		}
	}
	out := into.stream()
	go func() { _, _ = io.Copy(out, in) }()
}
