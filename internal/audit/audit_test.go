package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/audit"
	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

func TestFileIsAppendedToAndOpenedAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	log, err := audit.Open(path, &stderr, "json", nil)
	if err != nil {
		t.Fatal(err)
	}
	log.Info("one", "audit", "keys")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	log.Info("two", "audit", "keys")
	if err := log.Reopen(); err != nil {
		t.Fatal(err)
	}
	log.Info("three", "audit", "keys")
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	moved, fresh := content(t, path+".1"), content(t, path)
	if !strings.HasPrefix(moved, "before\n{") || strings.Count(moved, "\n") != 3 || !strings.Contains(moved, `"two"`) || !strings.Contains(fresh, `"three"`) || stderr.Len() > 0 {
		t.Errorf("moved:\n%s\nfresh:\n%s\nstderr:\n%s", moved, fresh, stderr.String())
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// full is a stream that takes nothing while it is full.
type full struct{ is bool }

func (f *full) Write(b []byte) (int, error) {
	if f.is {
		return 0, errors.New("no space left")
	}
	return len(b), nil
}

func TestTroubleIsToldOnce(t *testing.T) {
	t.Parallel()
	var told []string
	disk := &full{is: true}
	log, err := audit.Open("", disk, "text", func(err error) { told = append(told, err.Error()) })
	if err != nil {
		t.Fatal(err)
	}
	for _, is := range []bool{true, true, false, true, true} {
		disk.is = is
		log.Info("line")
	}
	if want := []string{"audit log: no space left", "audit log: no space left"}; !cmp.Equal(told, want) {
		t.Errorf("told %q, want it once each time it begins", told)
	}
	if _, err := audit.Open(filepath.Join(t.TempDir(), "no", "such"), disk, "json", nil); err == nil || strings.Contains(err.Error(), "such:") {
		t.Errorf("no directory: %v", err)
	}
}

// shelf has batches to read, unless it is away.
type shelf struct {
	mu      sync.Mutex
	away    bool
	batches map[string][]batch.Test
	reads   int
}

func (s *shelf) Batch(_ context.Context, project, id string) (batch.Batch, []batch.Test, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if s.away {
		return batch.Batch{}, nil, fmt.Errorf("read: %w", batch.ErrUnavailable)
	}
	tests, ok := s.batches[id]
	if !ok || project != "p" {
		return batch.Batch{}, nil, batch.ErrNotFound
	}
	return batch.Batch{ID: id, Project: project, Caller: "ci"}, tests, nil
}

func (s *shelf) set(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

func ended(entry int, code probe.Code) batch.Test {
	report := probe.Refused(code, time.Now())
	report.LoginSent = code == probe.CodeAuthFailed
	report.Evidence.Address = "10.0.0.1:3306"
	report.Evidence.ServerText = "what the server said"
	return batch.Test{
		ID: fmt.Sprint("t", entry), BatchID: "b", Project: "p", Entry: entry, JobID: "j", Network: "eip", Worker: "w", Report: &report,
		FinishedAt: new(time.Date(2026, 11, 26, 1, 2, 3, 0, time.UTC)),
		Target:     probe.Target{Engine: probe.MySQL, Addresses: []probe.Address{{Host: "db", Port: 3306}}, User: "u", Password: secret.New("hunter2")},
	}
}

// book is a log that may be read while it is written.
type book struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) lines(t *testing.T) (all []map[string]any) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range strings.Lines(b.text.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		delete(m, "time")
		all = append(all, m)
	}
	return all
}

// TestVerdicts: every test of every batch that is done, with the fields that
// docs/operations.md lists and no others; also while the store is away for a
// time, and what is left at the end.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := ended(1, probe.CodeTimeoutConnect)
		shared.Report.SharedFrom = "t0"
		store := &shelf{batches: map[string][]batch.Test{
			"b": {ended(0, probe.CodeAuthFailed), shared}, "refused at once": {ended(0, probe.CodeJobUnknown)}, "the last": {ended(0, probe.CodeOK)},
		}}
		var lines, trouble book
		v := audit.NewVerdicts(slog.New(slog.NewJSONHandler(&lines, nil)), slog.New(slog.NewJSONHandler(&trouble, nil)), store)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- v.Run(ctx) }()
		store.set(true)
		v.Completed([]batch.Completion{{BatchID: "b", Project: "p", ReplyTo: "api-1"}})
		time.Sleep(time.Minute) // in the bubble's time
		if n := len(lines.lines(t)); n > 0 {
			t.Errorf("%d lines while the store is away", n)
		}
		store.set(false)
		v.Accepted(batch.Batch{ID: "open", Project: "p"})
		v.Accepted(batch.Batch{ID: "refused at once", Project: "p", FinishedAt: new(time.Now())})
		v.Completed([]batch.Completion{{BatchID: "removed already", Project: "p"}})
		time.Sleep(time.Minute)
		if n := len(lines.lines(t)); n != 3 {
			t.Errorf("%d lines, want 3", n)
		}
		store.set(true)
		v.Completed([]batch.Completion{{BatchID: "the last", Project: "p"}})
		time.Sleep(time.Second)
		stop()
		time.Sleep(time.Second)
		store.set(false)
		if err := <-done; err != nil {
			t.Error(err)
		}
		want := func(batch, test, code string, entry float64, more map[string]any) map[string]any {
			m := map[string]any{
				"level": "INFO", "msg": "test ended", "audit": "verdict", "batch": batch, "project": "p", "caller": "ci", "test": test, "entry": entry,
				"object": 0.0, "job": "j", "engine": "mysql", "network": "eip", "host": "db", "port": 3306.0, "address": "10.0.0.1:3306",
				"verdict": code, "login_sent": code == "auth_failed", "worker": "w", "finished_at": "2026-11-26T01:02:03Z",
			}
			maps.Copy(m, more)
			return m
		}
		if diff := cmp.Diff([]map[string]any{
			want("b", "t0", "auth_failed", 0, nil), want("b", "t1", "timeout_connect", 1, map[string]any{"shared_from": "t0"}),
			want("refused at once", "t0", "job_unknown", 0, nil), want("the last", "t0", "ok", 0, nil),
		}, lines.lines(t)); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
		if said := trouble.lines(t); len(said) != 1 || said[0]["batch"] != "removed already" {
			t.Errorf("trouble: %v", said)
		}
	})
}

// TestVerdictsThatAreLost: a process that ends without its store says how many.
func TestVerdictsThatAreLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lines, trouble book
		v := audit.NewVerdicts(slog.New(slog.NewJSONHandler(&lines, nil)), slog.New(slog.NewJSONHandler(&trouble, nil)), &shelf{away: true})
		ctx, stop := context.WithCancel(t.Context())
		v.Completed([]batch.Completion{{BatchID: "a", Project: "p"}, {BatchID: "b", Project: "p"}})
		stop()
		if err := v.Run(ctx); err != nil {
			t.Error(err)
		}
		if said := trouble.lines(t); len(said) != 1 || said[0]["batches"] != 2.0 {
			t.Errorf("trouble: %v", said)
		}
	})
}
