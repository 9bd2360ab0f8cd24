package api_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dialtone/internal/api"
	"dialtone/internal/auth"
	"dialtone/internal/batch"
	"dialtone/internal/probe"
)

const goodBody = `{"jobs":[{` + mysqlEntry + `}]}`

func TestRefusedCallers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		kind   auth.Kind
		status int
		code   string
	}{
		{auth.NoCredential, 401, "APIGW.0301"},
		{auth.BadToken, 401, "APIGW.0301"},
		{auth.TokenExpired, 401, "APIGW.0301"},
		{auth.BadSignature, 401, "APIGW.0301"},
		{auth.UnknownKey, 401, "APIGW.0301"},
		{auth.ClockSkew, 401, "APIGW.0301"},
		{auth.ProjectMismatch, 403, "DRS.M00261"},
		{auth.NoRoles, 404, "DRS.M00101"},
		{auth.Unavailable, 503, "DRS.M00004"},
		{"unheard_of", 500, "DRS.M00004"},
	} {
		t.Run(string(tt.kind), func(t *testing.T) {
			t.Parallel()
			b := start(t, api.Config{})
			b.gate.err = &auth.Error{Kind: tt.kind, Reason: marker}
			var texts []string
			for _, language := range []string{"en-us", "zh-cn"} {
				// A caller that is not let in learns nothing about its body.
				r := b.do(t, ask{path: connection, body: `{"jobs":[`, header: map[string]string{"X-Language": language}})
				f := r.fault(t)
				if r.status != tt.status || f.Code != tt.code || f.RequestID != "test-1" {
					t.Errorf("%d %+v, want %d %s", r.status, f, tt.status, tt.code)
				}
				if strings.Contains(string(r.body), marker) || isChinese(f.Msg) != (language == "zh-cn") {
					t.Errorf("%s: %s", language, r.body)
				}
				if (r.header.Get("Www-Authenticate") != "") != (tt.status == 401) || (r.header.Get("Retry-After") != "") != (tt.status == 503) {
					t.Errorf("header %v", r.header)
				}
				texts = append(texts, f.Msg)
			}
			if texts[0] == texts[1] {
				t.Error("one text for both languages")
			}
		})
	}
}

// Which access keys exist is nobody's business.
func TestUnknownKeyLooksLikeBadSignature(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	b.gate.err = &auth.Error{Kind: auth.UnknownKey}
	unknown := b.do(t, ask{path: connection, body: goodBody})
	b.gate.err = &auth.Error{Kind: auth.BadSignature}
	bad := b.do(t, ask{path: connection, body: goodBody})
	if string(unknown.body) != string(bad.body) {
		t.Errorf("%s\n%s", unknown.body, bad.body)
	}
}

func TestReadersDoNotTest(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	reader := map[string]string{"X-Auth-Token": "reader"}
	for _, a := range []ask{
		{path: connection, body: goodBody},
		{path: cluster, body: goodBody},
		{path: "{project}/jobs/batch-creation", body: goodBody},
		{method: http.MethodPut, path: "{project}/jobs/batch-modification", body: goodBody},
		{method: http.MethodDelete, path: "{project}/jobs/batch-jobs", body: goodBody},
		{method: http.MethodPut, path: "{project}/jobs/j/state", body: "{}"},
		{path: "{project}/batch-connections/x/cancel"},
	} {
		a.header = reader
		if r := b.do(t, a); r.status != http.StatusForbidden || r.fault(t).Code != "DRS.M00102" {
			t.Errorf("%s %s: %d %s", a.method, a.path, r.status, r.body)
		}
	}
	for _, a := range []ask{
		{method: http.MethodGet, path: "{project}/batch-connections"},
		{path: "{project}/jobs", body: `{"cur_page":1,"per_page":10,"db_use_type":"sync"}`},
		{path: "{project}/jobs/batch-status", body: `{"jobs":["` + jobID + `"]}`},
		{path: "{project}/jobs/batch-detail", body: `{"jobs":["a","b"]}`},
	} {
		a.header = reader
		if r := b.do(t, a); r.status != http.StatusOK {
			t.Errorf("%s %s: %d %s", a.method, a.path, r.status, r.body)
		}
	}
}

func TestWholeRequestFaults(t *testing.T) {
	t.Parallel()
	zh := map[string]string{"X-Language": "zh-cn"}
	for _, tt := range []struct {
		name   string
		ask    ask
		cfg    api.Config
		breaks string
		status int
		code   string
		header string
	}{
		{name: "no such path", ask: ask{path: "/v3/x/y", body: "{}"}, status: 404, code: "APIGW.0101"},
		{name: "no such path in Chinese", ask: ask{path: "/", header: zh}, status: 404, code: "APIGW.0101"},
		{name: "other method", ask: ask{method: http.MethodGet, path: connection}, status: 405, code: "APIGW.0101", header: "Allow"},
		{name: "other method of the list", ask: ask{method: http.MethodDelete, path: "{project}/batch-connections"}, status: 405, code: "APIGW.0101", header: "Allow"},
		{name: "form", ask: ask{path: connection, body: "a=b", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}}, status: 415, code: "DRS.M00007"},
		{name: "text", ask: ask{path: connection, body: goodBody, header: map[string]string{"Content-Type": "text/json"}}, status: 415, code: "DRS.M00007"},
		{name: "broken type", ask: ask{path: connection, body: goodBody, header: map[string]string{"Content-Type": ";"}}, status: 415, code: "DRS.M00007"},
		{name: "latin-1", ask: ask{path: connection, body: goodBody, header: map[string]string{"Content-Type": "application/json; charset=latin1"}}, status: 415, code: "DRS.M00007"},
		{name: "compressed", ask: ask{path: connection, body: goodBody, header: map[string]string{"Content-Encoding": "gzip"}}, status: 415, code: "DRS.M00007"},
		{name: "long", ask: ask{path: connection, body: `{"x":"` + strings.Repeat("x", 2000) + `"}`}, cfg: api.Config{MaxBody: 1000}, status: 413, code: "DRS.M00007"},
		{name: "project of another form", ask: ask{path: "/v3/a%20b/jobs/batch-connection", body: goodBody}, status: 400, code: "DRS.M00202"},
		{name: "nothing can be submitted", ask: ask{path: connection, body: goodBody}, breaks: "submit", status: 503, code: "DRS.M00004", header: "Retry-After"},
		{name: "nothing can be read", ask: ask{method: http.MethodGet, path: "{project}/batch-connections/x"}, breaks: "read", status: 503, code: "DRS.M00004", header: "Retry-After"},
		{name: "no jobs can be read", ask: ask{path: "{project}/jobs/batch-status", body: `{"jobs":["a"]}`}, breaks: "jobs", status: 503, code: "DRS.M00004", header: "Retry-After"},
		{name: "no such batch", ask: ask{method: http.MethodGet, path: "{project}/batch-connections/x"}, status: 404, code: "DRS.M05003"},
		{name: "no such batch to follow", ask: ask{method: http.MethodGet, path: "{project}/batch-connections/x/events"}, status: 404, code: "DRS.M05003"},
		{name: "no such batch to cancel", ask: ask{path: "{project}/batch-connections/x/cancel", header: zh}, status: 404, code: "DRS.M05003"},
		{name: "bad limit", ask: ask{method: http.MethodGet, path: "{project}/batch-connections?limit=" + marker}, status: 400, code: "DRS.M00202"},
		{name: "limit twice", ask: ask{method: http.MethodGet, path: "{project}/batch-connections?limit=1&limit=2"}, status: 400, code: "DRS.M00301"},
		{name: "limit out of range", ask: ask{method: http.MethodGet, path: "{project}/batch-connections?limit=201"}, status: 400, code: "DRS.M00202"},
		{name: "bad state", ask: ask{method: http.MethodGet, path: "{project}/batch-connections?state=queued"}, status: 400, code: "DRS.M00202"},
		{name: "bad time", ask: ask{method: http.MethodGet, path: "{project}/batch-connections?created_after=yesterday"}, status: 400, code: "DRS.M00202"},
		{name: "bad cursor", ask: ask{method: http.MethodGet, path: "{project}/batch-connections?cursor=bad"}, status: 400, code: "DRS.M00202"},
		{name: "bad event id", ask: ask{method: http.MethodGet, path: "{project}/batch-connections/x/events", header: map[string]string{"Last-Event-Id": "x"}}, status: 400, code: "DRS.M00202"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := start(t, tt.cfg)
			b.broken[tt.breaks] = true
			r := b.do(t, tt.ask)
			f := r.fault(t)
			if r.status != tt.status || f.Code != tt.code || f.Msg == "" {
				t.Errorf("%d %s, want %d %s", r.status, r.body, tt.status, tt.code)
			}
			if tt.header != "" && r.header.Get(tt.header) == "" {
				t.Errorf("no %s in %v", tt.header, r.header)
			}
			if isChinese(f.Msg) != (tt.ask.header["X-Language"] == "zh-cn") {
				t.Errorf("language: %s", f.Msg)
			}
			if strings.Contains(string(r.body), errBroken.Error()) || strings.Contains(string(r.body), marker) {
				t.Errorf("the answer tells too much: %s", r.body)
			}
		})
	}
}

func TestAllowNamesTheMethods(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	r := b.do(t, ask{method: http.MethodGet, path: "{project}/jobs/batch-jobs"})
	if got := r.header.Get("Allow"); r.status != http.StatusMethodNotAllowed || got != "DELETE" {
		t.Errorf("%d, Allow %q", r.status, got)
	}
}

// A body that comes in chunks has no length to look at.
func TestLongBodyInChunks(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{MaxBody: 1000})
	req := b.request(t.Context(), t, ask{path: connection, body: "x"})
	req.Body, req.ContentLength = io.NopCloser(strings.NewReader(strings.Repeat(" ", 5000))), -1
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// A body that drips must not hold a connection for ever.
func TestBodyThatDoesNotCome(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{BodyTimeout: 50 * time.Millisecond})
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(conn, "POST /v3/p/jobs/batch-connection HTTP/1.1\r\nHost: x\r\nX-Auth-Token: "+token+"\r\nContent-Length: 100\r\n\r\n{")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// The deadline of the body must not end the wait for the results.
func TestWaitOutlivesBodyTimeout(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{BodyTimeout: 20 * time.Millisecond, Wait: 5 * time.Second})
	b.verdict = func(batch.Endpoint) *probe.Report { return nil }
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		for len(b.last().Entries) == 0 && ctx.Err() == nil {
			<-time.After(time.Millisecond)
		}
		<-time.After(100 * time.Millisecond) // longer than the body may take
		b.end(0, passed())
	}()
	if r := b.do(t, ask{path: connection, body: goodBody}); r.status != http.StatusOK || !strings.Contains(string(r.body), `"success":true`) {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{RequestsPerSecond: 0.001, Burst: 2})
	list := ask{method: http.MethodGet, path: "{project}/batch-connections"}
	for range 2 {
		if r := b.do(t, list); r.status != http.StatusOK {
			t.Fatalf("status %d", r.status)
		}
	}
	r := b.do(t, list)
	if f := r.fault(t); r.status != http.StatusTooManyRequests || f.Code != "DRS.M01503" || r.header.Get("Retry-After") == "" {
		t.Errorf("%d %s, header %v", r.status, r.body, r.header)
	}
	if r := b.do(t, ask{method: http.MethodGet, path: "/v3/another/batch-connections"}); r.status != http.StatusOK {
		t.Errorf("another project: status %d", r.status)
	}
	if r := b.do(t, ask{method: http.MethodGet, path: "/openapi.yaml"}); r.status != http.StatusOK {
		t.Errorf("the document: status %d", r.status)
	}
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	for given, kept := range map[string]bool{"abc-1.2_Z": true, strings.Repeat("a", 64): true, strings.Repeat("a", 65): false, "a b": false, `x"y`: false, "<script>": false} {
		r := b.do(t, ask{method: http.MethodGet, path: "/openapi.yaml", header: map[string]string{"X-Request-Id": given}})
		if got := r.header.Get("X-Request-Id"); (got == given) != kept || got == "" {
			t.Errorf("%q became %q", given, got)
		}
	}
}

func TestDocumentIsServed(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	r := b.do(t, ask{method: http.MethodGet, path: "/openapi.yaml", header: map[string]string{"X-Auth-Token": ""}})
	if r.status != http.StatusOK || string(r.body) != string(readFile(t, "openapi.yaml")) || r.header.Get("Content-Type") != "application/yaml" {
		t.Errorf("%d, %d bytes of %s", r.status, len(r.body), r.header.Get("Content-Type"))
	}
}

// panicking throws in a handler what must not get into the log.
type panicking struct{ *world }

func (panicking) Batch(context.Context, string, string) (batch.Batch, []batch.Test, error) {
	panic("the password is " + marker)
}

func TestPanicIsAnAnswer(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	log := &logBook{}
	s, err := api.New(newLog(log), api.Parts{
		Auth: b.gate, Submitter: b.world, Waiter: b.world, Batches: panicking{b.world}, Ender: b.world, Canceller: b.world, Keys: b.world, JobReader: b.world, JobWriter: b.world,
	}, api.Config{})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s.Handler())
	defer srv.Close()
	b.url = srv.URL
	r := b.do(t, ask{method: http.MethodGet, path: "{project}/batch-connections/x"})
	if f := r.fault(t); r.status != http.StatusInternalServerError || f.Code != "DRS.M00004" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if text := log.String(); strings.Contains(text, marker) || !strings.Contains(text, "panicking") {
		t.Errorf("log: %s", text)
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]api.Config{
		"a wait longer than clients'": {Wait: 110 * time.Second},
		"negative":                    {MaxEntries: -1},
	} {
		if _, err := api.New(newLog(&logBook{}), api.Parts{}, cfg); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// The middleware around everything learns the route from the request.
func TestMiddlewareSeesTheRoute(t *testing.T) {
	t.Parallel()
	pattern := make(chan string, 1)
	b := start(t, api.Config{Middleware: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r)
			pattern <- r.Pattern
		})
	}, Trace: func(context.Context) string { return "00-trace" }})
	b.do(t, ask{path: connection, body: goodBody})
	if got := <-pattern; got != "/v3/:project_id/jobs/batch-connection" {
		t.Errorf("pattern %q", got)
	}
	if got := b.last().Trace; got != "00-trace" {
		t.Errorf("the batch carries %q", got)
	}
}
