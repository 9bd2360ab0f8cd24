package postgres_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/keyring"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
	"dialtone/internal/store/postgres"
)

// leaks says which part of a DSN an error tells.
func leaks(err error, parts ...string) string {
	for _, part := range parts {
		if strings.Contains(err.Error(), part) {
			return part
		}
	}
	return ""
}

func TestOpenNeedsNoServer(t *testing.T) {
	t.Parallel()
	// A port that was free a moment ago refuses.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, "postgres://dsnuser:dsnpassword@"+address+"/dsndatabase?sslmode=disable", newBox(t))
	_, createErr := s.Create(t.Context(), batch.Batch{ID: batch.NewID(), Call: job.Connection, Lane: batch.Bulk}, nil)
	for call, err := range map[string]error{"Ping": s.Ping(t.Context()), "Create": createErr, "Migrate": s.Migrate(t.Context())} {
		if err == nil {
			t.Fatalf("%s() without a server: no error", call)
		}
		if part := leaks(err, "dsnuser", "dsnpassword", "dsndatabase", address); part != "" {
			t.Errorf("%s(): error tells %q: %v", call, part, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	box := newBox(t)
	for name, cfg := range map[string]postgres.Config{
		"a DSN that cannot be understood": {DSN: secret.New("postgres://dsnuser:dsnpassword@host:port/%zz"), Box: box},
		"no box":                          {DSN: secret.New("postgres://dsnuser:dsnpassword@host/")},
	} {
		_, err := postgres.Open(t.Context(), cfg)
		if err == nil {
			t.Fatalf("%s: no error", name)
		}
		if part := leaks(err, "dsnuser", "dsnpassword", "host", "zz"); part != "" {
			t.Errorf("%s: error tells %q: %v", name, part, err)
		}
	}
}

func TestPingBeforeAndAfterMigrate(t *testing.T) {
	t.Parallel()
	dsn := server(t)
	s := open(t, inDatabase(t, dsn, emptyDatabase(t, dsn, "", t.Cleanup)), newBox(t))
	if err := s.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "migrations") {
		t.Errorf("Ping() of an empty database: %v", err)
	}
	// Four at once, as when a whole deployment starts.
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := s.Migrate(t.Context()); err != nil {
				t.Errorf("Migrate(): %v", err)
			}
		})
	}
	all.Wait()
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping() of a migrated database: %v", err)
	}
}

func TestRecoversFromARestart(t *testing.T) {
	t.Parallel()
	dsn := newDatabase(t)
	s := open(t, dsn, newBox(t))
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	admin(t, server(t), `select pg_terminate_backend(pid) from pg_stat_activity
where datname = '`+dsn[strings.LastIndex(dsn, "/")+1:strings.Index(dsn, "?")]+`' and pid <> pg_backend_pid()`)
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := s.Ping(t.Context())
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still down: %v", err)
		}
	}
}

func TestContextEnds(t *testing.T) {
	t.Parallel()
	s := open(t, newDatabase(t), newBox(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Ping(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Ping() = %v, want context.Canceled", err)
	}
}

func TestCheckKeys(t *testing.T) {
	t.Parallel()
	dsn := newDatabase(t)
	keys, err := secret.NewKeyset()
	if err != nil {
		t.Fatal(err)
	}
	old := openBox(t, keys)
	if err := open(t, dsn, old).CheckKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := open(t, dsn, newBox(t)).CheckKeys(t.Context()); !errors.Is(err, secret.ErrOpen) {
		t.Errorf("another keyset: %v, want ErrOpen", err)
	}

	// Who has other keys can do no harm.
	s := open(t, dsn, old)
	b, tests := newBatch(1)
	if _, err := s.Create(t.Context(), b, tests); err != nil {
		t.Fatal(err)
	}
	other := open(t, dsn, newBox(t))
	claim := []batch.Claim{{TestID: tests[0].ID, LeaseID: batch.NewID(), Worker: "w", Lease: time.Minute}}
	if got, err := other.Claim(t.Context(), claim); !errors.Is(err, secret.ErrOpen) || len(got) > 0 {
		t.Errorf("a claim under another keyset: %d, %v; want ErrOpen", len(got), err)
	}
	if err := other.CreateJobs(t.Context(), []job.Record{{Job: job.Job{ID: "j", Project: "p"}}}); !errors.Is(err, secret.ErrOpen) {
		t.Errorf("a job under another keyset: %v, want ErrOpen", err)
	}
	if got, err := s.Claim(t.Context(), claim); err != nil || len(got) != 1 {
		t.Errorf("the test was not left alone: %d claims, %v", len(got), err)
	}
}

// TestWhatIsBeingStoredIsHeld: as long as something sealed is on its way into a
// table, its key counts as one that seals.
func TestWhatIsBeingStoredIsHeld(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]func(context.Context, *postgres.Store) error{
		"a batch": func(ctx context.Context, s *postgres.Store) error {
			b, tests := newBatch(1)
			_, err := s.Create(ctx, b, tests)
			return err
		},
		"a batch with a key": func(ctx context.Context, s *postgres.Store) error {
			b, tests := newBatch(1)
			_, err := s.CreateOnce(ctx, b, tests, batch.Once{Key: "k", Holder: "api", Hold: time.Minute, Life: time.Hour, Request: secret.New("r")})
			return err
		},
		"a job": func(ctx context.Context, s *postgres.Store) error {
			return s.CreateJobs(ctx, []job.Record{{Job: job.Job{ID: "j", Project: "p", Role: job.Standalone}, Endpoints: []byte("{}")}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := newDatabase(t)
			keys, box := newKeys(t)
			s := open(t, dsn, box)
			if err := s.CheckKeys(t.Context()); err != nil {
				t.Fatal(err)
			}
			first, _ := box.KeyIDs()
			conn := connect(t, dsn)
			tx, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(t.Context(), "lock table batches, jobs in exclusive mode"); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- store(t.Context(), s) }()
			for waiting, deadline := 0, time.Now().Add(20*time.Second); waiting == 0; {
				err := tx.QueryRow(t.Context(), "select count(*) from pg_locks where not granted and database = (select oid from pg_database where datname = current_database())").Scan(&waiting)
				if err != nil || time.Now().After(deadline) {
					t.Fatalf("nobody waits for the lock: %v", err)
				}
			}
			promoted, err := secret.AddKey(keys)
			if err != nil {
				t.Fatal(err)
			}
			_, all := openBox(t, promoted).KeyIDs()
			if promoted, err = secret.Promote(promoted, all[1]); err != nil {
				t.Fatal(err)
			}
			box.Swap(openBox(t, promoted))
			if got := box.Sealing(); !slices.Contains(got, first) {
				t.Errorf("Sealing() = %v while something is on its way that %d has sealed", got, first)
			}
			if err := tx.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if got := box.Sealing(); !slices.Equal(got, all[1:]) {
				t.Errorf("Sealing() = %v when it is stored, want %v", got, all[1:])
			}
			census, err := s.CountSealed(t.Context())
			if err != nil || census["tests"][first]+census["jobs"][first] != 1 {
				t.Errorf("sealed: %v, %v", census, err)
			}
		})
	}
}

// TestOldProcessesAreHolders: a process that says where it listens and nothing
// of its keys has some all the same.
func TestOldProcessesAreHolders(t *testing.T) {
	t.Parallel()
	s := open(t, newDatabase(t), newBox(t))
	for _, process := range []string{"api-old", "api-new"} {
		if err := s.AnnounceListeners(t.Context(), process, []string{"10.0.0.1:80", "10.0.0.1:81"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.ReportKeys(t.Context(), keyring.Holder{Process: "api-new", Primary: 7, Keys: []uint32{7}, Sealing: []uint32{7}}); err != nil {
		t.Fatal(err)
	}
	got, err := s.KeyHolders(t.Context())
	if err != nil || len(got) != 2 || got[0].Process != "api-new" || got[0].Primary != 7 || got[1].Process != "api-old" || got[1].Primary != 0 {
		t.Errorf("KeyHolders() = %+v, %v", got, err)
	}
}

// newBatch makes a batch of n tests with a password each.
func newBatch(n int) (batch.Batch, []batch.Test) {
	b := batch.Batch{
		ID: batch.NewID(), Project: "project", Call: job.Connection, Lane: batch.Interactive, Entries: n, Timeout: time.Minute,
	}
	tests := make([]batch.Test, n)
	for i := range tests {
		tests[i] = batch.Test{
			ID: batch.NewID(), BatchID: b.ID, Project: b.Project, Entry: i, JobID: "job", EndPointType: "so", Network: "eip", Attempt: 1,
			Target: probe.Target{
				Project: b.Project, Network: "eip", Engine: probe.MySQL, User: "u", Password: secret.New("p"),
				Addresses: []probe.Address{{Host: batch.NewID(), Port: 3306}}, // each its own
			},
		}
	}
	return b, tests
}

func create(tb testing.TB, s *postgres.Store, n int) (batch.Batch, []batch.Test) {
	tb.Helper()
	b, tests := newBatch(n)
	b, err := s.Create(tb.Context(), b, tests)
	if err != nil {
		tb.Fatal(err)
	}
	return b, tests
}

func claims(tests []batch.Test, lease time.Duration) []batch.Claim {
	all := make([]batch.Claim, len(tests))
	for i, t := range tests {
		all[i] = batch.Claim{TestID: t.ID, LeaseID: batch.NewID(), Worker: "w", Lease: lease}
	}
	return all
}

// TestUnreadableSecrets: what does not open ends as a fault of ours, and takes
// no other test with it.
func TestUnreadableSecrets(t *testing.T) {
	t.Parallel()
	dsn := newDatabase(t)
	s := open(t, dsn, newBox(t))
	b, tests := create(t, s, 3)
	// Sealed bytes that are moved to another row do not open there.
	admin(t, dsn, "update tests set sealed = (select sealed from tests where entry = 1) where entry = 0")
	got, err := s.Claim(t.Context(), claims(tests, time.Minute))
	if err != nil || len(got) != 2 {
		t.Fatalf("Claim() = %d, %v; want the 2 that open", len(got), err)
	}
	_, read, err := s.Batch(t.Context(), b.Project, b.ID)
	if err != nil {
		t.Fatal(err)
	}
	if r := read[0].Report; r == nil || r.Code != probe.CodeInternal || r.LoginSent {
		t.Errorf("report of what does not open: %+v", r)
	}
	if read[1].FinishedAt != nil || read[2].FinishedAt != nil {
		t.Error("others were ended, too")
	}
}

// TestMarkLoginWaits: a mark that waited for a lock until its lease had run
// out is none.
func TestMarkLoginWaits(t *testing.T) {
	t.Parallel()
	dsn := newDatabase(t)
	s := open(t, dsn, newBox(t))
	_, tests := create(t, s, 1)
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()

	const lease = 300 * time.Millisecond
	all := claims(tests, lease)
	if got, err := s.Claim(t.Context(), all); err != nil || len(got) != 1 {
		t.Fatalf("Claim() = %d, %v", len(got), err)
	}
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "select id from tests where id = $1 for update", tests[0].ID); err != nil {
		t.Fatal(err)
	}
	marked := make(chan bool)
	go func() {
		ok, err := s.MarkLogin(t.Context(), tests[0].ID, all[0].LeaseID)
		if err != nil {
			t.Errorf("MarkLogin(): %v", err)
		}
		marked <- ok
	}()
	select {
	case <-marked:
		t.Error("MarkLogin() did not wait for the lock")
		return
	case <-time.After(lease + 100*time.Millisecond):
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if <-marked {
		t.Error("MarkLogin() is true after the lease ran out")
	}
}

// TestMarkLogins: each mark of a group is judged on its own, and set once.
func TestMarkLogins(t *testing.T) {
	t.Parallel()
	dsn := newDatabase(t)
	s := open(t, dsn, newBox(t))
	_, tests := create(t, s, 5)
	all := claims(tests, time.Minute)
	if got, err := s.Claim(t.Context(), all); err != nil || len(got) != len(all) {
		t.Fatalf("Claim() = %d, %v", len(got), err)
	}
	if ok, err := s.MarkLogin(t.Context(), all[1].TestID, all[1].LeaseID); err != nil || !ok {
		t.Fatalf("MarkLogin() = %v, %v", ok, err)
	}
	if _, err := s.Finish(t.Context(), []batch.Finish{{TestID: all[2].TestID, LeaseID: all[2].LeaseID, Report: probe.Refused(probe.CodeInternal, time.Now())}}); err != nil {
		t.Fatal(err)
	}
	admin(t, dsn, "update tests set lease_until = now() - interval '1 second' where entry = 3")
	granted, err := s.MarkLogins(t.Context(), []batch.LoginMark{
		{TestID: all[4].TestID, LeaseID: all[4].LeaseID},
		{TestID: all[0].TestID, LeaseID: batch.NewID()},  // another's lease
		{TestID: all[1].TestID, LeaseID: all[1].LeaseID}, // marked before
		{TestID: all[2].TestID, LeaseID: all[2].LeaseID}, // finished
		{TestID: all[3].TestID, LeaseID: all[3].LeaseID}, // run out
		{TestID: batch.NewID(), LeaseID: batch.NewID()},
		{TestID: "no id", LeaseID: "nor this"},
	})
	if err != nil || !slices.Equal(granted, []string{all[4].LeaseID}) {
		t.Errorf("MarkLogins() = %v, %v; want the one lease that is in force and not marked, %s", granted, err, all[4].LeaseID)
	}
	if granted, err := s.MarkLogins(t.Context(), []batch.LoginMark{{TestID: all[0].TestID, LeaseID: all[0].LeaseID}}); err != nil || len(granted) != 1 {
		t.Errorf("MarkLogins() = %v, %v after another's mark was refused", granted, err)
	}
}

// TestConstraints: what the tables themselves refuse.
func TestConstraints(t *testing.T) {
	t.Parallel()
	dsn := newDatabase(t)
	s := open(t, dsn, newBox(t))
	create(t, s, 1)
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for constraint, statement := range map[string]string{
		"tests_sealed_until_finished":     "update tests set finished_at = now(), report = '{}', seq = 1",
		"tests_sealed_if_open":            "update tests set sealed = null",
		"tests_report_when_finished":      "update tests set finished_at = now(), sealed = null, seq = 1",
		"tests_numbered_when_finished":    "update tests set seq = 1",
		"tests_lease_whole":               "update tests set lease_until = now()",
		"tests_login_under_lease":         "update tests set login_at = now()",
		"batches_finished_when_none_open": "update batches set open = 0",
		"batches_open_within_total":       "update batches set open = 2",
		"batches_lane_known":              "update batches set lane = 'slow'",
		"batch_jobs_batch":                "insert into batch_jobs values ('p', 'j', now(), gen_random_uuid())",
		"keycheck_one_row":                "insert into keycheck values (2, '')",
		"tests_place":                     "insert into tests select (jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid()))).* from tests t",
		"tests_no_lease_when_finished":    "update tests set finished_at = now(), sealed = null, report = '{}', seq = 1, lease_id = gen_random_uuid(), lease_until = now()",
		"tests_counts":                    "update tests set attempt = 0",
		"batches_call_known":              "update batches set call = 'x'",
	} {
		_, err := conn.Exec(t.Context(), statement)
		if err == nil || !strings.Contains(err.Error(), constraint) {
			t.Errorf("%s: %v, want it refused by %s", statement, err, constraint)
		}
	}
}

// TestErrorsHoldNoValues: what the server says of a refused value quotes it.
func TestErrorsHoldNoValues(t *testing.T) {
	t.Parallel()
	s := open(t, newDatabase(t), newBox(t))
	b, tests := newBatch(1)
	tests[0].JobID = "quoted-value\x00"
	_, err := s.Create(t.Context(), b, tests)
	if err == nil {
		t.Fatal("Create() with a text that cannot be stored: no error")
	}
	if leaks(err, "quoted-value") != "" {
		t.Errorf("Create(): error quotes the value: %v", err)
	}
	b, tests = newBatch(1)
	tests[0].ID = "quoted-id"
	if _, err = s.Create(t.Context(), b, tests); err == nil || leaks(err, "quoted-id") != "" {
		t.Errorf("Create(): %v", err)
	}
}
