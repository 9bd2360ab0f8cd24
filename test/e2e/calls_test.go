package e2e_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"dialtone/test/system"
)

func portOf(t *testing.T, addrVar string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(system.Need(t, addrVar))
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestOddities sends what real clients send and no document describes.
func TestOddities(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Env: []string{"DIALTONE_PROBE_TIMEOUT=4s", "DIALTONE_CONNECT_TIMEOUT=1s"}})
	s.Mirror(system.JobID, "CONFIGURATION", "standalone")
	s.Mirror("other-job", "CONFIGURATION", "standalone")
	other := system.Entry{"id": "other-job"}
	source := system.MariaDB(t, "dt_native")
	target := system.Postgres(t, "dt_scram").With(system.Entry{"end_point_type": "ta"})

	accepted := []struct {
		name    string
		entries []system.Entry
		odd     bool
	}{
		{"the same id as source and as target", []system.Entry{source, target}, false},
		{"the port as a string", []system.Entry{source.With(system.Entry{"db_port": portOf(t, "DIALTONE_TEST_MARIADB_ADDR")})}, false},
		{"empty strings", []system.Entry{source.With(system.Entry{
			"end_point_type": "", "inst_id": "", "vpc_id": "", "subnet_id": "", "region": "", "project_id": "",
			"ssl_cert_key": "", "ssl_cert_name": "", "ssl_cert_check_sum": "", "ssl_cert_password": "",
		})}, false},
		{"null", []system.Entry{source.With(system.Entry{"vpc_id": (*string)(nil), "kafka_security_config": (*string)(nil), "ssl_link": (*bool)(nil)})}, true},
		{"no end point type", []system.Entry{source.With(system.Entry{"end_point_type": nil})}, false},
		{"unknown fields", []system.Entry{source.With(system.Entry{"DB_PORT": "x", "colour": []int{1}, "db_type_2": map[string]any{"a": nil}})}, false},
		{"a project id of its own", []system.Entry{source.With(system.Entry{"project_id": system.OtherProject}), source.With(other)}, false},
	}
	for _, tt := range accepted {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := s.MustSend(system.Request{
				Method: http.MethodPost, Path: "/jobs/batch-connection", Body: map[string]any{"jobs": tt.entries, "surplus": 1}, Odd: tt.odd,
			})
			if a.Status != http.StatusOK {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			var r system.Results
			a.Decode(t, &r)
			for i, result := range r.Results {
				if !result.OK() || result.ID != tt.entries[i]["id"] {
					t.Errorf("entry %d: %+v", i, result)
				}
			}
		})
	}

	t.Run("no content type, and a final newline", func(t *testing.T) {
		t.Parallel()
		body := fmt.Appendf(nil, `{"jobs":[{"id":%q,"net_type":"eip","db_type":"mysql","ip":%q,"db_port":%s,"db_user":"dt_native","db_password":%q}]}`+"\n",
			system.JobID, source["ip"], portOf(t, "DIALTONE_TEST_MARIADB_ADDR"), source["db_password"])
		a := s.MustSend(system.Request{Method: http.MethodPost, Path: "/jobs/batch-connection", Body: body, Header: map[string]string{"Content-Type": ""}})
		if a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	})
	t.Run("the same id and the same end", func(t *testing.T) {
		t.Parallel()
		a := s.Must(http.MethodPost, "/jobs/batch-connection", map[string]any{"jobs": []system.Entry{source, target, source.With(system.Entry{"db_user": "dt_ssl"})}})
		refused(t, a, http.StatusBadRequest, "DRS.M00301", "jobs[2].id")
	})
}

// TestHeaders: what a caller says and is told beside the body.
func TestHeaders(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Env: []string{"DIALTONE_JOBS=any", "DIALTONE_PROBE_TIMEOUT=4s", "DIALTONE_CONNECT_TIMEOUT=1s"}})
	wrong := system.MariaDB(t, "dt_native").With(system.Entry{"db_password": "wrong"})
	chinese := func(text string) bool {
		return strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Han, r) })
	}

	t.Run("language", func(t *testing.T) {
		t.Parallel()
		for language, want := range map[string]bool{"zh-cn": true, "ZH-CN": true, "en-us": false, "fr-fr": false, "": false} {
			a := s.Must(http.MethodPost, "/jobs/batch-connection", map[string]any{"jobs": []system.Entry{wrong.Elsewhere(t)}}, "X-Language", language)
			var r system.Results
			a.Decode(t, &r)
			if a.Status != http.StatusOK || r.Results[0].ErrorCode != "DRS.KE0002" {
				t.Fatalf("%q: %d %s", language, a.Status, a.Body)
			}
			if got := chinese(r.Results[0].ErrorMsg); got != want {
				t.Errorf("%q: message %q", language, r.Results[0].ErrorMsg)
			}
			read := s.Must(http.MethodGet, "/batch-connections/"+a.Header.Get("X-Batch-Id"), nil, "X-Language", language)
			var d batchDetail
			read.Decode(t, &d)
			if report := d.tests()[0].Report; chinese(report.Remedy) != want || chinese(report.Meaning) != want {
				t.Errorf("%q: meaning %q, remedy %q", language, report.Meaning, report.Remedy)
			}
			bad := s.MustSend(system.Request{
				Method: http.MethodPost, Path: "/jobs/batch-connection", Body: map[string]any{"jobs": []int{}},
				Header: map[string]string{"X-Language": language}, Odd: true,
			})
			if f := refused(t, bad, http.StatusBadRequest, "DRS.M00201", "jobs"); chinese(f.Msg) != want {
				t.Errorf("%q: refusal %q", language, f.Msg)
			}
		}
	})
	t.Run("request id", func(t *testing.T) {
		t.Parallel()
		for given, kept := range map[string]bool{
			"order-4711_a.b": true, strings.Repeat("x", 64): true, strings.Repeat("x", 65): false, "a b": false, "": false,
		} {
			a := s.Must(http.MethodGet, "/batch-connections", nil, "X-Request-Id", given)
			if got := a.Header.Get("X-Request-Id"); (got == given) != kept || got == "" {
				t.Errorf("X-Request-Id %q is answered with %q", given, got)
			}
			if kept { // a line is written once the answer is out
				system.Eventually(t, system.WaitForServers, given+" is in the log", func() bool { return strings.Contains(s.API.Output(), given) })
			}
		}
	})
	t.Run("batch id", func(t *testing.T) {
		t.Parallel()
		one, first := s.Test(wrong)
		_, second := s.Test(wrong)
		if first == "" || first == second {
			t.Errorf("X-Batch-Id is %q and %q", first, second)
		}
		d := detail(s, first)
		if d.ID != first || d.Call != "connection" || d.Lane != "interactive" || d.Caller != "e2e" || d.State != "done" || d.Entries != 1 || d.Open != 0 {
			t.Errorf("batch %+v", d)
		}
		if one.Results[0].OK() || d.Results[0].Success {
			t.Error("a wrong password is a success")
		}
	})
}

// TestAsync: 202, the batch at its Location, the list.
func TestAsync(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Env: []string{"DIALTONE_JOBS=any", "DIALTONE_PROBE_TIMEOUT=4s", "DIALTONE_CONNECT_TIMEOUT=1s"}})
	good := system.MariaDB(t, "dt_native")
	began := time.Now()
	var ids []string
	for i := range 5 {
		e := good.With(system.Entry{"id": fmt.Sprintf("job-%d", i)})
		path, body := "/jobs/batch-connection", any(map[string]any{"jobs": []system.Entry{e}})
		if i == 4 {
			path, body = "/jobs/cluster/batch-connection", map[string]any{"jobs": []any{action(t, "job-4", object(e))}}
		}
		a := s.Must(http.MethodPost, path, body, "Prefer", "return=minimal, respond-async")
		id := a.Header.Get("X-Batch-Id")
		want := "/v3/" + system.Project + "/batch-connections/" + id
		if a.Status != http.StatusAccepted || a.Header.Get("Location") != want || a.Header.Get("Preference-Applied") != "respond-async" {
			t.Fatalf("%d %v %s", a.Status, a.Header, a.Body)
		}
		var b batchDetail
		a.Decode(t, &b)
		if b.ID != id || b.Lane != "bulk" || b.Total != 1 || b.Deadline.Before(began.Add(10*time.Minute)) {
			t.Errorf("accepted as %+v", b)
		}
		ids = append([]string{id}, ids...) // newest first
	}
	for _, id := range ids {
		d := done(s, system.WaitForServers, id)
		if !d.Results[0].Success || d.Results[0].Tests[0].Report.Code != "ok" || d.Open != 0 || d.FinishedAt == nil {
			t.Errorf("batch %s ended as %+v", id, d)
		}
	}

	stamp := func(d batchDetail) string { return url.QueryEscape(d.CreatedAt.Format(time.RFC3339Nano)) }
	middle := detail(s, ids[2])
	filters := []struct {
		query string
		want  []string
	}{
		{"", ids},
		{"?state=done", ids},
		{"?state=running", []string{}},
		{"?job_id=job-4", ids[:1]},
		{"?job_id=job-0&state=done", ids[4:]},
		{"?job_id=nobody", []string{}},
		{"?created_after=" + stamp(middle), ids[:3]},
		{"?created_before=" + stamp(middle), ids[3:]},
		{"?created_after=" + url.QueryEscape(began.Add(time.Hour).Format(time.RFC3339)), []string{}},
		{"?limit=2", ids[:2]},
	}
	for _, f := range filters {
		if diff := cmp.Diff(f.want, list(s, f.query).ids()); diff != "" {
			t.Errorf("list%s (-want +got):\n%s", f.query, diff)
		}
	}
	var paged []string
	for page, query := 0, "?limit=2&state=done"; query != ""; page++ {
		p := list(s, query)
		paged = append(paged, p.ids()...)
		if query = ""; p.Next != "" {
			query = "?limit=2&state=done&cursor=" + url.QueryEscape(p.Next)
		}
		if page > 3 {
			t.Fatal("the pages have no end")
		}
	}
	if !slices.Equal(paged, ids) {
		t.Errorf("over pages: %v, want %v", paged, ids)
	}
	for _, query := range []string{"?limit=0", "?limit=201", "?state=sleeping", "?created_after=yesterday", "?cursor=broken"} {
		a := s.MustSend(system.Request{Method: http.MethodGet, Path: "/batch-connections" + query, Odd: true})
		refused(t, a, http.StatusBadRequest, "DRS.M00202", query[1:strings.Index(query, "=")])
	}
}

// event is one server-sent event.
type event struct{ name, id, data string }

// follow reads the event stream of a batch until it ends, or until enough
// events were seen.
func follow(s *system.System, id, last string, enough int) []event {
	s.T.Helper()
	r := system.Request{Method: http.MethodGet, Path: "/batch-connections/" + id + "/events", Header: map[string]string{}}
	if last != "" {
		r.Header["Last-Event-ID"] = last
	}
	req, err := s.HTTP(s.T.Context(), r)
	if err != nil {
		s.T.Fatal(err)
	}
	resp, err := s.Client.Do(req)
	if err != nil {
		s.T.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("X-Request-Id") == "" {
		s.T.Fatalf("events: %d %v", resp.StatusCode, resp.Header)
	}
	var all []event
	var e event
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for len(all) < enough && lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case lines.Text() == "" && e.name != "":
			all = append(all, e)
			e = event{}
		case field == "event":
			e.name = value
		case field == "id":
			e.id = value
		case field == "data":
			e.data += value
		}
	}
	if err := lines.Err(); err != nil && len(all) < enough {
		s.T.Fatalf("events: %v", err)
	}
	return all
}

// TestEvents follows a batch while it runs, comes back in the middle, and
// after the end.
func TestEvents(t *testing.T) {
	t.Parallel()
	s := system.Start(t, system.Options{Env: []string{"DIALTONE_JOBS=any", "DIALTONE_PROBE_TIMEOUT=2s", "DIALTONE_CONNECT_TIMEOUT=1s"}})
	good, pit := system.MariaDB(t, "dt_native"), system.Tarpit(t)
	id := later(s,
		good.With(system.Entry{"id": "slow"}).At(t, pit), good.With(system.Entry{"id": "quick-1"}), good.With(system.Entry{"id": "quick-2"}))

	tests := func(from int, events []event) (jobs []string) {
		for i, e := range events {
			var test testDetail
			system.Answer{Body: []byte(e.data)}.Decode(t, &test)
			if e.name != "test" || e.id != strconv.Itoa(from+i) || test.Seq != from+i || test.State != "done" || test.Report.Code == "" {
				t.Errorf("event %d: %s %s %s", from+i, e.name, e.id, test.Report.Code)
			}
			jobs = append(jobs, test.JobID)
		}
		return jobs
	}
	first := follow(s, id, "", 2) // the quick ones, while the slow one runs
	if got := detail(s, id); got.State != "running" || got.Open != 1 {
		t.Errorf("after two events the batch is %s with %d open, want one open", got.State, got.Open)
	}
	if got := tests(1, first); len(got) != 2 || slices.Contains(got, "slow") {
		t.Errorf("first events are of %v, want the quick ones", got)
	}
	rest := follow(s, id, first[1].id, 100) // to the end of the stream
	if len(rest) != 2 || rest[1].name != "done" || rest[1].id != "" {
		t.Fatalf("events after the second: %+v, want the slow test and the end", rest)
	}
	if got := tests(3, rest[:1]); !slices.Equal(got, []string{"slow"}) {
		t.Errorf("third event is of %v", got)
	}
	var end batchDetail
	system.Answer{Body: []byte(rest[1].data)}.Decode(t, &end)
	if end.ID != id || end.State != "done" || end.Open != 0 || end.Results != nil {
		t.Errorf("the end says %+v", end)
	}
	if again := follow(s, id, "3", 100); !slices.Equal(again, rest[1:]) {
		t.Errorf("after the end: %+v, want the end once more", again)
	}
	if all := follow(s, id, "", 100); len(all) != 4 || strings.Contains(fmt.Sprint(all), system.Need(t, "DIALTONE_TEST_PASSWORD")) {
		t.Errorf("the whole stream has %d events, or a password in it", len(all))
	}
	a := s.Must(http.MethodGet, "/batch-connections/0190a000-0000-7000-8000-000000000000/events", nil)
	refused(t, a, http.StatusNotFound, "DRS.M05003")
}
