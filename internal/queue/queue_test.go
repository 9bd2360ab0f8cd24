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
	"dialtone/internal/embedded"
	"dialtone/internal/queue"
	"dialtone/internal/secret"
)

// need gives the value of an environment variable that names a server, or
// skips the test; where every server must be there it fails.
func need(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		missing(t, name+" is not set: scripts/services up")
	}
	return value
}

func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

func connect(t testing.TB, cfg queue.Config) *queue.Redis {
	t.Helper()
	r, err := queue.Connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if err := r.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func realRedis(t testing.TB) *queue.Redis {
	t.Helper()
	return connect(t, queue.Config{URL: secret.New("redis://" + need(t, "DIALTONE_TEST_REDIS_ADDR"))})
}

func inProcess(t testing.TB) *queue.Redis {
	t.Helper()
	r, stop, err := embedded.NewRedis()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return r
}

// servers are the ways in which Redis is run; what must hold on each is tested
// on each.
func servers() map[string]func(testing.TB) *queue.Redis {
	return map[string]func(testing.TB) *queue.Redis{
		"single":     realRedis,
		"in_process": inProcess,
		"tls_acl": func(t testing.TB) *queue.Redis {
			url := need(t, "DIALTONE_TEST_REDIS_TLS_URL")
			tls, err := queue.TLSFiles(filepath.Join(need(t, "DIALTONE_TEST_PKI"), "ca.pem"), "", "", "")
			if err != nil {
				t.Fatal(err)
			}
			return connect(t, queue.Config{URL: secret.New(url), TLS: tls})
		},
		"sentinel": func(t testing.TB) *queue.Redis {
			url := "redis+sentinel://" + need(t, "DIALTONE_TEST_REDIS_SENTINEL_ADDRS") + "/" + need(t, "DIALTONE_TEST_REDIS_SENTINEL_MASTER")
			return connect(t, queue.Config{URL: secret.New(url)})
		},
		"cluster": func(t testing.TB) *queue.Redis {
			return connect(t, queue.Config{URL: secret.New("redis+cluster://" + need(t, "DIALTONE_TEST_REDIS_CLUSTER_ADDRS"))})
		},
	}
}

// eachServer runs the test on each of them.
func eachServer(t *testing.T, test func(t *testing.T, r *queue.Redis)) {
	t.Helper()
	for name, start := range servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start(t))
		})
	}
}

// network is one that no other test knows: asynq's keys are fixed, its queues
// are not.
func network() string { return "t-" + strings.ToLower(rand.Text()) }

func task(network string, n int) batch.Task {
	return batch.Task{TestID: fmt.Sprintf("test-%d", n), Attempt: 1, Lane: batch.Interactive, Network: network}
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
func consume(t testing.TB, r *queue.Redis, cfg queue.ConsumerConfig, handle func(context.Context, batch.Task) error) *queue.Consumer {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c, err := queue.NewConsumer(r, handle, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return c
}

// eventually polls until the condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("never came true: %s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

func woken(t testing.TB, c *queue.Consumer) {
	t.Helper()
	eventually(t, "the worker is woken, not polling", func() bool { return c.Stats().Mode == queue.Woken })
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
	t    testing.TB
	addr string
	args []string
	cmd  *exec.Cmd
}

func privateRedis(t testing.TB, args ...string) *private {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		missing(t, "no redis-server: scripts/services install")
	}
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &private{t: t, addr: l.Addr().String(), args: args}
	_ = l.Close()
	p.start()
	t.Cleanup(p.kill)
	return p
}

func (p *private) start() {
	p.t.Helper()
	host, port, _ := net.SplitHostPort(p.addr)
	args := append([]string{"--bind", host, "--port", port, "--dir", p.t.TempDir(), "--save", "", "--appendonly", "no"}, p.args...)
	p.cmd = exec.Command("redis-server", args...)
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: p.addr})
	defer func() { _ = client.Close() }()
	eventually(p.t, "the private Redis answers", func() bool { return client.Ping(context.Background()).Err() == nil })
}

func (p *private) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}
