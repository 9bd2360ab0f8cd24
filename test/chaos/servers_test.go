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
	"sync"
	"syscall"
	"testing"
	"time"

	"dialtone/test/system"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

// redisMemory is the limit of the private Redis: filled within a moment.
const redisMemory = "24mb"

// redisServer is a Redis that the test may break. It keeps its data over an
// orderly restart and loses them when it is killed.
type redisServer struct {
	t      *testing.T
	addr   string
	dir    string
	daemon *daemon
	// client goes past every Forward.
	client *redis.Client
}

func newRedis(t *testing.T) *redisServer {
	t.Helper()
	r := &redisServer{t: t, addr: system.FreeAddr(t), dir: t.TempDir()}
	host, port, _ := net.SplitHostPort(r.addr)
	r.daemon = newDaemon(t, syscall.SIGTERM, system.Program(t, "redis-server"),
		"--bind", host, "--port", port, "--dir", r.dir, "--save", "900 1", "--appendonly", "no",
		"--maxmemory", redisMemory, "--maxmemory-policy", "noeviction")
	r.client = redis.NewClient(&redis.Options{Addr: r.addr, DB: spareDatabase, MaxRetries: -1})
	t.Cleanup(func() { _ = r.client.Close() })
	r.start()
	return r
}

// spareDatabase is one that no system takes first.
const spareDatabase = 15

func (r *redisServer) start() {
	r.t.Helper()
	r.daemon.start()
	system.Eventually(r.t, system.WaitForServers, "Redis answers", func() bool {
		return r.client.Ping(r.t.Context()).Err() == nil
	})
}

// restart stops Redis, or kills it, which loses all it has, and starts it again
// after a while.
func (r *redisServer) restart(kill bool, away time.Duration) {
	r.t.Helper()
	if kill {
		r.daemon.end(syscall.SIGKILL)
		// What an earlier stop has left would come back.
		_ = os.Remove(filepath.Join(r.dir, "dump.rdb"))
	} else {
		r.daemon.end(syscall.SIGTERM)
	}
	time.Sleep(away)
	r.start()
}

// fill writes until Redis takes no more, and gives back what empties it.
func (r *redisServer) fill() (free func()) {
	r.t.Helper()
	ctx := r.t.Context()
	full := false
	for size := 1 << 20; size >= 64; size /= 4 {
		for i := 0; ; i++ {
			key := fmt.Sprintf("ballast-%d-%d", size, i)
			if err := r.client.Set(ctx, key, make([]byte, size), 0).Err(); err != nil {
				full = redis.HasErrorPrefix(err, "OOM")
				break
			}
		}
	}
	if !full {
		r.t.Error("Redis could not be filled to its limit")
	}
	return func() {
		err := r.client.FlushDB(ctx).Err()
		for end := time.Now().Add(system.WaitForServers); err != nil && time.Now().Before(end); err = r.client.FlushDB(ctx).Err() {
			time.Sleep(50 * time.Millisecond) // it is being restarted
		}
		if err != nil {
			r.t.Errorf("empty Redis: %v", err)
		}
	}
}

// postgresServer is a Postgres that the test may break.
type postgresServer struct {
	t      *testing.T
	addr   string
	dsn    string
	daemon *daemon

	mu   sync.Mutex
	away []span
}

// span is a stretch of time.
type span struct{ from, to time.Time }

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
	addr := system.FreeAddr(t)
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
	from := time.Now()
	by := syscall.SIGINT
	if crash {
		by = syscall.SIGQUIT
	}
	p.daemon.end(by)
	time.Sleep(away)
	p.start()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = append(p.away, span{from, time.Now()})
}

// awayBetween is how long Postgres was away within a stretch of time.
func (p *postgresServer) awayBetween(from, to time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	var sum time.Duration
	for _, s := range p.away {
		begin, end := s.from, s.to
		if begin.Before(from) {
			begin = from
		}
		if end.After(to) {
			end = to
		}
		sum += max(end.Sub(begin), 0)
	}
	return sum
}
