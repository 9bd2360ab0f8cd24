// Package chaos_test breaks everything that dialtone stands on while batches
// come in, by a schedule that a seed decides, and then counts: every accepted
// entry has one report, in time, that blames nobody for what was our fault, and
// no account saw two logins. It does so on one Redis, on one behind Sentinels,
// and on a Redis Cluster.
package chaos_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dialtone/test/system"

	"github.com/redis/go-redis/v9"
)

var (
	seed     = flag.Uint64("chaos.seed", 0, "decides what breaks when; 0 draws one, which is printed")
	duration = flag.Duration("chaos.duration", 30*time.Second, "how long batches come in; every kind of fault is injected in any case")
	others   = flag.Duration("chaos.others", 30*time.Second, "the same on Sentinel and on Cluster")
	logs     = flag.String("chaos.logs", "", "a directory for the whole logs of api and workers of a run that fails")
)

func TestMain(m *testing.M) {
	redis.SetLogger(silence{}) // it would tell of every fault
	system.Main(m)
}

// silence is a logger of the Redis library.
type silence struct{}

// Printf says nothing.
func (silence) Printf(context.Context, string, ...any) {}

// keepLogs writes the logs of all processes down if the test fails.
func keepLogs(t *testing.T, s *system.System) {
	t.Helper()
	if *logs == "" {
		return
	}
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		dir := filepath.Join(*logs, t.Name())
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Error(err)
		}
		for _, p := range s.Processes() {
			name := fmt.Sprintf("%s-%d.log", p.Name, p.PID())
			if err := os.WriteFile(filepath.Join(dir, name), []byte(p.Output()), 0o600); err != nil {
				t.Error(err)
			}
		}
		t.Logf("the logs are in %s", dir)
	})
}
