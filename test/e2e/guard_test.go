package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"dialtone/test/system"
)

// atOnce sends one batch for each entry, all at the same time, and gives the
// tests that they became.
func atOnce(s *system.System, entries []system.Entry) []testDetail {
	s.T.Helper()
	ids := make([]string, len(entries))
	var sending sync.WaitGroup
	for i, e := range entries {
		sending.Go(func() {
			a, err := s.Call(s.T.Context(), http.MethodPost, "/jobs/batch-connection", map[string]any{"jobs": []system.Entry{e}})
			if err != nil || a.Status != http.StatusOK {
				s.T.Errorf("batch %d: %d %s %v", i, a.Status, a.Body, err)
				return
			}
			ids[i] = a.Header.Get("X-Batch-Id")
		})
	}
	sending.Wait()
	var tests []testDetail
	for _, id := range ids {
		if id != "" {
			tests = append(tests, detail(s, id).tests()...)
		}
	}
	return tests
}

// TestWrongPasswords: twenty batches at once with a wrong password, against two
// workers, give a few refused logins, and the reason and the time to the rest.
func TestWrongPasswords(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Workers: 2, Env: []string{"DIALTONE_JOBS=any"}})
	for _, engine := range []struct {
		name  string
		entry system.Entry
		addr  string
		words string
	}{
		{"mysql", system.MariaDB(t, "dt_native"), system.Need(t, "DIALTONE_TEST_MARIADB_ADDR"), system.MariaDBRefuses},
		{"postgresql", system.Postgres(t, "dt_scram"), system.Need(t, "DIALTONE_TEST_POSTGRES_ADDR"), system.PostgresRefuses},
	} {
		for _, kind := range []struct {
			name     string
			password func(i int) string
			most     int
			rule     string
		}{
			{"the same", func(int) string { return "wrong" }, 1, "same_credential"},
			{"another each", func(i int) string { return fmt.Sprint("wrong-", i) }, 3, "too_many_refused"},
		} {
			t.Run(engine.name+", "+kind.name, func(t *testing.T) {
				t.Parallel()
				server := system.NewCounter(t, engine.addr, engine.words)
				var entries []system.Entry
				for i := range 20 {
					entries = append(entries, engine.entry.At(t, server.Addr).With(system.Entry{"db_password": kind.password(i)}))
				}
				refused := 0
				for _, test := range atOnce(s, entries) {
					facts := test.Report.Evidence.Facts
					retry, err := time.Parse(time.RFC3339, facts["retry_at"])
					switch {
					case test.Report.Code == "auth_failed":
						refused++
					case test.Report.Code != "login_suppressed" || facts["rule"] != kind.rule || facts["earlier_reason"] != "auth_failed" || err != nil || time.Until(retry) < 0:
						t.Errorf("%s with %v", test.Report.Code, facts)
					}
				}
				if refused != kind.most || server.Heard() != kind.most {
					t.Errorf("%d tests say auth_failed, the server refused %d logins; want %d", refused, server.Heard(), kind.most)
				}
			})
		}
	}
}

// TestForce: who has the role may log in against the ledger.
func TestForce(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Env: []string{"DIALTONE_JOBS=any"}})
	server := system.NewCounter(t, system.Need(t, "DIALTONE_TEST_MARIADB_ADDR"), system.MariaDBRefuses)
	wrong := system.MariaDB(t, "dt_native").At(t, server.Addr).With(system.Entry{"db_password": "wrong"})
	for i, step := range []struct{ token, want string }{
		{system.Token, "DRS.KE0002"}, {system.Token, "DRS.DT7010"}, {system.ForceToken, "DRS.KE0002"},
	} {
		a := s.MustSend(system.Request{
			Method: http.MethodPost, Path: "/jobs/batch-connection", Body: map[string]any{"jobs": []system.Entry{wrong}},
			Header: map[string]string{"X-Auth-Token": step.token},
		})
		var r system.Results
		a.Decode(t, &r)
		if got := r.Results[0].ErrorCode; got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
		if step.want == "DRS.DT7010" && !strings.Contains(r.Results[0].ErrorMsg, "Earlier reason: auth_failed. A login is possible again at 20") {
			t.Errorf("the message names no time: %q", r.Results[0].ErrorMsg)
		}
	}
	if server.Heard() != 2 {
		t.Errorf("%d refused logins, want 2", server.Heard())
	}
}

// TestKilledAfterTheMarkCounts: what became of a killed worker's login nobody
// knows; it is noted as such, is not sent again, and counts.
func TestKilledAfterTheMarkCounts(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Env: []string{
		"DIALTONE_JOBS=any", "DIALTONE_PROBE_TIMEOUT=3s", "DIALTONE_CONNECT_TIMEOUT=1s", "DIALTONE_LEASE_SLACK=500ms", "DIALTONE_LOGIN_REFUSALS=1",
	}})
	gate := system.NewGate(t, system.Need(t, "DIALTONE_TEST_MARIADB_ADDR"))
	gate.HoldLogins(1)
	entry := system.MariaDB(t, "dt_native").At(t, gate.Addr)
	first := later(s, entry)
	system.Eventually(t, system.WaitForServers, "the login is under way", func() bool { return gate.Logins() == 1 })
	s.Workers[0].Kill()
	s.StartWorker()
	if got := done(s, 30*time.Second, first).tests()[0]; got.Report.Code != "interrupted" {
		t.Errorf("verdict %s, want interrupted", got.Report.Code)
	}
	conn, err := pgx.Connect(t.Context(), s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var outcome, code string
	if err := conn.QueryRow(t.Context(), "select outcome, code from logins").Scan(&outcome, &code); err != nil || outcome != "unknown" || code != "interrupted" {
		t.Errorf("the ledger says %s, %s, %v; want unknown, interrupted", outcome, code, err)
	}
	next := done(s, 30*time.Second, later(s, entry)).tests()[0]
	if facts := next.Report.Evidence.Facts; next.Report.Code != "login_suppressed" || facts["earlier_reason"] != "interrupted" {
		t.Errorf("then %s with %v, want login_suppressed for interrupted", next.Report.Code, facts)
	}
	if gate.Logins() != 1 {
		t.Errorf("%d logins, want 1", gate.Logins())
	}
}
