package sqlite_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
	"dialtone/internal/store/sqlite"
)

func newFile(tb testing.TB) string {
	tb.Helper()
	return filepath.Join(tb.TempDir(), "a path with % and ? and #.db")
}

func migrated(tb testing.TB, path string, box *secret.Box) *sqlite.Store {
	tb.Helper()
	s := open(tb, path, box)
	if err := s.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return s
}

func create(tb testing.TB, s *sqlite.Store, n int) (batch.Batch, []batch.Test) {
	tb.Helper()
	b := batch.Batch{
		ID: batch.NewID(), Project: "project", Call: job.Connection, Lane: batch.Interactive, Entries: n, Timeout: time.Minute,
	}
	tests := make([]batch.Test, n)
	for i := range tests {
		tests[i] = batch.Test{
			ID: batch.NewID(), BatchID: b.ID, Project: b.Project, Entry: i, JobID: "job", EndPointType: "so", Network: "eip", Attempt: 1,
			Target: probe.Target{
				Project: b.Project, Network: "eip", Engine: probe.MySQL, User: "u", Password: secret.New("p"),
				Addresses: []probe.Address{{Host: "192.0.2.1", Port: 3306}},
			},
		}
	}
	b, err := s.Create(tb.Context(), b, tests)
	if err != nil {
		tb.Fatal(err)
	}
	return b, tests
}

func claim(test batch.Test) []batch.Claim {
	return []batch.Claim{{TestID: test.ID, LeaseID: batch.NewID(), Worker: "w", Lease: time.Minute}}
}

func TestBatchesSurviveAReopening(t *testing.T) {
	t.Parallel()
	path, box := newFile(t), newBox(t)
	first, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, Box: box})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, tests := create(t, first, 1)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := migrated(t, path, box)
	got, err := second.Claim(t.Context(), claim(tests[0]))
	if err != nil || len(got) != 1 || got[0].BatchID != b.ID || got[0].Target.Password.Reveal() != "p" {
		t.Errorf("Claim() after the reopening = %+v, %v", got, err)
	}
}

func TestOnlyTheOwnerReadsTheFiles(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	create(t, migrated(t, path, newBox(t)), 1)
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", f.Name(), info.Mode())
		}
	}
	if len(files) < 2 {
		t.Errorf("%d files, want the log, too", len(files))
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	other := newFile(t)
	if err := os.WriteFile(other, []byte(strings.Repeat("this is no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]sqlite.Config{
		"no box":         {Path: newFile(t)},
		"no directory":   {Path: filepath.Join(newFile(t), "x"), Box: newBox(t)},
		"not a database": {Path: other, Box: newBox(t)},
	} {
		if _, err := sqlite.Open(t.Context(), cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestPingBeforeAndAfterMigrate(t *testing.T) {
	t.Parallel()
	path, box := newFile(t), newBox(t)
	s := open(t, path, box)
	if err := s.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "migrations") {
		t.Errorf("Ping() of an empty file: %v", err)
	}
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if err := open(t, path, box).Migrate(t.Context()); err != nil {
				t.Errorf("Migrate(): %v", err)
			}
		})
	}
	all.Wait()
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping() of a migrated file: %v", err)
	}
}

// TestTwoProcessesShareAFile: two stores are to each other what two processes
// are.
func TestTwoProcessesShareAFile(t *testing.T) {
	t.Parallel()
	path, box := newFile(t), newBox(t)
	stores := []*sqlite.Store{migrated(t, path, box), open(t, path, box)}
	_, tests := create(t, stores[0], 64)
	var granted, completions atomic.Int32
	var all sync.WaitGroup
	for _, s := range stores {
		all.Go(func() {
			for _, test := range tests {
				got, err := s.Claim(t.Context(), claim(test))
				if err != nil {
					t.Errorf("Claim(): %v", err)
					return
				}
				for _, c := range got {
					granted.Add(1)
					report := probe.Refused(probe.CodeAuthFailed, time.Now())
					recorded, err := s.Finish(t.Context(), []batch.Finish{{TestID: c.ID, LeaseID: c.LeaseID, Report: report}})
					if err != nil {
						t.Errorf("Finish(): %v", err)
						return
					}
					completions.Add(int32(len(recorded.Done)))
				}
			}
		})
	}
	all.Wait()
	if granted.Load() != 64 || completions.Load() != 1 {
		t.Errorf("%d claims granted and %d completions, want 64 and 1", granted.Load(), completions.Load())
	}
}

func TestCheckKeys(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	keys, err := secret.NewKeyset()
	if err != nil {
		t.Fatal(err)
	}
	if err := migrated(t, path, openBox(t, keys)).CheckKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path, newBox(t)).CheckKeys(t.Context()); !errors.Is(err, secret.ErrOpen) {
		t.Errorf("another keyset: %v, want ErrOpen", err)
	}
	// Who has other keys can do no harm.
	s := open(t, path, openBox(t, keys))
	_, tests := create(t, s, 1)
	claim := []batch.Claim{{TestID: tests[0].ID, LeaseID: batch.NewID(), Worker: "w", Lease: time.Minute}}
	if got, err := open(t, path, newBox(t)).Claim(t.Context(), claim); !errors.Is(err, secret.ErrOpen) || len(got) > 0 {
		t.Errorf("a claim under another keyset: %d, %v; want ErrOpen", len(got), err)
	}
	if got, err := s.Claim(t.Context(), claim); err != nil || len(got) != 1 {
		t.Errorf("the test was not left alone: %d claims, %v", len(got), err)
	}
}

// raw opens the file without the store.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)+
		"?_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// TestUnreadableSecrets: what does not open ends as a fault of ours, and takes
// no other test with it.
func TestUnreadableSecrets(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	s := migrated(t, path, newBox(t))
	b, tests := create(t, s, 2)
	_, err := raw(t, path).ExecContext(t.Context(),
		"update tests set sealed = (select sealed from tests where entry = 1) where entry = 0")
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Claim(t.Context(), append(claim(tests[0]), claim(tests[1])...))
	if err != nil || len(got) != 1 || got[0].ID != tests[1].ID {
		t.Fatalf("Claim() = %d, %v; want the one that opens", len(got), err)
	}
	_, read, err := s.Batch(t.Context(), b.Project, b.ID)
	if err != nil {
		t.Fatal(err)
	}
	if r := read[0].Report; r == nil || r.Code != probe.CodeInternal || r.LoginSent {
		t.Errorf("report of what does not open: %+v", r)
	}
}

// TestConstraints: what the tables themselves refuse.
func TestConstraints(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	create(t, migrated(t, path, newBox(t)), 1)
	db := raw(t, path)
	for statement, constraint := range map[string]string{
		"update tests set finished_at = 1, report = '{}', seq = 1":          "tests_sealed_until_finished",
		"update tests set sealed = null":                                    "tests_sealed_if_open",
		"update tests set seq = 1":                                          "tests_numbered_when_finished",
		"update tests set lease_until = 1":                                  "tests_lease_whole",
		"update tests set login_at = 1":                                     "tests_login_under_lease",
		"update tests set created_at = 'today'":                             "cannot store TEXT",
		"update batches set open = 0":                                       "batches_finished_when_none_open",
		"update batches set open = 2":                                       "batches_open_within_total",
		"update batches set lane = 'slow'":                                  "batches_lane_known",
		"insert into keycheck values (2, x'00')":                            "keycheck_one_row",
		"insert into batch_jobs values ('p', 'j', 1, 'no batch')":           "FOREIGN KEY",
		"update tests set sealed = null, report = '{}', secrets_set = '[]'": "tests_report_when_finished",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err == nil || !strings.Contains(err.Error(), constraint) {
			t.Errorf("%s: %v, want it refused by %s", statement, err, constraint)
		}
	}
}

func TestPlans(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	migrated(t, path, newBox(t))
	db := raw(t, path)
	for name, q := range sqlite.Queries() {
		args := make([]any, 0, 6)
		for range 6 {
			args = append(args, nil)
		}
		highest := 0
		for n := 1; n <= 6; n++ {
			if strings.Contains(q[0], "?"+string(rune('0'+n))) {
				highest = n
			}
		}
		rows, err := db.QueryContext(t.Context(), "explain query plan "+q[0], args[:highest]...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		plan := details(t, rows)
		for line := range strings.Lines(plan) {
			if strings.HasPrefix(line, "SCAN") && !strings.Contains(line, "json_each") && !strings.Contains(line, "(subquery") && !strings.Contains(line, "INDEX") {
				t.Errorf("%s reads a table from end to end:\n%s", name, plan)
			}
		}
		if !strings.Contains(plan, q[1]) {
			t.Errorf("%s does without %s:\n%s", name, q[1], plan)
		}
	}
}

// details reads the lines of a plan.
func details(t *testing.T, rows *sql.Rows) string {
	t.Helper()
	defer func() { _ = rows.Close() }()
	var plan strings.Builder
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(detail + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}
