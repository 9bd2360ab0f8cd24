// Package system runs dialtone for tests as an operator would: it builds the
// binaries and starts an api with workers on real servers.
package system

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"dialtone/internal/queue"
	"dialtone/internal/secret"
)

// The one project, its token and its access key.
const (
	Project   = "054ba152d480d55b2f5dc0069e7ddef0"
	Token     = "e2e-token-that-is-long-enough"
	AccessKey = "AKE2E0000000000000001"
	SecretKey = "SKe2e0000000000000000000000000000000001"
)

// binaries is where Main puts what it builds.
var binaries string

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
	dir, err := os.MkdirTemp("", "dialtone-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	binaries = dir
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "dialtone").Output()
	if err != nil {
		return 0, fmt.Errorf("find the module: %w", err)
	}
	build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./cmd/...")
	build.Dir = strings.TrimSpace(string(root))
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build the binaries: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// Need gives an environment variable of scripts/services, and skips the test
// without it; in CI that is a failure.
func Need(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not set: start the servers with scripts/services", name)
		}
		t.Skipf("%s is not set: start the servers with scripts/services", name)
	}
	return value
}

// System is an api with its workers, on a Postgres database and a Redis
// database of its own.
type System struct {
	T       *testing.T
	dir     string
	env     []string
	API     *Process
	URL     string
	Metrics string
	Workers []*Process
	DSN     string
	redis   *queue.Redis
}

// Options of Start; the zero value is one worker and registered jobs only.
type Options struct {
	// Workers is how many to start; at least one.
	Workers int
	// Env is added to both binaries'.
	Env []string
}

// Start starts everything and waits until it is ready.
func Start(t *testing.T, o Options) *System {
	t.Helper()
	s := &System{T: t, dir: t.TempDir()}
	s.database()
	s.queue()
	s.files()
	s.env = append(s.env, o.Env...)
	Run(t, s.env, "dialtone", "migrate")
	s.StartAPI()
	for range max(o.Workers, 1) {
		s.StartWorker()
	}
	return s
}

// database makes a Postgres database and drops it at the end.
func (s *System) database() {
	s.T.Helper()
	admin := Need(s.T, "DIALTONE_TEST_POSTGRES_DSN")
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
	store := forward(s.T, net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port))))
	s.DSN = fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", cfg.User, cfg.Password, store, name)
}

// queue takes an empty Redis database that no other system has, whichever test
// binary started it.
func (s *System) queue() {
	s.T.Helper()
	addr := Need(s.T, "DIALTONE_TEST_REDIS_ADDR")
	url := fmt.Sprintf("redis://%s/%d", addr, s.reserve())
	var err error
	if s.redis, err = queue.Connect(queue.Config{URL: secret.New(url)}); err != nil {
		s.T.Fatal(err)
	}
	s.T.Cleanup(func() { _ = s.redis.Close() })
	s.FlushRedis()
	s.env = append(s.env, "DIALTONE_REDIS_URL="+url)
}

// reserve takes the number of a Redis database until the test ends, by a lock
// in Postgres, which does not outlive this process. Number 0 is for the tests
// of packages.
func (s *System) reserve() int {
	s.T.Helper()
	conn, err := pgx.Connect(s.T.Context(), Need(s.T, "DIALTONE_TEST_POSTGRES_DSN"))
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

// files writes what the binaries read: keys, callers, allow-list.
func (s *System) files() {
	s.T.Helper()
	keyset := Run(s.T, nil, "dialtone", "keys", "new")
	sum := sha256.Sum256([]byte(Token))
	s.write("secret-key", SecretKey)
	s.write("auth.yaml", fmt.Sprintf(`tokens:
  - name: e2e
    sha256: %s
    projects: ["%s"]
    roles: [drs_adm]
access_keys:
  - ak: %s
    secret_file: %s
    projects: ["%s"]
    roles: [drs_adm]
`, hex.EncodeToString(sum[:]), Project, AccessKey, filepath.Join(s.dir, "secret-key"), Project))
	s.env = append(s.env,
		"DIALTONE_POSTGRES_DSN="+s.DSN,
		"DIALTONE_KEYSET_FILE="+s.write("keyset.json", keyset),
		"DIALTONE_AUTH_FILE="+filepath.Join(s.dir, "auth.yaml"),
		"DIALTONE_EGRESS_ALLOW_FILE="+s.write("allow-list", "127.0.0.0/8 1-65535 * *\n"),
		"DIALTONE_EGRESS_LOCAL=allow",
	)
}

func (s *System) write(name, content string) string {
	s.T.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.T.Fatal(err)
	}
	return path
}

// StartAPI starts an api and waits until it is ready.
func (s *System) StartAPI() {
	s.T.Helper()
	listen, admin := FreeAddr(s.T), FreeAddr(s.T)
	s.URL, s.Metrics = "http://"+listen, "http://"+admin
	env := append([]string{"DIALTONE_LISTEN=" + listen, "DIALTONE_ADMIN_LISTEN=" + admin}, s.env...)
	s.API = Launch(s.T, env, "api")
	waitReady(s.T, s.API, admin)
}

// StartWorker starts one more worker and waits until it is ready.
func (s *System) StartWorker(extra ...string) *Process {
	s.T.Helper()
	admin := FreeAddr(s.T)
	env := append(append([]string{"DIALTONE_ADMIN_LISTEN=" + admin}, s.env...), extra...)
	w := Launch(s.T, env, "worker")
	w.Admin = admin
	s.Workers = append(s.Workers, w)
	waitReady(s.T, w, admin)
	return w
}

// Process is one running binary.
type Process struct {
	Name  string
	cmd   *exec.Cmd
	Admin string
	mu    sync.Mutex
	log   bytes.Buffer
	done  chan struct{}
	err   error
}

func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

// Output is what the process has written so far.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// Launch runs a binary with env and nothing else of ours, and stops it at the
// end of the test.
func Launch(t *testing.T, env []string, name string, args ...string) *Process {
	t.Helper()
	p := &Process{Name: name, done: make(chan struct{})}
	p.cmd = exec.Command(filepath.Join(binaries, name), args...)
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Stop(t)
		if t.Failed() {
			t.Logf("%s said:\n%s", name, tail(p.Output(), 6000))
		}
	})
	return p
}

// Stop ends a process gracefully, and by force when it does not obey.
func (p *Process) Stop(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		t.Errorf("%s did not stop within 30 s", p.Name)
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// Kill ends a process as a power cut would.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Run runs a binary to its end and gives its standard output.
func Run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(binaries, name), args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

func waitReady(t *testing.T, p *Process, admin string) {
	t.Helper()
	Eventually(t, 30*time.Second, p.Name+" is ready", func() bool {
		select {
		case <-p.done:
			t.Fatalf("%s ended: %v\n%s", p.Name, p.err, p.Output())
		default:
		}
		resp, err := http.Get("http://" + admin + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
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

// FreeAddr gives a loopback address that was free a moment ago.
func FreeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func random() string {
	var b [6]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func tail(s string, n int) string {
	if len(s) > n {
		return "...\n" + s[len(s)-n:]
	}
	return s
}

// Answer is a decoded reply.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Decode reads the body as JSON.
func (a Answer) Decode(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal(a.Body, into); err != nil {
		t.Fatalf("decode %q: %v", a.Body, err)
	}
}

// Call makes a request as the token's owner; path follows the project.
func (s *System) Call(ctx context.Context, method, path string, body any, header ...string) (Answer, error) {
	var payload io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return Answer{}, err
		}
		payload = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.URL+"/v3/"+Project+path, payload)
	if err != nil {
		return Answer{}, err
	}
	req.Header.Set("X-Auth-Token", Token)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: raw}, err
}

// Must is Call for a request that must be answered, however.
func (s *System) Must(method, path string, body any, header ...string) Answer {
	s.T.Helper()
	a, err := s.Call(s.T.Context(), method, path, body, header...)
	if err != nil {
		s.T.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// Mirror registers a job in the given state.
func (s *System) Mirror(id, status, role string) {
	s.T.Helper()
	a := s.Must(http.MethodPut, "/jobs/"+id+"/state", map[string]any{"status": status, "role": role})
	if a.Status/100 != 2 {
		s.T.Fatalf("mirror %s: %d %s", id, a.Status, a.Body)
	}
}

// Entry is one request entry; fields are the wire's.
type Entry map[string]any

// Results is the compatible answer.
type Results struct {
	Count   int `json:"count"`
	Results []struct {
		ID        string `json:"id"`
		Status    string `json:"status"`
		Success   *bool  `json:"success"`
		ErrorCode string `json:"error_code"`
		ErrorMsg  string `json:"error_msg"`
	} `json:"results"`
}

// Test sends a batch and gives the Answer with the batch's id.
func (s *System) Test(entries ...Entry) (Results, string) {
	s.T.Helper()
	a := s.Must(http.MethodPost, "/jobs/batch-connection", map[string]any{"jobs": entries})
	if a.Status != http.StatusOK {
		s.T.Fatalf("batch-connection: %d %s", a.Status, a.Body)
	}
	var r Results
	a.Decode(s.T, &r)
	if r.Count != len(entries) || len(r.Results) != len(entries) {
		s.T.Fatalf("%d entries, Answer %s", len(entries), a.Body)
	}
	return r, a.Header.Get("X-Batch-Id")
}

// FlushRedis makes Redis lose everything that the system has in it.
func (s *System) FlushRedis() {
	s.T.Helper()
	if err := s.redis.Client().FlushDB(s.T.Context()).Err(); err != nil {
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
