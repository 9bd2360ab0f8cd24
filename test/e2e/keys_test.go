package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dialtone/test/system"
)

// keyset is a file with a fresh keyset, or with a copy of one.
func keyset(t *testing.T, content string) string {
	t.Helper()
	if content == "" {
		content = system.Run(t, nil, "dialtone", "keys", "new")
	}
	path := filepath.Join(t.TempDir(), "keyset.json")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// keyIDs lists a keyset file's keys, the primary one first.
func keyIDs(t *testing.T, path string) []string {
	t.Helper()
	return strings.Fields(strings.Replace(system.Run(t, nil, "dialtone", "keys", "show", "--keyset-file", path), " primary", "", 1))
}

// dialtone runs a command of the program to its end, and wants an exit code.
func dialtone(s *system.System, code int, args ...string) (output string) {
	s.T.Helper()
	p := s.Dialtone(args...)
	if got := p.WaitExit(s.T, time.Minute); got != code {
		s.T.Fatalf("dialtone %v ended with %d, want %d:\n%s", args, got, code, p.Output())
	}
	return p.Output()
}

// createJob makes a job whose endpoints hold a password.
func createJob(s *system.System, name string) (id string) {
	s.T.Helper()
	end := map[string]any{"db_type": "mysql", "ip": "10.0.0.1", "db_port": "3306", "db_user": "root", "db_password": "sealed"}
	a := s.Must(http.MethodPost, "/jobs/batch-creation", map[string]any{"jobs": []any{map[string]any{
		"name": name, "db_use_type": "sync", "engine_type": "mysql", "job_direction": "up", "net_type": "eip", "node_type": "high",
		"task_type": "FULL_TRANS", "source_endpoint": end, "target_endpoint": end, "customize_sutnet_id": "subnet",
	}}})
	var r system.Results
	a.Decode(s.T, &r)
	if a.Status != http.StatusAccepted || len(r.Results) != 1 || r.Results[0].ID == "" {
		s.T.Fatalf("create a job: %d %s", a.Status, a.Body)
	}
	return r.Results[0].ID
}

// stream sends batches one after the other until it is stopped: two whose
// caller waits, of which one has a key, and one that nobody waits for.
type stream struct {
	s       *system.System
	stop    func()
	sending sync.WaitGroup
	waited  atomic.Int64
	mu      sync.Mutex
	later   []string
}

func startStream(s *system.System, entries []system.Entry) *stream {
	st := &stream{s: s}
	ctx, stop := context.WithCancel(s.T.Context())
	st.stop = stop
	s.T.Cleanup(st.end)
	for i, e := range entries {
		st.sending.Go(func() {
			for n := 0; ; n++ {
				if ctx.Err() != nil {
					return
				}
				st.send(ctx, e, fmt.Sprintf("key-%d-%d", i, n), n%3)
			}
		})
	}
	return st
}

func (st *stream) send(ctx context.Context, e system.Entry, key string, kind int) {
	body := map[string]any{"jobs": []system.Entry{e}}
	var header []string
	switch kind {
	case 1:
		header = []string{"Idempotency-Key", key}
	case 2:
		header = []string{"Prefer", "respond-async", "Idempotency-Key", key}
	}
	a, err := st.s.Call(context.WithoutCancel(ctx), http.MethodPost, "/jobs/batch-connection", body, header...)
	if err != nil {
		st.s.T.Errorf("a batch: %v", err)
		return
	}
	if kind == 2 {
		if a.Status != http.StatusAccepted {
			st.s.T.Errorf("a batch that nobody waits for: %d %s", a.Status, a.Body)
			return
		}
		st.mu.Lock()
		defer st.mu.Unlock()
		st.later = append(st.later, a.Header.Get("X-Batch-Id"))
		return
	}
	var r system.Results
	if a.Status == http.StatusOK {
		a.Decode(st.s.T, &r)
	}
	if len(r.Results) != 1 || !r.Results[0].OK() {
		st.s.T.Errorf("a batch: %d %s", a.Status, a.Body)
	}
	st.waited.Add(1)
}

// count is how many batches were sent.
func (st *stream) count() int {
	st.mu.Lock()
	defer st.mu.Unlock()
	return int(st.waited.Load()) + len(st.later)
}

// more waits until some more batches were sent.
func (st *stream) more(n int) {
	st.s.T.Helper()
	from := st.count()
	system.Eventually(st.s.T, time.Minute, "more batches", func() bool { return st.count() >= from+n })
}

func (st *stream) end() {
	st.stop()
	st.sending.Wait()
}

// TestRotateUnderLoad: the keyset is rotated and the old key removed while
// batches come in steadily, on two machines with a file each; no entry is lost
// or fails, and what was sealed before still opens.
func TestRotateUnderLoad(t *testing.T) {
	t.Parallel()
	s := system.Prepare(t, system.Options{Env: []string{"DIALTONE_JOBS=any", "DIALTONE_LOGIN_REPEAT_AFTER=0s"}})
	elsewhere := keyset(t, read(t, s.KeysetFile))
	first := keyIDs(t, s.KeysetFile)[0]
	s.StartAPI()
	s.StartWorker()
	s.StartWorker("DIALTONE_KEYSET_FILE=" + elsewhere)
	job := createJob(s, "rotated")

	good := system.Postgres(t, "dt_scram")
	var entries []system.Entry
	for i := range 4 {
		entries = append(entries, good.Elsewhere(t).With(system.Entry{"id": fmt.Sprintf("job-%d", i)}))
	}
	st := startStream(s, entries)
	st.more(12)
	// Who still has the old keyset would not open what comes next.
	if out := dialtone(s, 1, "keys", "remove", first); !strings.Contains(out, "is the primary key") {
		t.Errorf("remove of the primary key: %s", out)
	}
	second := system.Run(t, s.Env(), "dialtone", "keys", "add")
	out := dialtone(s, 1, "keys", "promote", second)
	if !strings.Contains(out, "promote refused") || !strings.Contains(out, "worker-") {
		t.Errorf("promote before every process has the key: %s", out)
	}

	rotate := s.Dialtone("keys", "rotate", "--remove")
	waits := func(why string) {
		t.Helper()
		system.Eventually(t, time.Minute, "rotate waits: "+why, func() bool { return strings.Contains(rotate.Output(), why) })
		st.more(6)
	}
	distribute := func() {
		t.Helper()
		next := elsewhere + ".next"
		if err := os.WriteFile(next, []byte(read(t, s.KeysetFile)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, elsewhere); err != nil {
			t.Fatal(err)
		}
	}
	waits("does not have key " + second + " yet")
	distribute()
	waits("still seals with key " + first)
	// It is interrupted, and called again.
	rotate.Signal(syscall.SIGTERM)
	if code := rotate.WaitExit(t, system.WaitForServers); code == 0 || !strings.Contains(rotate.Output(), "call it again") {
		t.Fatalf("an interrupted rotation ended with %d:\n%s", code, rotate.Output())
	}
	rotate = s.Dialtone("keys", "rotate", "--remove")
	waits("still seals with key " + first)
	distribute()
	waits("still has key " + first)
	distribute()
	if code := rotate.WaitExit(t, time.Minute); code != 0 {
		t.Fatalf("rotate ended with %d:\n%s", code, rotate.Output())
	}
	st.more(12)
	st.end()
	for _, said := range []string{"the rotation to key " + second + " goes on", "sealed again with key " + second, "key " + first + " is removed", "is finished"} {
		if !strings.Contains(rotate.Output(), said) {
			t.Errorf("rotate does not say %q:\n%s", said, rotate.Output())
		}
	}
	for _, id := range st.later {
		for _, test := range done(s, time.Minute, id).tests() {
			if test.Report.Code != "ok" {
				t.Errorf("batch %s: %s %v", id, test.Report.Code, test.Report.Evidence.Facts)
			}
		}
	}
	t.Logf("%d batches waited for, %d not, while key %s came and %s went", st.waited.Load(), len(st.later), second, first)

	for _, path := range []string{s.KeysetFile, elsewhere} {
		if got := keyIDs(t, path); len(got) != 1 || got[0] != second {
			t.Errorf("%s has keys %v, want %s alone", path, got, second)
		}
	}
	status := dialtone(s, 0, "keys", "status")
	if !strings.Contains(status, "key "+first+": not in the file, retired; has sealed nothing\n") || strings.Count(status, "opens with "+second+"\n") != 3 {
		t.Errorf("status:\n%s", status)
	}
	// A change opens the job's endpoints and seals them again.
	if a := s.Must(http.MethodPut, "/jobs/batch-modification", map[string]any{"jobs": []any{map[string]any{"job_id": job, "description": "x"}}}); a.Status != http.StatusOK || strings.Contains(string(a.Body), "error_code") {
		t.Errorf("a job of before cannot be changed: %d %s", a.Status, a.Body)
	}
	// A retry finds its answer: the key of its digest still opens.
	if a := s.Must(http.MethodPost, "/jobs/batch-connection", map[string]any{"jobs": []system.Entry{entries[0]}}, "Idempotency-Key", "key-0-1"); a.Status != http.StatusOK || a.Header.Get("Idempotent-Replayed") == "" {
		t.Errorf("the retry of a request of before: %d %v", a.Status, a.Header)
	}
	for _, p := range append(s.Workers, s.API) {
		if ended, err := p.Exited(); ended || !p.Ready() {
			t.Errorf("%s is not well: %v", p.Name, err)
		}
		if n := strings.Count(p.Output(), "keyset read again"); n < 3 {
			t.Errorf("%s has read the keyset %d times, want 3: added, promoted, removed", p.Name, n)
		}
	}
}

// TestForeignKeysetEnds: with a keyset that is not the store's, api and worker
// end and say so: at once, or when the store can be asked.
func TestForeignKeysetEnds(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Env: []string{"DIALTONE_JOBS=any"}})
	foreign := "DIALTONE_KEYSET_FILE=" + keyset(t, "")
	ended := func(p *system.Process) {
		t.Helper()
		if code := p.WaitExit(t, 30*time.Second); code != 1 || !strings.Contains(p.Output(), "DIALTONE_KEYSET: check keys: the store was filled under another keyset") {
			t.Errorf("%s ended with %d:\n%s", p.Name, code, p.Output())
		}
	}
	ended(s.Begin("api", foreign))
	ended(s.Begin("worker", foreign))

	s.Postgres.Cut()
	api, worker := s.Begin("api", foreign), s.Begin("worker", foreign)
	for _, p := range []*system.Process{api, worker} {
		system.Eventually(t, 30*time.Second, p.Name+" runs without its store", func() bool {
			return strings.Contains(p.Output(), "admin listener started")
		})
	}
	s.Postgres.Mend()
	ended(api)
	ended(worker)
	s.API.WaitReady(t)
	s.Workers[0].WaitReady(t)
	if r, _ := s.Test(system.Postgres(t, "dt_scram")); !r.Results[0].OK() {
		t.Errorf("a test beside them: %+v", r.Results[0])
	}
}

// TestKeysetOnHangup: SIGHUP has the keyset read at once; a bad one is told and
// not taken, and one that was given in a variable cannot be read again.
func TestKeysetOnHangup(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Env: []string{"DIALTONE_JOBS=any"}})
	good := read(t, s.KeysetFile)
	if err := os.WriteFile(s.KeysetFile, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Workers[0].Signal(syscall.SIGHUP)
	system.Eventually(t, system.WaitForServers, "the bad keyset is told", func() bool {
		return strings.Contains(s.Workers[0].Output(), "keyset not read again; the old one stays in force")
	})
	if r, _ := s.Test(system.Postgres(t, "dt_scram")); !r.Results[0].OK() {
		t.Errorf("with the old keyset: %+v", r.Results[0])
	}
	if err := os.WriteFile(s.KeysetFile, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	dialtone(s, 0, "keys", "add")
	s.Workers[0].Signal(syscall.SIGHUP)
	system.Eventually(t, system.WaitForServers, "the good one is taken", func() bool {
		return strings.Contains(s.Workers[0].Output(), "keyset read again")
	})

	inline := s.StartWorker("DIALTONE_KEYSET="+strings.TrimSpace(good), "DIALTONE_KEYSET_FILE=")
	inline.Signal(syscall.SIGHUP)
	system.Eventually(t, system.WaitForServers, "it says that it cannot", func() bool {
		return strings.Contains(inline.Output(), "the keyset was given in DIALTONE_KEYSET and cannot be read again")
	})
	ids := keyIDs(t, s.KeysetFile)
	if out := dialtone(s, 1, "keys", "promote", ids[1]); !strings.Contains(out, "must be restarted with the new one") {
		t.Errorf("promote with a process that cannot have the key: %s", out)
	}
	inline.Stop(t)
	system.Eventually(t, system.WaitForServers, "it is forgotten when it has stopped", func() bool {
		p := s.Dialtone("keys", "promote", ids[1])
		return p.WaitExit(t, time.Minute) == 0
	})
}
