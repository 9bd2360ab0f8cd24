package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

func loaded(tb testing.TB) *openapi3.T {
	tb.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		tb.Fatal(err)
	}
	return doc
}

// plain is a Server of which only the document is used.
func plain(tb testing.TB) *Server {
	tb.Helper()
	s, err := New(slog.New(slog.DiscardHandler), Parts{}, Config{})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestDocumentIsValid(t *testing.T) {
	t.Parallel()
	doc := loaded(t)
	if err := doc.Validate(context.Background()); err != nil {
		t.Error(err)
	}
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			for _, status := range []string{"500"} {
				if operation.Responses.Value(status) == nil {
					t.Errorf("%s %s has no %s", method, path, status)
				}
			}
			for status, response := range operation.Responses.Map() {
				if response.Value.Headers["X-Request-Id"] == nil {
					t.Errorf("%s %s %s has no X-Request-Id", method, path, status)
				}
			}
		}
	}
}

// The lists that stand in the document and in the domain are the same.
func TestListsAgree(t *testing.T) {
	t.Parallel()
	doc := loaded(t)
	status, err := component(doc, "JobStatus")
	if err != nil {
		t.Fatal(err)
	}
	var statuses []string
	for _, s := range job.Statuses() {
		statuses = append(statuses, string(s))
	}
	if diff := cmp.Diff(statuses, status.enum); diff != "" {
		t.Errorf("statuses (-domain +document):\n%s", diff)
	}
	var phases []any
	for _, p := range probe.Phases() {
		phases = append(phases, string(p))
	}
	if diff := cmp.Diff(phases, doc.Components.Schemas["PhaseResult"].Value.Properties["phase"].Value.Enum); diff != "" {
		t.Errorf("phases (-domain +document):\n%s", diff)
	}
	// Every db_type of the document passes the domain's rules, and none other.
	entry, err := component(doc, "TestEndPoint")
	if err != nil {
		t.Fatal(err)
	}
	for _, dbType := range append(slices.Clone(entry.properties["db_type"].enum), "dws") {
		e := batch.Endpoint{NetType: "eip", DBType: dbType, IP: "h:1", User: "u", Password: secret.New("p"), DBName: "d"}
		refused := slices.ContainsFunc(e.Validate(job.Connection), func(p batch.Problem) bool { return p.Field == batch.FieldDBType })
		if refused != (dbType == "dws") {
			t.Errorf("%s refused: %v", dbType, refused)
		}
	}
}

// corpus are pieces from which documents are put together.
func corpus() []any {
	return []any{
		nil, "", "x", "eip", "mysql", "so", "3306", "70000", " ", "CONFIGURATION", strings.Repeat("n", 300), true, false,
		json.Number("0"), json.Number("3306"), json.Number("-1"), json.Number("65536"), json.Number("1.5"), json.Number("1e3"), json.Number("99999999999999999999"),
		[]any{},
		[]any{"a"},
		[]any{nil},
		map[string]any{},
		map[string]any{"type": "PLAINTEXT"},
		map[string]any{"type": json.Number("5")},
	}
}

// fabricate makes a value that may fit a shape or not.
func fabricate(r *rand.Rand, s *shape) any {
	if r.IntN(16) == 0 {
		return corpus()[r.IntN(len(corpus()))]
	}
	switch s.kind {
	case "object":
		object := map[string]any{}
		for name, property := range s.properties {
			if r.IntN(5) > 0 {
				object[name] = fabricate(r, property)
			}
		}
		return object
	case "array":
		var list []any
		for range r.IntN(3) {
			list = append(list, fabricate(r, s.items))
		}
		return list
	case "integer":
		return json.Number("1")
	case "boolean":
		return true
	default:
		if len(s.enum) > 0 {
			return s.enum[r.IntN(len(s.enum))]
		}
		if s.pattern != nil && !s.pattern.MatchString("abcd") {
			return "14" // expired_days
		}
		return "abcd"
	}
}

// What our walker lets pass, a validator that is not ours lets pass as well,
// once what counts as absent is gone; what it refuses, the walker refuses.
func TestShapesAgreeWithAValidator(t *testing.T) {
	t.Parallel()
	doc := loaded(t)
	for _, name := range []string{
		"TestConnectionsRequest", "TestClusterConnectionsRequest", "ClusterEndpoint", "CreateJobsRequest", "QueryJobsRequest",
		"ListJobsRequest", "ModifyJobsRequest", "DeleteJobsRequest", "JobState",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := component(doc, name)
			if err != nil {
				t.Fatal(err)
			}
			schema := doc.Components.Schemas[name].Value
			r := rand.New(rand.NewPCG(1, 2)) // the same every time
			agreed := map[bool]int{}
			for range 3000 {
				given := fabricate(r, s)
				if _, is := given.(map[string]any); !is {
					continue
				}
				var check checker
				clean, _ := check.check(s, "", given)
				text, err := json.Marshal(clean)
				if err != nil {
					t.Fatal(err)
				}
				var decoded any
				if err := json.Unmarshal(text, &decoded); err != nil {
					t.Fatal(err)
				}
				fits := schema.VisitJSON(decoded) == nil
				// Without problems it fits. With problems the offending value
				// may have been dropped, so that the rest fits.
				if len(check.problems) == 0 && !fits {
					t.Fatalf("the walker takes what the document refuses: %v\n%s", schema.VisitJSON(decoded), text)
				}
				if fits && len(check.problems) > 0 && schema.VisitJSON(sparse(plainJSON(t, given))) == nil {
					t.Fatalf("the walker refuses what the document takes: %+v\n%v", check.problems, given)
				}
				agreed[fits]++
			}
			if agreed[true] < 10 || agreed[false] < 10 {
				t.Errorf("the test says little: %v", agreed)
			}
		})
	}
}

// sparse drops what counts as absent.
func sparse(v any) any {
	object, is := v.(map[string]any)
	if !is {
		return v
	}
	for name, value := range object {
		if value == nil || value == "" {
			delete(object, name)
			continue
		}
		object[name] = sparse(value)
	}
	return object
}

func plainJSON(t *testing.T, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var decoded any
	if err := json.Unmarshal(text, &decoded); err != nil {
		t.Fatal(err)
	}
	return decoded
}

// Nothing that stands in a property may stop the server, hide among the
// problems, or get through unchecked.
func FuzzProperty(f *testing.F) {
	s := plain(f)
	for _, seed := range []string{
		`[{"dbtype":"mongodb","dbport":0,"ssllink":false,"nettype":"eip","endpointtype":"so","ip":"192.168.7.217:8635","dbName":"admin","dbuser":"rwuser","dbpassword":"xxxx"}]`,
		`{"dbtype":"mysql","nettype":"eip","ip":"h:3306","dbuser":"u","dbpassword":"p"}`,
		`[{"dbtype":"kafka","nettype":"eip","ip":"h:1","kafka_security_config":{"type":"PLAINTEXT"}}]`,
		`[{"dbtype":"kafka","nettype":"eip","ip":"h:1","kafkaSecurityConfig":{"type":"SSL"},"kafka_security_config":5}]`,
		`[{"dbtype":"mongodb","encrypt":{"elementId":"encrypt_switch","offLabel":"OFF"},{"dbtype":"mongodb"}]`,
		`[{"ip":"a","ip":"b"}]`, `[[[[`, `null`, `"x"`, `5`, `[]`, `{}`, `[null]`, "", "\xff", `[{"dbport":"3306"}]`, `[{"dbport":1e999}]`, `{"a":{"a":{"a":1}}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		endpoints, problems := s.property("jobs[0].property", secret.New(text))
		if len(problems) == 0 {
			if len(endpoints) == 0 || len(endpoints) > 64 || !json.Valid([]byte(text)) {
				t.Fatalf("%d endpoints without a problem", len(endpoints))
			}
			for _, e := range endpoints {
				if left := e.Validate(job.Cluster); len(left) > 0 {
					t.Errorf("passed unchecked: %+v", left)
				}
				_ = e.Target("p", probe.VerifyCA) // must not panic
			}
			return
		}
		for _, p := range arrange(problems) {
			if !strings.HasPrefix(p.path, "jobs[0].property") || p.code == "" {
				t.Errorf("problem %+v", p)
			}
		}
		for _, l := range []probe.Language{probe.English, probe.Chinese} {
			if m := summary(arrange(problems), l); m == "" || utf8.RuneCountInString(m) > maxMessage {
				t.Errorf("%d characters: %s", utf8.RuneCountInString(m), m)
			}
		}
	})
}

// Whatever the body of a test call holds: it is refused, with a reason for each
// problem, or every entry of it is one that may be tested.
func FuzzRequest(f *testing.F) {
	s := plain(f)
	for _, name := range []string{"gopher.body", "sdk.body", "sdk-cluster.body", "terraform.body", "terraform-cluster.body"} {
		body, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	for _, seed := range []string{
		`{"jobs":[]}`, `{"jobs":[{}]}`, `{"jobs":[null]}`, `{"jobs":{}}`, `[]`, `null`, ``, `{"jobs":[{"job_id":"j","action":"testConnection","property":"[]"}]}`,
		`{"jobs":[],"jobs":[]}`, `{"jobs":[{"id":"j","net_type":"eip","db_type":"mysql","ip":"h","db_port":1e3,"db_user":"u","db_password":"p"}]}`, `{"jobs":[[[[[[`, "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		tree, twice, bad := parseTree(body, "", s.names)
		if _, is := tree.(map[string]any); bad != nil || !is {
			return // as the callers do
		}
		for _, call := range []job.Call{job.Connection, job.Cluster} {
			entries, problems, err := s.read(call, tree)
			if err != nil {
				t.Fatal(err)
			}
			problems = append(problems, twice...)
			for _, p := range arrange(problems) {
				if p.code == "" {
					t.Errorf("problem %+v", p)
				}
			}
			if len(problems) > 0 {
				continue
			}
			if len(entries) == 0 {
				t.Errorf("the %s call is taken and has no entry", call)
			}
			for _, e := range entries {
				for _, endpoint := range e.Endpoints {
					if left := endpoint.Validate(call); len(left) > 0 {
						t.Errorf("passed unchecked: %+v", left)
					}
				}
			}
		}
	})
}

func TestPathsInOrder(t *testing.T) {
	t.Parallel()
	want := []string{"cur_page", "jobs", "jobs[0].ip", "jobs[1]", "jobs[2].db_port", "jobs[2].ip", "jobs[10].db_port", "jobs[10].property[2].ip", "jobs[10].property[11].ip"}
	shuffled := slices.Clone(want)
	rand.New(rand.NewPCG(3, 4)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	slices.SortFunc(shuffled, comparePaths)
	if diff := cmp.Diff(want, shuffled); diff != "" {
		t.Error(diff)
	}
}
