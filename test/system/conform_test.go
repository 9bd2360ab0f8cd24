package system

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMain(m *testing.M) {
	root = "../.."
	m.Run()
}

// TestConform makes sure that the harness sees what is wrong, and repeats
// nothing of it.
func TestConform(t *testing.T) {
	t.Parallel()
	const canary = "c4nary-of-a-s3cret"
	good := Entry{"id": JobID, "net_type": "eip", "db_type": "mysql", "ip": "192.0.2.1", "db_user": canary, "db_password": canary}
	answer := func(status int, body string, header ...string) Answer {
		a := Answer{Status: status, Body: []byte(body), Header: http.Header{
			"Content-Type": {"application/json"}, "X-Request-Id": {"1"}, "X-Batch-Id": {"1"},
		}}
		for i := 0; i+1 < len(header); i += 2 {
			a.Header.Set(header[i], header[i+1])
		}
		return a
	}
	fine := answer(200, `{"results":[{"id":"1","status":"success","success":true}],"count":1}`)
	noID := answer(200, `{"results":[],"count":0}`)
	noID.Header.Del("X-Request-Id")
	noID.Header.Del("X-Batch-Id")
	tests := []struct {
		name   string
		entry  Entry
		path   string
		odd    bool
		header map[string]string
		answer Answer
		want   []string
	}{
		{name: "all is well", entry: good, answer: fine},
		{name: "no content type", entry: good, header: map[string]string{"Content-Type": ""}, answer: fine},
		{
			name: "a request of the wrong form", entry: good.With(Entry{"db_type": canary, "ssl_link": canary}), answer: fine,
			want: []string{`request /jobs/0/db_type: against "enum" of its schema`, `request /jobs/0/ssl_link: against "type" of its schema`},
		},
		{name: "the same on purpose", entry: good.With(Entry{"db_type": canary, "ssl_link": canary}), odd: true, answer: fine},
		{
			name: "an answer of the wrong form", entry: good, answer: answer(200, `{"results":[{"id":1,"status":"`+canary+`","success":true}]}`),
			want: []string{
				`answer /count: against "required" of its schema`, `answer /results/0/id: against "type" of its schema`,
				`answer /results/0/status: against "enum" of its schema`,
			},
		},
		{name: "an answer without headers", entry: good, answer: noID, want: []string{`answer: response header "X-Batch-Id" missing`, "the answer has no X-Request-Id"}},
		{name: "a status that there is not", entry: good, answer: answer(418, `{}`), want: []string{"answer: status is not supported"}},
		{name: "a call that there is not", entry: good, path: "/nowhere", answer: fine, want: []string{"the contract has no such call"}},
		{name: "a call that there is not, refused", entry: good, path: "/nowhere", answer: answer(404, `{}`)},
		{name: "no JSON", entry: good, answer: answer(200, canary), want: []string{"answer: *json.SyntaxError"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := tt.path
			if path == "" {
				path = "/jobs/batch-connection"
			}
			s := &System{T: t, URL: "http://127.0.0.1"}
			req, err := s.HTTP(t.Context(), Request{
				Method: http.MethodPost, Path: path, Body: map[string]any{"jobs": []Entry{tt.entry}}, Header: tt.header,
			})
			if err != nil {
				t.Fatal(err)
			}
			got := conform(t.Context(), req, tt.odd, tt.answer)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if strings.Contains(strings.Join(got, "\n"), canary) {
				t.Error("a value is repeated")
			}
		})
	}
}
