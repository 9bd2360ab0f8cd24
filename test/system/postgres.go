package system

import (
	"context"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// PostgresHome is where a Postgres of a test's own lies.
type PostgresHome struct {
	// Dir is for the test, and Data, in it, for the server.
	Dir, Data string

	bin string
	as  []string
}

// NewPostgresHome makes a directory for a Postgres, which ends with the test.
func NewPostgresHome(t *testing.T) PostgresHome {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		Program(t, "initdb") // says what is missing
		t.FailNow()
	}
	dir, err := os.MkdirTemp("", "dialtone-postgres-") //nolint:usetesting // nobody else may enter t.TempDir, and Postgres refuses root
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return PostgresHome{Dir: dir, Data: filepath.Join(dir, "data"), bin: filepath.Dir(found[len(found)-1]), as: unprivileged(t, dir)}
}

// Init makes the data directory, whose superuser is dialtone.
func (h PostgresHome) Init(t *testing.T, args ...string) {
	t.Helper()
	run := slices.Concat(h.as, []string{filepath.Join(h.bin, "initdb"), "-D", h.Data, "-U", "dialtone", "-E", "UTF8", "--locale=C", "-N"}, args)
	initdb := exec.Command(run[0], run[1:]...)
	initdb.Dir = "/"
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
}

// Server is the command that serves it at addr.
func (h PostgresHome) Server(addr string, args ...string) []string {
	_, port, _ := net.SplitHostPort(addr)
	return slices.Concat(h.as, []string{
		filepath.Join(h.bin, "postgres"), "-D", h.Data, "-p", port, "-k", h.Dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200", "-c", "shared_buffers=64MB", "-c", "fsync=off",
	}, args)
}

// unprivileged hands a directory to the user whom Postgres runs as, and gives
// the command that steps down to it: nothing where the test is not root.
func unprivileged(t *testing.T, dir string) []string {
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
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return []string{Program(t, "setpriv"), "--reuid=" + who.Uid, "--regid=" + who.Gid, "--clear-groups", "--"}
}

// AwaitPostgres waits until it answers.
func AwaitPostgres(t *testing.T, dsn string) {
	t.Helper()
	Eventually(t, 20*time.Second, "Postgres answers", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return false
		}
		_ = conn.Close(ctx)
		return true
	})
}
