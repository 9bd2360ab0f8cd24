package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/google/go-cmp/cmp"

	"dialtone/internal/api"
)

var update = flag.Bool("update", false, "write the golden files")

// bench is a server under test and all that it wrote to its log.
type bench struct {
	*world
	gate *gate
	api  *api.Server
	url  string
	log  *logBook
}

// logBook is a log to search for what must not be there.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func start(t *testing.T, cfg api.Config) *bench {
	t.Helper()
	return startWith(t, cfg, nil)
}

func startWith(t *testing.T, cfg api.Config, observer api.Observer) *bench {
	t.Helper()
	b := &bench{world: newWorld(), gate: &gate{}, log: &logBook{}}
	log := newLog(b.log)
	var err error
	b.api, err = api.New(log, api.Parts{
		Auth: b.gate, Submitter: b.world, Waiter: b.world, Batches: b.world, Ender: b.world, Canceller: b.world, Keys: b.world, JobReader: b.world, JobWriter: b.world,
		Observer: observer,
	}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(b.api.Handler())
	t.Cleanup(srv.Close)
	b.url = srv.URL
	return b
}

// ask is a request.
type ask struct {
	method, path, body string
	header             map[string]string
	// odd says that the document does not express why the request is good.
	odd bool
}

// reply is an answer, read.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal(r.body, v); err != nil {
		t.Fatalf("body is no JSON: %v\n%s", err, r.body)
	}
}

// fault is the shape of every error.
type fault struct {
	Code      string `json:"error_code"`
	Msg       string `json:"error_msg"`
	RequestID string `json:"request_id"`
	Problems  []struct {
		Path string `json:"path"`
		Code string `json:"error_code"`
		Msg  string `json:"error_msg"`
	} `json:"problems"`
}

func (r reply) fault(t *testing.T) fault {
	t.Helper()
	var f fault
	r.into(t, &f)
	return f
}

// do sends a request with a good token and holds the answer, and the request
// if it was taken, against the document.
func (b *bench) do(t *testing.T, a ask) reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req := b.request(ctx, t, a)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	r := reply{status: resp.StatusCode, header: resp.Header, body: body}
	if resp.Header.Get("X-Request-Id") == "" {
		t.Error("the answer has no X-Request-Id")
	}
	conforms(t, b.request(ctx, t, a), a, r)
	return r
}

func (b *bench) request(ctx context.Context, t *testing.T, a ask) *http.Request {
	t.Helper()
	if a.method == "" {
		a.method = http.MethodPost
	}
	path := strings.ReplaceAll(a.path, "{project}", "/v3/"+project)
	var body io.Reader
	if a.body != "" {
		body = strings.NewReader(a.body)
	}
	req, err := http.NewRequestWithContext(ctx, a.method, b.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", token)
	req.Header.Set("X-Request-Id", "test-1")
	if a.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range a.header {
		if value == "" {
			req.Header.Del(name)
			continue
		}
		req.Header.Set(name, value)
	}
	return req
}

var contract = sync.OnceValues(func() (routers.Router, error) {
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, err
	}
	doc.Servers = nil // the test server's address changes
	return gorillamux.NewRouter(doc)
})

// conforms holds request and answer against openapi.yaml by a validator that
// is not ours.
func conforms(t *testing.T, req *http.Request, a ask, r reply) {
	t.Helper()
	router, err := contract()
	if err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	route, params, err := router.FindRoute(req)
	if err != nil {
		if r.status != http.StatusNotFound && r.status != http.StatusMethodNotAllowed {
			t.Errorf("the document has no %s %s, which was answered with %d", req.Method, a.path, r.status)
		}
		return
	}
	options := &openapi3filter.Options{
		AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, MultiError: true,
		ExcludeResponseBody: !strings.HasPrefix(r.header.Get("Content-Type"), "application/json"),
	}
	in := &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route, Options: options}
	if r.status < 400 && !a.odd {
		if err := openapi3filter.ValidateRequest(req.Context(), in); err != nil {
			t.Errorf("taken, but not by the document: %v", err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: r.status, Header: r.header, Options: options}
	out.SetBodyBytes(r.body)
	if err := openapi3filter.ValidateResponse(req.Context(), out); err != nil {
		t.Errorf("the answer does not fit the document: %v", err)
	}
}

// golden compares an answer with testdata/name.json.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	var indented bytes.Buffer
	if err := json.Indent(&indented, got, "", "  "); err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	file := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(file, indented.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), indented.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// testdata reads a file.
func testdata(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
