// Package system runs dialtone for tests as an operator would: it builds the
// binaries and starts an api with workers on real servers.
package system

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"dialtone/internal/queue"
	"dialtone/internal/sabotage"
	"dialtone/internal/secret"
)

// The project that calls are made for, its token and its access key, and
// another project with a token of its own.
const (
	Project   = "054ba152d480d55b2f5dc0069e7ddef0"
	Token     = "e2e-token-that-is-long-enough"
	AccessKey = "AKE2E0000000000000001"
	SecretKey = "SKe2e0000000000000000000000000000000001"

	// ForceToken is Project's, too, with the role force.
	ForceToken = "e2e-token-with-the-role-force"

	OtherProject = "0549a6a31000d4e82fd1c00c3d6f2d76"
	OtherToken   = "e2e-token-of-the-other-project"
)

var (
	// root is where the module lies.
	root string
	// binaries is where Main puts what it builds.
	binaries string
)

// Main is for TestMain: it builds the binaries, runs the tests and exits.
func Main(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	found, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "dialtone").Output()
	if err != nil {
		return 0, fmt.Errorf("find the module: %w", err)
	}
	root = strings.TrimSpace(string(found))
	if binaries = os.Getenv("DIALTONE_TEST_PROGRAMS"); binaries == "" { // scripts/sabotage has built them
		dir, err := os.MkdirTemp("", "dialtone-e2e-")
		if err != nil {
			return 0, err
		}
		defer os.RemoveAll(dir)
		if err := build(dir); err != nil {
			return 0, err
		}
		binaries = dir
	}
	if err := together(); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// build makes the binaries as this one was made, with the switches of
// test/promises or without.
func build(dir string) error {
	args := []string{"build", "-o", dir + string(filepath.Separator)}
	if sabotage.Built {
		args = append(args, "-tags", "sabotage")
	}
	cmd := exec.Command("go", append(args, "./cmd/...")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the binaries: %w\n%s", err, out)
	}
	return nil
}

// together runs more tests at once than there are cores, unless the caller has
// said how many: they wait for timeouts much more than they compute.
func together() error {
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if said {
		return nil
	}
	return flag.Set("test.parallel", "6")
}

// Root is the directory of the module.
func Root() string { return root }

// Binary is where one of our programs lies.
func Binary(name string) string { return filepath.Join(binaries, name) }

// Need gives an environment variable of scripts/services, and skips the test
// without it; in CI that is a failure.
func Need(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		missing(t, "%s is not set: start the servers with scripts/services", name)
	}
	return value
}

// Program finds a program that scripts/services installs, and skips the test
// without it; in CI that is a failure.
func Program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, "%s is not there: scripts/services install", name)
	}
	return path
}

func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// System is an api with its workers, on a Postgres database and a Redis
// database of its own.
type System struct {
	T       *testing.T
	API     *Process
	URL     string
	Metrics string
	Workers []*Process
	// DSN is the store's.
	DSN string
	// Postgres and Redis are the ways to the two, for the binaries only. There is
	// none to a Redis of the test's own.
	Postgres, Redis *Forward
	// Client makes the calls.
	Client *http.Client
	// AuthFile is the list of callers, and KeysetFile the keyset.
	AuthFile, KeysetFile string
	// Token is the calls' own. Default: the constant.
	Token string

	dir    string
	env    []string
	byFile bool
	redis  *queue.Redis
	number int // of the Redis database
	// processes are all that were ever started.
	processes []*Process
}

// Options of Start; the zero value is one worker and registered jobs only.
type Options struct {
	// Workers is how many to start; at least one.
	Workers int
	// Env is added to both binaries'.
	Env []string
	// Postgres (a DSN) is a server of the test's own, and so is Redis (an address),
	// which may demand RedisPassword. Default: those of scripts/services.
	Postgres, Redis, RedisPassword string
	// RedisURL, in place of Redis, leads the binaries to servers of the test's own
	// without a Forward. Nobody else may use them.
	RedisURL string
	// SecretsByFile gives secrets to the binaries in files, instead of in their
	// environment.
	SecretsByFile bool
}

// Start starts everything and waits until it is ready.
func Start(t *testing.T, o Options) *System {
	t.Helper()
	s := Prepare(t, o)
	s.StartAPI()
	for range max(o.Workers, 1) {
		s.StartWorker()
	}
	return s
}

// Prepare makes everything that api and workers need, and starts neither.
func Prepare(t *testing.T, o Options) *System {
	t.Helper()
	s := &System{T: t, dir: t.TempDir(), byFile: o.SecretsByFile, Client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}}
	if o.Postgres == "" {
		o.Postgres = Need(t, "DIALTONE_TEST_POSTGRES_DSN")
	}
	s.database(o.Postgres)
	if o.RedisURL == "" {
		addr := o.Redis
		if addr == "" {
			addr = Need(t, "DIALTONE_TEST_REDIS_ADDR")
		}
		s.number = s.reserve(o.Postgres)
		s.Redis = NewForward(t, addr)
		s.queue(fmt.Sprintf("redis://%s/%d", addr, s.number), s.RedisURL(s.Redis), o.RedisPassword)
	} else {
		s.queue(o.RedisURL, o.RedisURL, o.RedisPassword)
	}
	s.files()
	s.env = append(s.env, o.Env...)
	Run(t, s.env, "dialtone", "migrate")
	return s
}

// database makes a Postgres database and drops it at the end.
func (s *System) database(admin string) {
	s.T.Helper()
	cfg, err := pgx.ParseConfig(admin)
	if err != nil {
		s.T.Fatal(err)
	}
	name := "e2e_" + random()
	connect := func(do string) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, admin)
		if err != nil {
			s.T.Fatal(err)
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, do); err != nil {
			s.T.Errorf("%s: %v", do, err)
		}
	}
	connect("create database " + name)
	s.T.Cleanup(func() { connect("drop database if exists " + name + " with (force)") })
	// The store has an address of its own: what it is reached at is denied to
	// every probe, and the same server is a target of the tests.
	s.Postgres = NewForward(s.T, net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port))))
	s.DSN = fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", url.UserPassword(cfg.User, cfg.Password), s.Postgres.Addr, name)
}

// queue empties a Redis database that no other system has, and leads the
// binaries to it by a way of theirs.
func (s *System) queue(ours, theirs, password string) {
	s.T.Helper()
	var err error
	if s.redis, err = queue.Connect(queue.Config{URL: secret.New(ours), Password: secret.New(password), ClientName: "the-test"}); err != nil {
		s.T.Fatal(err)
	}
	s.T.Cleanup(func() { _ = s.redis.Close() })
	s.FlushRedis()
	s.secret("DIALTONE_REDIS_URL", theirs)
	if password != "" {
		s.secret("DIALTONE_REDIS_PASSWORD", password)
	}
}

// reserve takes the number of a Redis database until the test ends, whichever
// test binary it is in, by a lock in Postgres, which does not outlive this process. Number 0 is for the tests
// of packages.
func (s *System) reserve(admin string) int {
	s.T.Helper()
	conn, err := pgx.Connect(s.T.Context(), admin)
	if err != nil {
		s.T.Fatal(err)
	}
	s.T.Cleanup(func() { _ = conn.Close(context.Background()) })
	const first, last, space = 1, 15, 0x6474 // Redis has 16 unless told otherwise
	number := 0
	Eventually(s.T, 5*time.Minute, "a Redis database is free", func() bool {
		for n := first; n <= last && number == 0; n++ {
			var mine bool
			if err := conn.QueryRow(s.T.Context(), "select pg_try_advisory_lock($1, $2)", space, n).Scan(&mine); err != nil {
				s.T.Fatal(err)
			}
			if mine {
				number = n
			}
		}
		return number != 0
	})
	return number
}

// RedisURL is the system's Redis database by another way than Redis.
func (s *System) RedisURL(way *Forward) string {
	return fmt.Sprintf("redis://%s/%d", way.Addr, s.number)
}

// files writes what the binaries read: keys, callers, allow-list.
func (s *System) files() {
	s.T.Helper()
	s.KeysetFile = s.write("keyset.json", Run(s.T, nil, "dialtone", "keys", "new"))
	secretKey := s.write("secret-key", SecretKey)
	s.AuthFile = s.write("auth.yaml", fmt.Sprintf(`tokens:
  - {name: e2e, sha256: %s, projects: ["%s"], roles: [drs_adm]}
  - {name: force, sha256: %s, projects: ["%s"], roles: [drs_adm, force]}
  - {name: other, sha256: %s, projects: ["%s"], roles: [drs_adm]}
access_keys:
  - {ak: %s, secret_file: %s, projects: ["%s"], roles: [drs_adm]}
`, HashToken(Token), Project, HashToken(ForceToken), Project, HashToken(OtherToken), OtherProject, AccessKey, secretKey, Project))
	s.secret("DIALTONE_POSTGRES_DSN", s.DSN)
	s.env = append(s.env,
		"DIALTONE_KEYSET_FILE="+s.KeysetFile,
		"DIALTONE_AUTH_FILE="+s.AuthFile,
		"DIALTONE_EGRESS_ALLOW_FILE="+s.write("allow-list", "127.0.0.0/8 1-65535 * *\n"),
		"DIALTONE_EGRESS_LOCAL=allow",
	)
}

// secret adds a setting that is a secret.
func (s *System) secret(name, value string) {
	s.T.Helper()
	if s.byFile {
		name, value = name+"_FILE", s.write(name, value)
	}
	s.env = append(s.env, name+"="+value)
}

// HashToken is a token as the list of callers has it.
func HashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

func (s *System) write(name, content string) string {
	s.T.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.T.Fatal(err)
	}
	return path
}

// StartAPI starts an api and waits until it is ready. Calls go to the one that
// was started last.
func (s *System) StartAPI(extra ...string) {
	s.T.Helper()
	s.LaunchAPI(extra...)
	s.API.WaitReady(s.T)
}

// LaunchAPI is StartAPI that does not wait until it is ready.
func (s *System) LaunchAPI(extra ...string) {
	s.T.Helper()
	s.API = s.launch("api", append([]string{"DIALTONE_LISTEN=127.0.0.1:0"}, extra...))
	// A connection that has been opened and not used yet holds a stop up for
	// 5 s, and clients open such.
	s.T.Cleanup(s.Client.CloseIdleConnections)
	s.URL = "http://" + s.API.logged(s.T, "api started")
	s.Metrics = "http://" + s.API.Admin
}

// StartWorker starts one more worker and waits until it is ready.
func (s *System) StartWorker(extra ...string) *Process {
	s.T.Helper()
	w := s.LaunchWorker(extra...)
	w.WaitReady(s.T)
	return w
}

// LaunchWorker is StartWorker that does not wait until it is ready.
func (s *System) LaunchWorker(extra ...string) *Process {
	s.T.Helper()
	w := s.launch("worker", extra)
	s.Workers = append(s.Workers, w)
	return w
}

func (s *System) launch(name string, extra []string) *Process {
	s.T.Helper()
	env := append(append([]string{"DIALTONE_ADMIN_LISTEN=127.0.0.1:0"}, s.env...), extra...)
	p := Launch(s.T, env, name)
	s.processes = append(s.processes, p)
	p.Admin = p.logged(s.T, "admin listener started")
	return p
}

// Dialtone starts the command line program in the system's environment.
func (s *System) Dialtone(args ...string) *Process {
	s.T.Helper()
	return Launch(s.T, s.env, "dialtone", args...)
}

// Env is what the binaries are told.
func (s *System) Env() []string { return slices.Clone(s.env) }

// Begin starts a binary and waits for nothing: it may well end.
func (s *System) Begin(name string, extra ...string) *Process {
	s.T.Helper()
	env := append(append([]string{"DIALTONE_ADMIN_LISTEN=127.0.0.1:0", "DIALTONE_LISTEN=127.0.0.1:0"}, s.env...), extra...)
	return Launch(s.T, env, name)
}

// Processes are all apis and workers that were started, also those that have ended.
func (s *System) Processes() []*Process { return s.processes }

// OtherAPI starts a second api beside the first, told otherwise, and gives the
// system as it looks through that one.
func (s *System) OtherAPI(extra ...string) *System {
	s.T.Helper()
	other := *s
	other.StartAPI(extra...)
	return &other
}

// Eventually polls until ok says so.
func Eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(20 * time.Millisecond) // a poll, not a wait
	}
}

func random() string {
	var b [6]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Mirror registers a job in the given state.
func (s *System) Mirror(id, status, role string) {
	s.T.Helper()
	a := s.Must(http.MethodPut, "/jobs/"+id+"/state", map[string]any{"status": status, "role": role})
	if a.Status/100 != 2 {
		s.T.Fatalf("mirror %s: %d %s", id, a.Status, a.Body)
	}
}

// FlushRedis makes Redis lose everything that the system has in it.
func (s *System) FlushRedis() {
	s.T.Helper()
	var err error
	if cluster, ok := s.redis.Client().(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(s.T.Context(), func(ctx context.Context, node *redis.Client) error { return node.FlushDB(ctx).Err() })
	} else {
		err = s.redis.Client().FlushDB(s.T.Context()).Err()
	}
	if err != nil {
		s.T.Fatal(err)
	}
}

// Processed is asynq's own count of handled tasks over all queues. It may be
// some seconds old.
func (s *System) Processed() int {
	s.T.Helper()
	depths, err := s.redis.Depths(s.T.Context())
	if err != nil {
		s.T.Fatal(err)
	}
	total := 0
	for _, d := range depths {
		total += d.Processed
	}
	return total
}

// Unfinished counts the tasks that Redis still holds, by queue and state,
// where there are any. It may be some seconds old.
func (s *System) Unfinished() (map[string]int, error) {
	depths, err := s.redis.Depths(s.T.Context())
	if err != nil {
		return nil, err
	}
	held := map[string]int{}
	for _, d := range depths {
		for state, n := range d.Sizes {
			if n > 0 && state != "completed" {
				held[d.Queue+" "+state] = n
			}
		}
	}
	return held, nil
}
