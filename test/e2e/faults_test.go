package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"dialtone/test/system"
)

// canary is the password in every bad request: nothing may repeat it.
const canary = "c4nary-of-a-s3cret"

// stored counts what the store holds.
func stored(t *testing.T, s *system.System) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second) // it is asked at the end, too
	defer cancel()
	conn, err := pgx.Connect(ctx, s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	counts := map[string]int{}
	for _, table := range []string{"batches", "batch_jobs", "tests", "jobs"} {
		var n int
		if err := conn.QueryRow(ctx, "select count(*) from "+table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		counts[table] = n
	}
	return counts
}

// TestFaults: a request that is refused as a whole is refused in the documented
// shape, and leaves nothing behind.
func TestFaults(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Env: []string{"DIALTONE_JOBS=any", "DIALTONE_BODY_LIMIT=64KiB"}})
	t.Cleanup(func() { // when all of the below are over
		if diff := cmp.Diff(map[string]int{"batches": 0, "batch_jobs": 0, "tests": 0, "jobs": 0}, stored(t, s)); diff != "" {
			t.Errorf("left behind (-want +got):\n%s", diff)
		}
		for _, p := range append(s.Workers, s.API) {
			if strings.Contains(p.Output(), canary) {
				t.Errorf("%s logged what was sent", p.Name)
			}
		}
	})
	const path = "/jobs/batch-connection"
	good := system.MariaDB(t, "dt_native").With(system.Entry{"db_password": canary})
	jobs := func(entries ...system.Entry) any { return map[string]any{"jobs": entries} }
	raw := func(text string) []byte { return []byte(strings.ReplaceAll(text, "CANARY", canary)) }
	whole, err := json.Marshal(jobs(good))
	if err != nil {
		t.Fatal(err)
	}
	var eleven []system.Entry
	for i := range 11 {
		eleven = append(eleven, good.With(system.Entry{"id": "job-" + strconv.Itoa(i)}))
	}
	header := func(pairs ...string) map[string]string {
		h := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			h[pairs[i]] = pairs[i+1]
		}
		return h
	}
	tests := []struct {
		name   string
		ask    system.Request
		status int
		code   string
		paths  []string
		header map[string]string // of the answer
	}{
		{"all problems in one", system.Request{Odd: true, Body: jobs(
			good.With(system.Entry{"db_type": "db2", "net_type": nil}),
			good.With(system.Entry{"id": "b", "db_port": 65536, "ip": ""}),
			good.With(system.Entry{"id": "c", "ssl_link": true}),
			good.With(system.Entry{"id": "d", "end_point_type": "ls", "db_user": ""}),
			good.With(system.Entry{"id": "e"}), good.With(system.Entry{"id": "e"}),
		)}, 400, "DRS.M00202", []string{
			"jobs[0].db_type", "jobs[0].net_type", "jobs[1].db_port", "jobs[1].ip",
			"jobs[2].ssl_cert_check_sum", "jobs[2].ssl_cert_key", "jobs[2].ssl_cert_name",
			"jobs[3].db_user", "jobs[3].end_point_type", "jobs[5].id",
		}, nil},
		{"no body", system.Request{Odd: true}, 400, "DRS.M00201", []string{"jobs"}, nil},
		{"no jobs", system.Request{Body: raw(`{"jobs":[]}`), Odd: true}, 400, "DRS.M00201", []string{"jobs"}, nil},
		{"eleven jobs", system.Request{Body: jobs(eleven...)}, 400, "DRS.M00202", []string{"jobs"}, nil},
		{"no object", system.Request{Body: raw(`["CANARY"]`), Odd: true}, 400, "DRS.M00007", nil, nil},
		{"no JSON", system.Request{Body: raw(`{"jobs":CANARY`), Odd: true}, 400, "DRS.M00007", nil, nil},
		{"text after the end", system.Request{Body: append(bytes.Clone(whole), canary...), Odd: true}, 400, "DRS.M00007", nil, nil},
		{
			"a key twice",
			system.Request{Body: bytes.Replace(whole, []byte(`"db_password"`), []byte(`"db_password":"CANARY","db_password"`), 1), Odd: true},
			400, "DRS.M00301",
			[]string{"jobs[0].db_password"},
			nil,
		},
		{"too deep", system.Request{Body: raw(strings.Repeat(`{"a":`, 40) + `"CANARY"` + strings.Repeat("}", 40)), Odd: true}, 400, "DRS.M00007", nil, nil},
		{"invalid UTF-8", system.Request{Body: bytes.Replace(whole, []byte(canary), []byte(canary+"\xff"), 1), Odd: true}, 400, "DRS.M00007", nil, nil},

		{"no credential", system.Request{Body: whole, Header: header("X-Auth-Token", "")}, 401, "APIGW.0301", nil, nil},
		{"wrong token", system.Request{Body: whole, Header: header("X-Auth-Token", canary)}, 401, "APIGW.0301", nil, nil},
		{"nonsense signature", system.Request{Body: whole, Header: header("X-Auth-Token", "", "Authorization", "SDK-HMAC-SHA256 "+canary)}, 401, "APIGW.0301", nil, nil},
		{"another project", system.Request{Body: whole, Project: system.OtherProject}, 403, "DRS.M00261", nil, nil},
		{"no such path", system.Request{Path: "/jobs/batch-nothing", Body: whole}, 404, "APIGW.0101", nil, nil},
		{"no such batch", system.Request{Method: http.MethodGet, Path: "/batch-connections/0190a000-0000-7000-8000-000000000000"}, 404, "DRS.M05003", nil, nil},
		{"no batch id at all", system.Request{Method: http.MethodGet, Path: "/batch-connections/nonsense"}, 404, "DRS.M05003", nil, nil},
		{"get", system.Request{Method: http.MethodGet}, 405, "APIGW.0101", nil, header("Allow", "POST")},
		{"put a batch", system.Request{Method: http.MethodPut, Path: "/batch-connections/1", Body: whole}, 405, "APIGW.0101", nil, header("Allow", "GET")},
		{"too large", system.Request{Body: raw(`{"jobs":["` + strings.Repeat("CANARY", 10000) + `"]}`), Odd: true}, 413, "DRS.M00007", nil, nil},
		{"form", system.Request{Body: whole, Header: header("Content-Type", "application/x-www-form-urlencoded"), Odd: true}, 415, "DRS.M00007", nil, nil},
		{"compressed", system.Request{Body: whole, Header: header("Content-Encoding", "gzip")}, 415, "DRS.M00007", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := tt.ask
			if r.Path == "" {
				r.Path = path
			}
			if r.Method == "" {
				r.Method = http.MethodPost
			}
			a := s.MustSend(r)
			f := refused(t, a, tt.status, tt.code, tt.paths...)
			for name, want := range tt.header {
				if got := a.Header.Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			if len(f.Msg) > 4*512 || strings.Contains(string(a.Body), canary) {
				t.Errorf("the answer is too long or holds what was sent: %s", a.Body)
			}
			if len(tt.paths) > 0 && !strings.Contains(f.Msg, tt.paths[0]) {
				t.Errorf("message %q does not name %s", f.Msg, tt.paths[0])
			}
		})
	}
	t.Run("wrong signature", func(t *testing.T) {
		t.Parallel()
		for name, key := range map[string][2]string{"secret": {system.AccessKey, "SKwrong"}, "key": {"AKWRONG", system.SecretKey}} {
			req, err := s.HTTP(t.Context(), system.Request{Method: http.MethodPost, Path: path, Body: whole})
			if err != nil {
				t.Fatal(err)
			}
			sign(t, req, string(whole), key[0], key[1])
			a, err := s.SendHTTP(t.Context(), req, false)
			if err != nil {
				t.Fatal(err)
			}
			if f := refused(t, a, http.StatusUnauthorized, "APIGW.0301"); !strings.Contains(f.Msg, "aksk") {
				t.Errorf("wrong %s: %q", name, f.Msg)
			}
		}
	})
	t.Run("too many requests", func(t *testing.T) {
		t.Parallel()
		slow := s.OtherAPI("DIALTONE_RATE_LIMIT=0.01", "DIALTONE_RATE_BURST=3")
		for i := range 3 {
			if a := slow.Must(http.MethodGet, "/batch-connections", nil); a.Status != http.StatusOK {
				t.Fatalf("request %d: %d", i, a.Status)
			}
		}
		a := slow.MustSend(system.Request{Method: http.MethodPost, Path: path, Body: whole})
		refused(t, a, http.StatusTooManyRequests, "DRS.M01503")
		if after, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || after < 1 || after > 100 {
			t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
		}
		other := slow.MustSend(system.Request{
			Method: http.MethodGet, Path: "/batch-connections", Project: system.OtherProject, Header: header("X-Auth-Token", system.OtherToken),
		})
		if other.Status != http.StatusOK {
			t.Errorf("another project is held back as well: %d", other.Status)
		}
	})
}

// TestStoreAway: without Postgres every call says that it cannot be answered
// now, nothing is stored, and afterwards all is well.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Env: []string{"DIALTONE_JOBS=any", "DIALTONE_POSTGRES_CONNECT_TIMEOUT=1s"}})
	good := system.MariaDB(t, "dt_native")
	_, id := s.Test(good)
	before := stored(t, s)
	s.Postgres.Cut()
	calls := []system.Request{
		{Method: http.MethodPost, Path: "/jobs/batch-connection", Body: map[string]any{"jobs": []any{good}}},
		{Method: http.MethodPost, Path: "/jobs/batch-connection", Body: map[string]any{"jobs": []any{good}}, Header: map[string]string{"Prefer": "respond-async"}},
		{Method: http.MethodPost, Path: "/jobs/cluster/batch-connection", Body: map[string]any{"jobs": []any{action(t, "job-1", object(good))}}},
		{Method: http.MethodGet, Path: "/batch-connections"},
		{Method: http.MethodGet, Path: "/batch-connections/" + id},
		{Method: http.MethodGet, Path: "/batch-connections/" + id + "/events"},
		{Method: http.MethodPost, Path: "/batch-connections/" + id + "/cancel"},
		{Method: http.MethodPut, Path: "/jobs/job-1/state", Body: map[string]string{"status": "CONFIGURATION"}},
		{Method: http.MethodPost, Path: "/jobs/batch-status", Body: map[string]any{"jobs": []string{"job-1"}}},
		{Method: http.MethodPost, Path: "/jobs/batch-detail", Body: map[string]any{"jobs": []string{"job-1"}}},
		{Method: http.MethodPost, Path: "/jobs", Body: map[string]any{"cur_page": 1, "per_page": 5, "db_use_type": "sync"}},
		{Method: http.MethodPost, Path: "/jobs/batch-creation", Body: map[string]any{"jobs": []any{map[string]any{
			"name": "a-job", "db_use_type": "sync", "engine_type": "mysql", "job_direction": "up", "net_type": "eip", "node_type": "high",
			"task_type": "FULL_TRANS", "source_endpoint": map[string]any{}, "target_endpoint": map[string]any{}, "customize_sutnet_id": "subnet",
		}}}},
		{Method: http.MethodPut, Path: "/jobs/batch-modification", Body: map[string]any{"jobs": []any{map[string]any{"job_id": "job-1", "description": "x"}}}},
		{Method: http.MethodDelete, Path: "/jobs/batch-jobs", Body: map[string]any{"jobs": []any{map[string]any{"job_id": "job-1", "delete_type": "delete"}}}},
	}
	for _, r := range calls {
		a := s.MustSend(r)
		t.Logf("%s %s: %d", r.Method, r.Path, a.Status)
		refused(t, a, http.StatusServiceUnavailable, "DRS.M00004")
		if after, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || after < 1 {
			t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
		}
	}
	system.Eventually(t, system.WaitForServers, "the api says that it is not ready", func() bool { return !s.API.Ready() })
	s.Postgres.Mend()
	s.API.WaitReady(t)
	if diff := cmp.Diff(before, stored(t, s)); diff != "" {
		t.Errorf("stored without a store (-before +after):\n%s", diff)
	}
	if r, _ := s.Test(good); !r.Results[0].OK() {
		t.Errorf("afterwards: %+v", r.Results[0])
	}
}

// TestProjects: a project sees its own jobs and batches, and no others.
func TestProjects(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{})
	other := func(method, path string, body any) system.Answer {
		t.Helper()
		return s.MustSend(system.Request{
			Method: method, Path: path, Body: body, Project: system.OtherProject, Header: map[string]string{"X-Auth-Token": system.OtherToken},
		})
	}
	s.Mirror(system.JobID, "CONFIGURATION", "standalone")
	good := system.MariaDB(t, "dt_native")
	_, id := s.Test(good)

	for path, method := range map[string]string{
		"/batch-connections/" + id: http.MethodGet, "/batch-connections/" + id + "/events": http.MethodGet, "/batch-connections/" + id + "/cancel": http.MethodPost,
	} {
		refused(t, other(method, path, nil), http.StatusNotFound, "DRS.M05003")
	}
	var page batchPage
	other(http.MethodGet, "/batch-connections", nil).Decode(t, &page)
	if len(page.Batches) != 0 {
		t.Errorf("the other project's list has %v", page.ids())
	}
	if got := list(s, "").ids(); len(got) != 1 || got[0] != id {
		t.Errorf("the own list has %v", got)
	}
	tested := func(a system.Answer) system.Result {
		t.Helper()
		var r system.Results
		a.Decode(t, &r)
		if a.Status != http.StatusOK || len(r.Results) != 1 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		return r.Results[0]
	}
	body := map[string]any{"jobs": []system.Entry{good}}
	if got := tested(other(http.MethodPost, "/jobs/batch-connection", body)); got.ErrorCode != "DRS.M05003" {
		t.Errorf("another project's job: %+v", got)
	}
	var statuses struct {
		Results []struct {
			Status string `json:"status"`
			Code   string `json:"error_code"`
		} `json:"results"`
	}
	other(http.MethodPost, "/jobs/batch-status", map[string]any{"jobs": []string{system.JobID}}).Decode(t, &statuses)
	if len(statuses.Results) != 1 || statuses.Results[0].Status != "" || statuses.Results[0].Code == "" {
		t.Errorf("status of another project's job: %+v", statuses)
	}
	// The other project may have a job of the same id, with a state of its own.
	state := other(http.MethodPut, "/jobs/"+system.JobID+"/state", map[string]string{"status": "STARTJOBING"})
	if state.Status != http.StatusCreated {
		t.Fatalf("the same id in the other project: %d %s", state.Status, state.Body)
	}
	if got := tested(other(http.MethodPost, "/jobs/batch-connection", body)); got.ErrorCode != "DRS.M00304" {
		t.Errorf("the other project's own job: %+v", got)
	}
	if r, _ := s.Test(good); !r.Results[0].OK() {
		t.Errorf("the first project's job: %+v", r.Results[0])
	}
}

// TestCallersAreReadAgain: SIGHUP takes a new list over, and keeps the old one
// if the new one is broken.
func TestCallersAreReadAgain(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Env: []string{"DIALTONE_JOBS=any"}})
	const added = "e2e-token-that-came-later"
	status := func(token string) int {
		t.Helper()
		return s.MustSend(system.Request{Method: http.MethodGet, Path: "/batch-connections", Header: map[string]string{"X-Auth-Token": token}}).Status
	}
	rewrite := func(content string) {
		t.Helper()
		if err := os.WriteFile(s.AuthFile, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s.API.Signal(syscall.SIGHUP)
	}
	if got := status(added); got != http.StatusUnauthorized {
		t.Fatalf("before: %d", got)
	}
	old, err := os.ReadFile(s.AuthFile)
	if err != nil {
		t.Fatal(err)
	}
	one := fmt.Sprintf("  - {name: later, sha256: %s, projects: [%q], roles: [drs_adm]}\n", system.HashToken(added), system.Project)
	rewrite(strings.Replace(string(old), "access_keys:", one+"access_keys:", 1))
	system.Eventually(t, system.WaitForServers, "the added token is good", func() bool { return status(added) == http.StatusOK })
	if got := status(system.Token); got != http.StatusOK {
		t.Errorf("the token that was there: %d", got)
	}

	rewrite("tokens: [{name: broken, sha256: zz}]\n")
	system.Eventually(t, system.WaitForServers, "the broken list is complained of", func() bool {
		return strings.Contains(s.API.Output(), "list of callers not read again")
	})
	for _, token := range []string{system.Token, added} {
		if got := status(token); got != http.StatusOK {
			t.Errorf("after a broken list: %d", got)
		}
	}
	rewrite("tokens:\n" + one)
	system.Eventually(t, system.WaitForServers, "the token that was taken away is refused", func() bool { return status(system.Token) == http.StatusUnauthorized })
	if got := status(added); got != http.StatusOK {
		t.Errorf("the token that stayed: %d", got)
	}
}
