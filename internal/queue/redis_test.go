package queue_test

import (
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"dialtone/internal/batch"
	"dialtone/internal/queue"
	"dialtone/internal/secret"
)

func TestConnectDoesNotDial(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"redis://203.0.113.1", "rediss://203.0.113.1:1/2",
		"redis+sentinel://203.0.113.1/main", "redis+cluster://203.0.113.1,203.0.113.2",
	} {
		begin := time.Now()
		r, err := queue.Connect(queue.Config{URL: secret.New(url)})
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("Connect(%s) took %v", url, took)
		}
		_ = r.Close()
	}
}

func TestConnectRefusesUselessTLS(t *testing.T) {
	t.Parallel()
	_, err := queue.Connect(queue.Config{URL: secret.New("redis://h"), TLS: &tls.Config{MinVersion: tls.VersionTLS12}})
	if err == nil || !strings.Contains(err.Error(), "rediss") {
		t.Errorf("Connect = %v, want a hint at rediss", err)
	}
}

func TestTLSFiles(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, ca, cert, key string }{
		{"no such CA file", empty + ".missing", "", ""},
		{"no certificate in it", empty, "", ""},
		{"certificate without key", "", empty, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, err := queue.TLSFiles(c.ca, c.cert, c.key, ""); err == nil {
				t.Error("no error")
			}
		})
	}
}

// The credentials of the URL give way to the fields, and a wrong password is
// an error that does not show it.
func TestCredentials(t *testing.T) {
	t.Parallel()
	admin, user := realRedis(t), network()
	if err := admin.Client().Do(t.Context(), "ACL", "SETUSER", user, "on", ">right", "~*", "&*", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Client().Do(context.Background(), "ACL", "DELUSER", user) })
	addr := need(t, "DIALTONE_TEST_REDIS_ADDR")
	connect(t, queue.Config{URL: secret.New("redis://nobody:wrong@" + addr), Username: user, Password: secret.New("right")})
	r, err := queue.Connect(queue.Config{URL: secret.New("redis://" + user + ":hush@" + addr)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if err := r.Ping(t.Context()); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("Ping with a wrong password = %v", err)
	}
}

func TestUntrustedTLS(t *testing.T) {
	t.Parallel()
	url := need(t, "DIALTONE_TEST_REDIS_TLS_URL")
	r, err := queue.Connect(queue.Config{URL: secret.New(url)}) // the system's roots do not know it
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if err := r.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("Ping = %v, want a refused certificate", err)
	}
}

func TestPolicyWarning(t *testing.T) {
	t.Parallel()
	for name, start := range servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			if got, err := r.PolicyWarning(t.Context()); got != "" || err != nil {
				t.Errorf("PolicyWarning = %q, %v, want none", got, err)
			}
		})
	}
	t.Run("evicting", func(t *testing.T) {
		t.Parallel()
		r := connect(t, queue.Config{URL: secret.New("redis://" + privateRedis(t, "--maxmemory-policy", "allkeys-lru").addr)})
		if got, err := r.PolicyWarning(t.Context()); !strings.Contains(got, "allkeys-lru") || err != nil {
			t.Errorf("PolicyWarning = %q, %v, want one about allkeys-lru", got, err)
		}
	})
	t.Run("no Redis", func(t *testing.T) {
		t.Parallel()
		server := privateRedis(t)
		r := connect(t, queue.Config{URL: secret.New("redis://" + server.addr)})
		server.kill()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if _, err := r.PolicyWarning(ctx); err == nil {
			t.Error("no error")
		}
	})
}

func TestDepths(t *testing.T) {
	t.Parallel()
	for name, start := range servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			p, net := producer(r), network()
			if err := p.Enqueue(t.Context(), tasks(net, 4)); err != nil {
				t.Fatal(err)
			}
			if err := p.Enqueue(t.Context(), []batch.Task{after(task(net, 9), time.Hour)}); err != nil {
				t.Fatal(err)
			}
			if _, err := asynq.NewClientFromRedisClient(r.Client()).Enqueue(asynq.NewTask("mail", nil), asynq.Queue(network())); err != nil {
				t.Fatal(err)
			}
			depths, err := r.Depths(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			found := 0
			for _, d := range depths {
				if d.Lane != batch.Interactive && d.Lane != batch.Bulk {
					t.Errorf("a queue that is not ours: %+v", d)
				}
				if d.Network != net {
					continue
				}
				found++
				if d.Sizes["pending"] != 4 || d.Sizes["scheduled"] != 1 || d.Sizes["active"] != 0 || d.Processed != 0 {
					t.Errorf("depth %+v, want 4 pending and 1 scheduled", d)
				}
			}
			if found != 1 {
				t.Errorf("the queue is listed %d times", found)
			}
			var sent trips
			r.Client().AddHook(&sent)
			if _, err := r.Depths(t.Context()); err != nil || sent.n.Load() != 0 {
				t.Errorf("asked again at once: %v, %d round trips", err, sent.n.Load())
			}
		})
	}
}
