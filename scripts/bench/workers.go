package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"dialtone/internal/auth"
	"dialtone/internal/batch"
	"dialtone/internal/secret"
)

// workersReport is what 1, 2 and 4 worker processes get done.
type workersReport struct {
	Machine machine      `json:"machine"`
	Slots   int          `json:"slots_per_worker"`
	DelayMS float64      `json:"delay_ms"`
	Rows    []workersRow `json:"rows"`
}

// workersRow is one number of workers. Ceiling is what their slots allow.
type workersRow struct {
	Workers          int     `json:"workers"`
	Entries          int     `json:"entries"`
	EntriesPerSecond float64 `json:"entries_per_second"`
	Ceiling          float64 `json:"ceiling"`
	Shares           []int   `json:"entries_by_worker"`
}

// measureWorkers starts an api and more and more workers, as processes, and
// sends batches of slow targets.
func measureWorkers(ctx context.Context, g *ground, s settings, stdout io.Writer) (_ workersReport, err error) {
	result := workersReport{Machine: g.machine, Slots: s.slots, DelayMS: ms(s.delay)}
	target, stop, err := slowTarget(ctx, s.delay)
	if err != nil {
		return result, err
	}
	defer stop()
	p, err := newProcesses(ctx, g, s)
	if err != nil {
		return result, err
	}
	defer p.stop()
	url, err := p.api(ctx)
	if err != nil {
		return result, err
	}
	c := newCaller(url, batch.Endpoint{
		NetType: "eip", DBType: "mysql", IP: target.IP.String(), DBPort: target.Port, User: "anybody", Password: g.password, EndPointType: "so",
	}, func(job map[string]any, n uint32) { job["db_user"] = strconv.Itoa(int(n)) }, s.batchSize, false)
	for _, workers := range []int{1, 2, 4} {
		for p.workers < workers {
			if err := p.worker(ctx); err != nil {
				return result, err
			}
		}
		// Two and a half times as many entries as slots: there is always work.
		callers := max(workers*s.slots/4, 1)
		if _, err := load(ctx, callers, time.Second, c.once); err != nil {
			return result, err
		}
		before, err := p.shares(ctx, g)
		if err != nil {
			return result, err
		}
		r, err := load(ctx, callers, s.per*time.Duration(s.rounds), c.once)
		if err != nil {
			return result, err
		}
		after, err := p.shares(ctx, g)
		if err != nil {
			return result, err
		}
		line := workersRow{
			Workers: workers, Entries: len(r.latencies) * s.batchSize,
			EntriesPerSecond: float64(len(r.latencies)*s.batchSize) / r.took.Seconds(),
			Ceiling:          float64(workers*s.slots) / s.delay.Seconds(),
		}
		for name, n := range after {
			line.Shares = append(line.Shares, n-before[name])
		}
		result.Rows = append(result.Rows, line)
	}
	if s.json {
		return result, nil
	}
	return result, result.print(stdout)
}

func (r workersReport) print(w io.Writer) error {
	t := newTable("workers", "entries/s", "x one worker", "of what the slots allow", "entries by worker")
	for _, row := range r.Rows {
		t.add(strconv.Itoa(row.Workers), fmt.Sprintf("%.0f", row.EntriesPerSecond),
			fmt.Sprintf("%.2f", row.EntriesPerSecond/r.Rows[0].EntriesPerSecond),
			fmt.Sprintf("%.0f %%", 100*row.EntriesPerSecond/row.Ceiling), fmt.Sprint(row.Shares))
	}
	_, err := fmt.Fprintf(w, "Postgres %s (fsync %s), Redis %s; targets answer after %g ms, each worker makes %d probes at once\n\n%s",
		r.Machine.Postgres, r.Machine.Fsync, r.Machine.Redis, r.DelayMS, r.Slots, t)
	return err
}

// slowTarget is a MySQL server that makes its clients wait and then says, in
// the place of a greeting, that they may not connect: a verdict that nobody
// tries again.
func slowTarget(ctx context.Context, delay time.Duration) (*net.TCPAddr, func(), error) {
	var listening net.ListenConfig
	l, err := listening.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	const notAllowed = 1130
	text := "Host '127.0.0.1' is not allowed to connect to this MySQL server"
	packet := append([]byte{byte(3 + len(text)), 0, 0, 0, 0xff, notAllowed & 0xff, notAllowed >> 8}, text...) //nolint:gosec // a short text
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				time.Sleep(delay)
				_, _ = conn.Write(packet) // a client that is gone by now has its verdict
				_ = conn.Close()
			})
		}
	})
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return nil, nil, errors.New("the listener has no TCP address")
	}
	return addr, func() {
		_ = l.Close()
		serving.Wait()
	}, nil
}

// processes are the binaries of a run.
type processes struct {
	dir     string
	env     []string
	running []*exec.Cmd
	workers int
}

// newProcesses builds the binaries and writes what they read.
func newProcesses(ctx context.Context, g *ground, s settings) (*processes, error) {
	dir, err := os.MkdirTemp("", "dialtone-bench-")
	if err != nil {
		return nil, err
	}
	p := &processes{dir: dir}
	build := exec.CommandContext(ctx, "go", "build", "-o", dir+string(filepath.Separator), "dialtone/cmd/api", "dialtone/cmd/worker") //nolint:gosec // our own directory
	if out, err := build.CombinedOutput(); err != nil {
		p.stop()
		return nil, fmt.Errorf("build the binaries: %w\n%s", err, out)
	}
	callers := fmt.Sprintf("tokens:\n  - name: bench\n    sha256: %s\n    projects: [%q]\n    roles: [drs_adm]\n", auth.HashToken(secret.New(token)), project)
	for name, content := range map[string]string{
		"keyset": g.keyset.Reveal(), "callers.yaml": callers, "allowed": "127.0.0.0/8 1-65535 * *\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			p.stop()
			return nil, err
		}
	}
	p.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir,
		"DIALTONE_POSTGRES_DSN=" + g.dsn, "DIALTONE_REDIS_URL=" + g.redisURL, "DIALTONE_JOBS=any", "DIALTONE_RATE_LIMIT=0",
		"DIALTONE_PROJECT_RATE=0", "DIALTONE_ENDPOINT_PROBES=1000000", // there is one slow target, and its accounts are many
		"DIALTONE_KEYSET_FILE=" + filepath.Join(dir, "keyset"), "DIALTONE_AUTH_FILE=" + filepath.Join(dir, "callers.yaml"),
		"DIALTONE_EGRESS_ALLOW_FILE=" + filepath.Join(dir, "allowed"), "DIALTONE_EGRESS_LOCAL=allow",
		"DIALTONE_WORKER_CONCURRENCY=" + strconv.Itoa(s.slots),
	}
	return p, nil
}

// api starts the api and gives its address.
func (p *processes) api(ctx context.Context) (string, error) {
	listen, err := freeAddr(ctx)
	if err != nil {
		return "", err
	}
	return "http://" + listen, p.start(ctx, "api", "DIALTONE_LISTEN="+listen)
}

// worker starts one more worker.
func (p *processes) worker(ctx context.Context) error {
	p.workers++
	return p.start(ctx, "worker")
}

// start runs a binary and waits until it is ready.
func (p *processes) start(ctx context.Context, name string, env ...string) error {
	admin, err := freeAddr(ctx)
	if err != nil {
		return err
	}
	var output bytes.Buffer                         // read only when the process is no more
	cmd := exec.Command(filepath.Join(p.dir, name)) //nolint:gosec,noctx // our own binary; stop ends it gracefully
	cmd.Env = append(append([]string{"DIALTONE_ADMIN_LISTEN=" + admin, "DIALTONE_LOG_LEVEL=warn"}, p.env...), env...)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		return err
	}
	p.running = append(p.running, cmd)
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		if ready(ctx, admin) {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	p.running = p.running[:len(p.running)-1]
	return fmt.Errorf("%s is not ready within 20 s:\n%s", name, output.String())
}

func ready(ctx context.Context, admin string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// shares counts the finished tests by worker.
func (p *processes) shares(ctx context.Context, g *ground) (map[string]int, error) {
	pool, err := g.pool(ctx)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	rows, err := pool.Query(ctx, "select t.worker, count(*) from tests t where t.finished_at is not null group by t.worker")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	shares := map[string]int{}
	for rows.Next() {
		var name string
		var n int
		if err := rows.Scan(&name, &n); err != nil {
			return nil, err
		}
		shares[name] = n
	}
	return shares, rows.Err()
}

// stop ends all processes.
func (p *processes) stop() {
	for _, cmd := range p.running {
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, cmd := range p.running {
		_ = cmd.Wait()
	}
	_ = os.RemoveAll(p.dir)
}

// freeAddr gives a loopback address that was free a moment ago.
func freeAddr(ctx context.Context) (string, error) {
	var listening net.ListenConfig
	l, err := listening.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }() // it was only to find a port
	return l.Addr().String(), nil
}
