package queue_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"dialtone/internal/batch"
	"dialtone/internal/embedded" //nolint:depguard // one of the ways in which Redis is run
	"dialtone/internal/queue"
	"dialtone/internal/secret"
)

// need gives the value of an environment variable that names a server, or
// skips the test; where every server must be there it fails.
func need(tb testing.TB, name string) string {
	tb.Helper()
	value := os.Getenv(name)
	if value == "" {
		missing(tb, name+" is not set: scripts/services up")
	}
	return value
}

func missing(tb testing.TB, what string) {
	tb.Helper()
	if os.Getenv("CI") == "true" {
		tb.Fatal(what)
	}
	tb.Skip(what)
}

func connect(tb testing.TB, cfg queue.Config) *queue.Redis {
	tb.Helper()
	r, err := queue.Connect(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = r.Close() })
	if err := r.Ping(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return r
}

func realRedis(tb testing.TB) *queue.Redis {
	tb.Helper()
	return connect(tb, queue.Config{URL: secret.New("redis://" + need(tb, "DIALTONE_TEST_REDIS_ADDR"))})
}

func inProcess(tb testing.TB) *queue.Redis {
	tb.Helper()
	r, stop, err := embedded.NewRedis()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(stop)
	return r
}

// servers are the ways in which Redis is run; what must hold on each is tested
// on each.
func servers() map[string]func(testing.TB) *queue.Redis {
	return map[string]func(testing.TB) *queue.Redis{
		"single":     realRedis,
		"in_process": inProcess,
		"tls_acl": func(tb testing.TB) *queue.Redis {
			tb.Helper()
			url := need(tb, "DIALTONE_TEST_REDIS_TLS_URL")
			tls, err := queue.TLSFiles(filepath.Join(need(tb, "DIALTONE_TEST_PKI"), "ca.pem"), "", "", "")
			if err != nil {
				tb.Fatal(err)
			}
			return connect(tb, queue.Config{URL: secret.New(url), TLS: tls})
		},
		"sentinel": func(tb testing.TB) *queue.Redis {
			tb.Helper()
			url := "redis+sentinel://" + need(tb, "DIALTONE_TEST_REDIS_SENTINEL_ADDRS") + "/" + need(tb, "DIALTONE_TEST_REDIS_SENTINEL_MASTER")
			return connect(tb, queue.Config{URL: secret.New(url)})
		},
		"cluster": func(tb testing.TB) *queue.Redis {
			tb.Helper()
			return connect(tb, queue.Config{URL: secret.New("redis+cluster://" + need(tb, "DIALTONE_TEST_REDIS_CLUSTER_ADDRS"))})
		},
	}
}

// network is one that no other test knows: asynq's keys are fixed, its queues
// are not.
func network() string { return "t-" + strings.ToLower(rand.Text()) }

func task(network string, n int) batch.Task {
	return batch.Task{TestID: fmt.Sprintf("test-%d", n), Attempt: 1, Lane: batch.Interactive, Network: network}
}

// after is a task that must wait.
func after(t batch.Task, d time.Duration) batch.Task {
	t.After = d
	return t
}

func tasks(network string, n int) []batch.Task {
	list := make([]batch.Task, n)
	for i := range list {
		list[i] = task(network, i)
	}
	return list
}

func producer(r *queue.Redis) *queue.Producer {
	return queue.NewProducer(r, queue.ProducerConfig{})
}

// consume starts a consumer of the networks and stops it with the test.
func consume(tb testing.TB, r *queue.Redis, cfg queue.ConsumerConfig, handle func(context.Context, batch.Task) error) *queue.Consumer {
	tb.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c, err := queue.NewConsumer(r, handle, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	if err := c.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Stop)
	return c
}

// eventually polls until the condition holds.
func eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			tb.Fatalf("never came true: %s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

func woken(tb testing.TB, c *queue.Consumer) {
	tb.Helper()
	eventually(tb, "the worker is woken, not polling", func() bool { return c.Stats().Mode == queue.Woken })
}

// trips counts what a client sends: commands and pipelines are one each.
type trips struct{ n atomic.Int64 }

func (h *trips) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.n.Add(1)
		return next(ctx, cmd)
	}
}

func (h *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.n.Add(1)
		return next(ctx, cmds)
	}
}

func key(lane batch.Lane, network, part string) string {
	return "asynq:{" + string(lane) + ":" + network + "}:" + part
}

// private starts a Redis of the test's own, which it may kill.
type private struct {
	tb   testing.TB
	addr string
	args []string
	cmd  *exec.Cmd
}

func privateRedis(tb testing.TB, args ...string) *private {
	tb.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		missing(tb, "no redis-server: scripts/services install")
	}
	var lc net.ListenConfig
	l, err := lc.Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &private{tb: tb, addr: l.Addr().String(), args: args}
	_ = l.Close()
	p.start()
	tb.Cleanup(p.kill)
	return p
}

func (p *private) start() {
	p.tb.Helper()
	host, port, _ := net.SplitHostPort(p.addr)
	args := append([]string{"--bind", host, "--port", port, "--dir", p.tb.TempDir(), "--save", "", "--appendonly", "no"}, p.args...)
	p.cmd = exec.Command("redis-server", args...)
	if err := p.cmd.Start(); err != nil {
		p.tb.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: p.addr})
	defer func() { _ = client.Close() }()
	eventually(p.tb, "the private Redis answers", func() bool { return client.Ping(context.Background()).Err() == nil })
}

func (p *private) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}
