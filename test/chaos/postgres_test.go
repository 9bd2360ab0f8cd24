package chaos_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"dialtone/test/system"

	"github.com/jackc/pgx/v5"
)

// postgresServer is a Postgres that the test may break.
type postgresServer struct {
	t      *testing.T
	addr   string
	dsn    string
	daemon *daemon
	away   absence
}

func newPostgres(t *testing.T) *postgresServer {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		system.Program(t, "initdb") // says what is missing
		t.FailNow()
	}
	bin := filepath.Dir(found[len(found)-1])
	home, err := os.MkdirTemp("", "dialtone-chaos-") //nolint:usetesting // nobody else may enter t.TempDir, and Postgres refuses root
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	as := unprivileged(t, home)
	run := append(as, filepath.Join(bin, "initdb"), "-D", filepath.Join(home, "data"), "-U", "dialtone", "--auth=trust", "-E", "UTF8", "--locale=C", "-N")
	initdb := exec.Command(run[0], run[1:]...)
	initdb.Dir = "/"
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	addr := system.LastingAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	run = append(as, filepath.Join(bin, "postgres"), "-D", filepath.Join(home, "data"), "-p", port, "-k", home,
		"-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200", "-c", "shared_buffers=64MB", "-c", "fsync=off")
	p := &postgresServer{t: t, addr: addr, dsn: fmt.Sprintf("postgres://dialtone:any@%s/postgres?sslmode=disable", addr)}
	// By SIGTERM it would wait for every client.
	p.daemon = newDaemon(t, syscall.SIGINT, run...)
	p.start()
	return p
}

// unprivileged hands a directory to the user whom Postgres runs as, and gives
// the command that steps down to it: nothing where the test is not root.
func unprivileged(t *testing.T, home string) []string {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(who.Uid)
	gid, _ := strconv.Atoi(who.Gid)
	if err := os.Chown(home, uid, gid); err != nil {
		t.Fatal(err)
	}
	// The capacity ends here, so that nobody appends over another's words.
	as := []string{system.Program(t, "setpriv"), "--reuid=" + who.Uid, "--regid=" + who.Gid, "--clear-groups", "--"}
	return slices.Clip(as)
}

func (p *postgresServer) start() {
	p.t.Helper()
	p.daemon.start()
	system.Eventually(p.t, 20*time.Second, "Postgres answers", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, p.dsn)
		if err != nil {
			return false
		}
		_ = conn.Close(ctx)
		return true
	})
}

// restart ends Postgres as an operator or as a crash does, and starts it again
// after a while.
func (p *postgresServer) restart(crash bool, away time.Duration) {
	p.t.Helper()
	back := p.away.begin()
	by := syscall.SIGINT
	if crash {
		by = syscall.SIGQUIT
	}
	p.daemon.end(by)
	time.Sleep(away)
	p.start()
	back()
}
