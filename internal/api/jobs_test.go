package api_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/api"
	"dialtone/internal/job"
)

const (
	creation     = "{project}/jobs/batch-creation"
	status       = "{project}/jobs/batch-status"
	detail       = "{project}/jobs/batch-detail"
	listing      = "{project}/jobs"
	modification = "{project}/jobs/batch-modification"
	deletion     = "{project}/jobs/batch-jobs"
)

// creationOf is a good job with some fields replaced or added.
func creationOf(name string, more ...string) string {
	text := `{"name":"` + name + `","db_use_type":"sync","engine_type":"mysql","job_direction":"up","net_type":"eip","node_type":"high","task_type":"FULL_INCR_TRANS",` +
		`"customize_sutnet_id":"a1b2","bind_eip":true,"description":"first","expired_days":"14","tags":[{"key":"k","value":"v"}],` +
		`"source_endpoint":{"db_type":"mysql","ip":"10.0.0.1","db_port":"3306","db_user":"root","db_password":"` + marker + `","ssl_link":true,"ssl_cert_key":"` + marker + `"},` +
		`"target_endpoint":{"db_type":"kafka","inst_id":"i-1","kafka_security_config":{"type":"SASL_SSL","trust_store_key":"` + marker + `","trust_store_password":"` + marker + `"}}`
	return strings.Join(append([]string{text}, more...), ",") + "}"
}

type jobResults struct {
	Results []struct {
		ID       string   `json:"id"`
		ChildIDs []string `json:"child_ids"`
		Name     string   `json:"name"`
		Status   string   `json:"status"`
		Created  string   `json:"create_time"`
		Code     string   `json:"error_code"`
		Msg      string   `json:"error_msg"`
		Message  string   `json:"error_message"`
	} `json:"results"`
	Count int `json:"count"`
}

// create makes jobs and gives their results.
func (b *bench) create(t *testing.T, bodies ...string) jobResults {
	t.Helper()
	r := b.do(t, ask{path: creation, body: jobs(bodies...)})
	if r.status != http.StatusAccepted {
		t.Fatalf("%d %s", r.status, r.body)
	}
	var got jobResults
	r.into(t, &got)
	return got
}

var idShape = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{7}jb[0-9a-z]{3}$`)

func TestCreateJobs(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	got := b.create(t, creationOf("DRS-1"), creationOf("drs-1"), creationOf("DRS-2"))
	if got.Count != 3 || len(got.Results) != 3 {
		t.Fatalf("%+v", got)
	}
	for i, want := range []struct{ status, code string }{{"CREATING", ""}, {"CREATE_FAILED", "DRS.M00277"}, {"CREATING", ""}} {
		one := got.Results[i]
		if one.Status != want.status || one.Code != want.code || (one.Msg == "") != (want.code == "") || idShape.MatchString(one.ID) != (want.code == "") || (one.Created == "") != (want.code != "") {
			t.Errorf("result %d: %+v", i, one)
		}
	}
	stored := b.jobs[got.Results[0].ID]
	if strings.Contains(string(stored.Detail), marker) {
		t.Errorf("a secret is in the open: %s", stored.Detail)
	}
	if strings.Count(string(stored.Endpoints), marker) != 4 {
		t.Errorf("secrets are missing from what is sealed")
	}
	if stored.Status != job.Creating || stored.Role != job.Standalone || stored.DBUseType != "sync" {
		t.Errorf("stored %+v", stored.Job)
	}
}

func TestCreateDualActivePair(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	pair := strings.Replace(creationOf("DR-pair", `"multi_write":true`, `"node_num":"2"`), `"sync"`, `"cloudDataGuard"`, 1)
	got := b.create(t, pair).Results[0]
	if len(got.ChildIDs) != 2 {
		t.Fatalf("%+v", got)
	}
	parent, forward, backward := b.jobs[got.ID], b.jobs[got.ChildIDs[0]], b.jobs[got.ChildIDs[1]]
	roles := []job.Role{parent.Role, forward.Role, backward.Role}
	if diff := cmp.Diff([]job.Role{job.Parent, job.Forward, job.Backward}, roles); diff != "" {
		t.Error(diff)
	}
	if forward.ParentID != got.ID || backward.ParentID != got.ID || forward.Direction != "up" || backward.Direction != "down" || parent.Endpoints != nil {
		t.Errorf("%+v\n%+v", forward.Job, backward.Job)
	}
	if !strings.HasPrefix(string(backward.Endpoints), `{"source_endpoint":{"db_type":"kafka"`) {
		t.Error("the backward job's ends are not swapped")
	}
}

func TestBadJobs(t *testing.T) {
	t.Parallel()
	replace := func(old, by string) string { return jobs(strings.Replace(creationOf("DRS-1"), old, by, 1)) }
	tags := func(tags string) string { return replace(`[{"key":"k","value":"v"}]`, tags) }
	for _, tt := range []struct{ name, method, path, body, code, at string }{
		{"short name", "", creation, replace("DRS-1", "DRS"), "DRS.M00202", "jobs[0].name"},
		{"long name", "", creation, replace("DRS-1", strings.Repeat("a", 51)), "DRS.M00202", "jobs[0].name"},
		{"name with a blank", "", creation, replace("DRS-1", "DRS 1"), "DRS.M00202", "jobs[0].name"},
		{"name that begins with a digit", "", creation, replace("DRS-1", "1DRS"), "DRS.M00202", "jobs[0].name"},
		{"no name", "", creation, replace(`"name":"DRS-1",`, ""), "DRS.M00201", "jobs[0].name"},
		{"no endpoint", "", creation, replace("source_endpoint", "x"), "DRS.M00201", "jobs[0].source_endpoint"},
		{"other use", "", creation, replace("sync", "copy"), "DRS.M00202", "jobs[0].db_use_type"},
		{"other net", "", creation, replace("eip", "lan"), "DRS.M00202", "jobs[0].net_type"},
		{"days", "", creation, replace(`"14"`, `"13"`), "DRS.M00202", "jobs[0].expired_days"},
		{"description", "", creation, replace("first", "<b>"), "DRS.M00273", "jobs[0].description"},
		{"endpoint's port", "", creation, replace(`"3306"`, `"70000"`), "DRS.M00202", "jobs[0].source_endpoint.db_port"},
		{"pair of another use", "", creation, jobs(creationOf("DRS-1", `"multi_write":true`)), "DRS.M00202", "jobs[0].multi_write"},
		{"half of the zones", "", creation, jobs(creationOf("DRS-1", `"master_az":"a"`)), "DRS.M00201", "jobs[0].slave_az"},
		{"tag twice", "", creation, tags(`[{"key":"k"},{"key":"k"}]`), "DRS.M00269", "jobs[0].tags[1].key"},
		{"long tag", "", creation, tags(`[{"key":"` + strings.Repeat("k", 37) + `"}]`), "DRS.M00270", "jobs[0].tags[0].key"},
		{"long value", "", creation, tags(`[{"key":"k","value":"` + strings.Repeat("k", 44) + `"}]`), "DRS.M00270", "jobs[0].tags[0].value"},
		{"many tags", "", creation, tags(`[` + strings.Repeat(`{"key":"k"},`, 20) + `{"key":"k"}]`), "DRS.M00271", "jobs[0].tags"},

		{"status of nothing", "", status, `{}`, "DRS.M00201", "jobs"},
		{"status of a number", "", status, `{"jobs":[1]}`, "DRS.M00202", "jobs[0]"},
		{"page 0", "", status, `{"jobs":["a"],"page_req":{"cur_page":0}}`, "DRS.M00210", "page_req.cur_page"},
		{"page of another kind", "", status, `{"jobs":["a"],"page_req":{"cur_page":"x"}}`, "DRS.M00210", "page_req.cur_page"},
		{"negative size", "", detail, `{"jobs":["a"],"page_req":{"per_page":-1}}`, "DRS.M00210", "page_req.per_page"},
		{"big size", "", detail, `{"jobs":["a"],"page_req":{"per_page":101}}`, "DRS.M00211", "page_req.per_page"},
		{"list without page", "", listing, `{"db_use_type":"sync"}`, "DRS.M00201", "cur_page"},
		{"list of big pages", "", listing, `{"db_use_type":"sync","cur_page":1,"per_page":1000}`, "DRS.M00211", "per_page"},
		{"list without use", "", listing, `{"cur_page":1,"per_page":10}`, "DRS.M00201", "db_use_type"},
		{"list of too many ids", "", listing, `{"cur_page":1,"per_page":10,"db_use_type":"sync","name":"` + strings.TrimSuffix(strings.Repeat(jobID+",", 101), ",") + `"}`, "DRS.M00202", "name"},
		{"list of an unknown status", "", listing, `{"cur_page":1,"per_page":10,"db_use_type":"sync","status":"BUSY"}`, "DRS.M00202", "status"},

		{"modify nobody", http.MethodPut, modification, jobs(`{}`), "DRS.M00201", "jobs[0].job_id"},
		{"store without endpoints", http.MethodPut, modification, jobs(`{"job_id":"j","store_db_info":true}`), "DRS.M00201", "jobs[0].engine_type"},
		{"delete how", http.MethodDelete, deletion, jobs(`{"job_id":"j","delete_type":"drop"}`), "DRS.M00202", "jobs[0].delete_type"},
		{"delete without a body", http.MethodDelete, deletion, "", "DRS.M00201", "jobs"},

		{"state", http.MethodPut, "{project}/jobs/j/state", `{"status":"BUSY"}`, "DRS.M00202", "status"},
		{"no state", http.MethodPut, "{project}/jobs/j/state", `{"role":"parent"}`, "DRS.M00201", "status"},
		{"role", http.MethodPut, "{project}/jobs/j/state", `{"status":"CONFIGURATION","role":"child"}`, "DRS.M00202", "role"},
		{"child without parent", http.MethodPut, "{project}/jobs/j/state", `{"status":"CONFIGURATION","role":"forward"}`, "DRS.M00201", "parent_id"},
		{"parent with parent", http.MethodPut, "{project}/jobs/j/state", `{"status":"CONFIGURATION","role":"parent","parent_id":"p"}`, "DRS.M00202", "parent_id"},
		{"its own parent", http.MethodPut, "{project}/jobs/j/state", `{"status":"CONFIGURATION","role":"backward","parent_id":"j"}`, "DRS.M00202", "parent_id"},
		{"bad id", http.MethodPut, "{project}/jobs/a%20b/state", `{"status":"CONFIGURATION"}`, "DRS.M00202", "job_id"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := start(t, api.Config{})
			r := b.do(t, ask{method: tt.method, path: tt.path, body: tt.body})
			f := r.fault(t)
			if r.status != http.StatusBadRequest || f.Code != tt.code || len(f.Problems) == 0 || f.Problems[0].Path != tt.at || !strings.Contains(f.Msg, tt.at) {
				t.Errorf("%d %s, want %s at %s", r.status, r.body, tt.code, tt.at)
			}
			if strings.Contains(string(r.body)+b.log.String(), marker) {
				t.Error("a secret got out")
			}
		})
	}
}

func TestJobStatuses(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	made := b.create(t, creationOf("DRS-1"), creationOf("DRS-2"))
	a, gone := made.Results[0].ID, made.Results[1].ID
	b.setStatus(a, job.Configuration)
	b.setStatus(gone, job.Deleted)
	r := b.do(t, ask{path: status, body: `{"jobs":["` + a + `","` + gone + `","` + jobID + `"]}`})
	var got jobResults
	if r.into(t, &got); got.Count != 3 || r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	for i, want := range []struct{ id, status, code string }{{a, "CONFIGURATION", ""}, {gone, "DELETED", "DRS.M05004"}, {jobID, "", "DRS.M00289"}} {
		if one := got.Results[i]; one.ID != want.id || one.Status != want.status || one.Code != want.code || one.Msg != "" || (one.Message == "") != (want.code == "") {
			t.Errorf("result %d: %+v", i, one)
		}
	}
	if r := b.do(t, ask{path: strings.Replace(status, "{project}", "/v3/another", 1), body: `{"jobs":["` + a + `"]}`}); !strings.Contains(string(r.body), "DRS.M00289") {
		t.Errorf("another project sees it: %s", r.body)
	}
	// The page of a query by ids.
	many := `"` + strings.Join([]string{"a", "b", "c", "d", "e", "f", "g"}, `","`) + `"`
	for page, want := range map[string]int{``: 5, `,"page_req":{"cur_page":2}`: 2, `,"page_req":{"per_page":0}`: 7, `,"page_req":{"cur_page":"2","per_page":"4"}`: 3, `,"page_req":{"cur_page":9}`: 0} {
		r := b.do(t, ask{path: status, body: `{"jobs":[` + many + `]` + page + `}`})
		if r.into(t, &got); len(got.Results) != want || got.Count != 7 {
			t.Errorf("%s: %d results, count %d, want %d", page, len(got.Results), got.Count, want)
		}
	}
}

func TestJobDetails(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	made := b.create(t, creationOf("DRS-1", `"master_az":"az1"`, `"slave_az":"az2"`), creationOf("DRS-2"))
	id, gone := made.Results[0].ID, made.Results[1].ID
	b.setStatus(gone, job.Deleted)
	r := b.do(t, ask{path: detail, body: `{"jobs":["` + id + `"]}`})
	if strings.Contains(string(r.body), marker) {
		t.Error("a secret is in the answer")
	}
	golden(t, "job-detail", []byte(strings.ReplaceAll(string(r.body), id, jobID)))

	for _, tt := range []struct {
		name, jobs, code string
		status           int
	}{
		{"one that is missing", `"` + jobID + `"`, "DRS.M00289", http.StatusBadRequest},
		{"one that was deleted", `"` + gone + `"`, "DRS.M05004", http.StatusBadRequest},
		{"one of several", `"` + jobID + `","` + id + `"`, "DRS.M00289", http.StatusOK},
	} {
		r := b.do(t, ask{path: detail, body: `{"jobs":[` + tt.jobs + `]}`})
		var got jobResults
		if r.into(t, &got); r.status != tt.status || got.Results[0].Code != tt.code || got.Results[0].Message == "" || got.Results[0].Msg != "" {
			t.Errorf("%s: %d %s", tt.name, r.status, r.body)
		}
	}
}

func TestListJobs(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	made := b.create(t, creationOf("DRS-1"), creationOf("DRS-2"), creationOf("other"))
	pair := b.create(t, strings.Replace(creationOf("DR-pair", `"multi_write":true`), `"sync"`, `"cloudDataGuard"`, 1)).Results[0]
	b.setStatus(made.Results[1].ID, job.Deleted)
	childName := b.jobs[pair.ChildIDs[0]].Name
	for _, tt := range []struct {
		name, body string
		want       []string
		total      int
	}{
		{"newest first", `"db_use_type":"sync"`, []string{"other", "DRS-1"}, 2},
		{"by name", `"db_use_type":"sync","name":"drs"`, []string{"DRS-1"}, 1},
		{"by id", `"db_use_type":"sync","name":"` + made.Results[0].ID + "," + jobID + `"`, []string{"DRS-1"}, 1},
		{"by tag", `"db_use_type":"sync","tags":{"k":"v"}`, []string{"other", "DRS-1"}, 2},
		{"by another tag", `"db_use_type":"sync","tags":{"k":"w"}`, nil, 0},
		{"by instance", `"db_use_type":"sync","instance_ids":["i-1"],"instance_ip":"10.0.0"`, []string{"other", "DRS-1"}, 2},
		{"by another address", `"db_use_type":"sync","instance_ip":"10.0.9"`, nil, 0},
		{"by enterprise project", `"db_use_type":"sync","enterprise_project_id":"x"`, nil, 0},
		{"deleted ones", `"db_use_type":"sync","status":"DELETED"`, []string{"DRS-2"}, 1},
		{"children below their parent", `"db_use_type":"cloudDataGuard"`, []string{"DR-pair"}, 1},
		{"first page", `"db_use_type":"sync","cur_page":1,"per_page":1`, []string{"other"}, 2},
		{"second page", `"db_use_type":"sync","cur_page":2,"per_page":1`, []string{"DRS-1"}, 2},
		{"second page by tag", `"db_use_type":"sync","cur_page":2,"per_page":1,"tags":{"k":"v"}`, []string{"DRS-1"}, 2},
		{"past the end", `"db_use_type":"sync","cur_page":10000000,"per_page":100`, nil, 2},
		{"all on one page", `"db_use_type":"sync","cur_page":3,"per_page":0`, []string{"other", "DRS-1"}, 2},
		{"a child by id", `"db_use_type":"cloudDataGuard","name":"` + pair.ChildIDs[0] + `"`, []string{childName}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			body := tt.body
			if !strings.Contains(body, "cur_page") {
				body += `,"cur_page":1,"per_page":10`
			}
			r := b.do(t, ask{path: listing, body: "{" + body + "}"})
			var got struct {
				Total int `json:"total_record"`
				Jobs  []struct {
					Name     string
					Billing  *bool `json:"billing_tag"`
					New      *bool `json:"node_newFramework"`
					Children []struct{ ID string }
				}
			}
			r.into(t, &got)
			var names []string
			for _, j := range got.Jobs {
				names = append(names, j.Name)
				if j.Billing == nil || j.New == nil {
					t.Errorf("flags are missing: %s", r.body)
				}
				if j.Name == "DR-pair" && (len(j.Children) != 2 || j.Children[0].ID != pair.ChildIDs[0]) {
					t.Errorf("children %v", j.Children)
				}
			}
			if diff := cmp.Diff(tt.want, names); diff != "" || got.Total != tt.total || r.status != http.StatusOK {
				t.Errorf("%d, total %d (-want +got):\n%s", r.status, got.Total, diff)
			}
		})
	}
}

// TestListJobsReadsOnePage counts what the store was made to read.
func TestListJobsReadsOnePage(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	b.create(t, creationOf("DRS-1"), creationOf("DRS-2"), creationOf("DRS-3"))
	r := b.do(t, ask{path: listing, body: `{"db_use_type":"sync","cur_page":2,"per_page":1}`})
	var got struct {
		Total int `json:"total_record"`
		Jobs  []struct{ Name string }
	}
	r.into(t, &got)
	if got.Total != 3 || len(got.Jobs) != 1 || got.Jobs[0].Name != "DRS-2" {
		t.Errorf("listed %+v", got)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listed != 1 {
		t.Errorf("the store read %d jobs for a page of one", b.listed)
	}
}

func TestModifyJobs(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	made := b.create(t, creationOf("DRS-1"), creationOf("DRS-2"), creationOf("DRS-3"))
	pair := b.create(t, strings.Replace(creationOf("DR-pair", `"multi_write":true`), `"sync"`, `"cloudDataGuard"`, 1)).Results[0]
	ids := []string{made.Results[0].ID, made.Results[1].ID, made.Results[2].ID}
	b.setStatus(ids[0], job.Configuration)
	b.setStatus(ids[2], job.Deleted)
	store := func(id string) string {
		return `{"job_id":"` + id + `","name":"renamed","store_db_info":true,"node_type":"small","engine_type":"mysql","net_type":"vpc","replace_definer":false,` +
			`"source_endpoint":{"ip":"10.9.9.9","db_password":"` + marker + `2"},"target_endpoint":{"ip":"10.8.8.8","db_password":"` + marker + `3"}}`
	}
	r := b.do(t, ask{method: http.MethodPut, path: modification, body: jobs(
		store(ids[0]), store(ids[1]), store(ids[2]), store(jobID), store(pair.ID), `{"job_id":"`+ids[1]+`","description":"new"}`, `{"job_id":"`+ids[1]+`","name":"RENAMED-not"}`,
	)})
	var got jobResults
	r.into(t, &got)
	for i, want := range []struct{ status, code string }{
		{"success", ""}, {"failed", "DRS.M00304"}, {"failed", "DRS.M05004"}, {"failed", "DRS.M05003"}, {"failed", "DRS.M00307"}, {"success", ""}, {"success", ""},
	} {
		if one := got.Results[i]; one.Status != want.status || one.Code != want.code || (one.Msg == "") != (want.code == "") {
			t.Errorf("result %d: %+v", i, one)
		}
	}
	stored := b.jobs[ids[0]]
	if stored.Name != "renamed" || stored.NetType != "vpc" || stored.NodeType != "small" || strings.Contains(string(stored.Detail), marker) ||
		!strings.Contains(string(stored.Detail), "10.9.9.9") || strings.Count(string(stored.Endpoints), marker) != 2 {
		t.Errorf("stored %+v %s", stored, stored.Detail)
	}
	// What does not concern the endpoints leaves them.
	if s := b.jobs[ids[1]]; s.Description != "new" || strings.Count(string(s.Endpoints), marker) != 4 || !strings.Contains(string(s.Detail), "10.0.0.1") {
		t.Errorf("stored %+v", s)
	}
	if strings.Contains(b.log.String(), marker) {
		t.Error("a secret is in the log")
	}
}

func TestEndJobs(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	one := b.create(t, creationOf("DRS-1")).Results[0].ID
	pair := b.create(t, strings.Replace(creationOf("DR-pair", `"multi_write":true`), `"sync"`, `"cloudDataGuard"`, 1)).Results[0]
	do := func(how, id, code string) {
		t.Helper()
		r := b.do(t, ask{method: http.MethodDelete, path: deletion, body: jobs(`{"job_id":"` + id + `","delete_type":"` + how + `"}`)})
		var got jobResults
		r.into(t, &got)
		if r.status != http.StatusAccepted || got.Count != 1 || got.Results[0].Code != code || got.Results[0].ID != id {
			t.Errorf("%s %s: %d %s, want %q", how, id, r.status, r.body, code)
		}
	}
	do("delete", one, "DRS.M00304")
	do("roll_back_upgrade_active_standby", one, "DRS.M00304")
	do("terminate", one, "")
	do("terminate", one, "DRS.M00304")
	do("delete", one, "")
	do("delete", one, "DRS.M05004")
	do("force_terminate", jobID, "DRS.M05003")
	if j := b.jobs[one]; j.Status != job.Deleted || j.Endpoints != nil {
		t.Errorf("stored %s with %d bytes of secrets", j.Status, len(j.Endpoints))
	}
	do("terminate", pair.ChildIDs[0], "DRS.M00308")
	do("force_terminate", pair.ID, "")
	for _, id := range append(slices.Clone(pair.ChildIDs), pair.ID) {
		if j := b.jobs[id]; j.Status != job.ReleaseResourceComplete || j.Endpoints != nil {
			t.Errorf("%s is %s", j.Role, j.Status)
		}
	}
	b.create(t, creationOf("DRS-1")) // the name is free again
	if r := b.do(t, ask{method: http.MethodPut, path: "{project}/jobs/m1/state", body: `{"status":"CONFIGURATION"}`}); r.status != http.StatusCreated {
		t.Fatal(r.status)
	}
	do("terminate", "m1", "DRS.M00304") // it lives elsewhere
}

func TestPutJobState(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	path := "{project}/jobs/" + jobID + "/state"
	first := b.do(t, ask{method: http.MethodPut, path: path, body: `{"status":"CONFIGURATION","name":"elsewhere"}`})
	golden(t, "job-state", first.body)
	second := b.do(t, ask{method: http.MethodPut, path: path, body: `{"status":"INCRE_TRANSFER_STARTED","role":"forward","parent_id":"p-1"}`})
	if first.status != http.StatusCreated || second.status != http.StatusOK {
		t.Errorf("%d, then %d", first.status, second.status)
	}
	if j := b.jobs[jobID]; j.Status != job.IncreTransferStarted || j.Role != job.Forward || j.ParentID != "p-1" || !j.Mirrored {
		t.Errorf("stored %+v", j.Job)
	}
}
