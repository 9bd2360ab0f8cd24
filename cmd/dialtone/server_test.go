package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/probe"
)

// transcript is a buffer that can be read while it is written.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// up runs `dialtone up` until the test ends, and gives its address.
func up(t *testing.T, args ...string) string {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var stdout, stderr transcript
	c := console{getenv: func(string) string { return "" }, stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr}
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append([]string{"up", "--listen", "127.0.0.1:0", "--data", t.TempDir(), "--token", "the-token"}, args...), c)
	}()
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != exitOK {
			t.Errorf("up ended with %d: %s", code, stderr.String())
		}
	})
	ready := regexp.MustCompile(`ready on (http://\S+);`)
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for late := time.After(30 * time.Second); ; {
		if found := ready.FindStringSubmatch(stdout.String()); found != nil {
			return found[1]
		}
		select {
		case <-poll.C:
		case code := <-ended:
			ended <- code
			t.Fatalf("up ended with %d: %s", code, stderr.String())
		case <-late:
			t.Fatalf("up is not ready: %s%s", stdout.String(), stderr.String())
		}
	}
}

func TestServer(t *testing.T) {
	t.Parallel()
	url := up(t, "--any-job")
	// What is no database is told at once; a bad port would be tried again.
	host := babbling(t)
	good, bad := "postgresql://app:hunter2@"+trusting(t)+"/shop", "mysql://app:hunter2@"+host
	env := map[string]string{"DIALTONE_TOKEN": "the-token"}

	t.Run("table", func(t *testing.T) {
		t.Parallel()
		got := call(t, "", env, "test", "--server", url, good, bad).want(t, exitFailed).hides(t, "hunter2", "the-token")
		for _, want := range []string{"✓ 1  postgresql app@", "✗ 2  mysql app@", "protocol_mismatch", "1 passed, 1 failed"} {
			if !strings.Contains(got.stdout, want) {
				t.Errorf("stdout lacks %q:\n%s", want, got.stdout)
			}
		}
	})
	t.Run("more than one batch, in order", func(t *testing.T) {
		t.Parallel()
		args := []string{"test", "--server", url, "--json"}
		for range 11 {
			args = append(args, good)
		}
		got := call(t, "", env, append(args, bad)...).want(t, exitFailed).hides(t, "hunter2", "the-token")
		var answer summaryJSON
		if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil {
			t.Fatal(err)
		}
		if answer.Count != 12 || answer.Passed != 11 || answer.Results[11].Code != "protocol_mismatch" || answer.Results[11].JobID != "dialtone-test-12" ||
			answer.Results[11].Meaning == "" || len(answer.Results[0].Phases) != 9 {
			t.Errorf("the answer is %s", got.stdout)
		}
	})
	t.Run("one job for all", func(t *testing.T) {
		t.Parallel()
		got := call(t, "", env, "test", "--server", url, "--job", "my-job", "--json", good, good).want(t, exitOK)
		if n := strings.Count(got.stdout, `"job_id": "my-job"`); n != 2 {
			t.Errorf("%d results are of my-job, want 2:\n%s", n, got.stdout)
		}
	})
	t.Run("in Chinese", func(t *testing.T) {
		t.Parallel()
		got := call(t, "", env, "test", "--server", url, "--language", "zh-cn", bad).want(t, exitFailed)
		if !strings.Contains(got.stdout, probe.CodeProtocolMismatch.Verdict().Meaning.Chinese) {
			t.Errorf("stdout is not in Chinese:\n%s", got.stdout)
		}
	})
	t.Run("cluster call", func(t *testing.T) {
		t.Parallel()
		where, port, _ := strings.Cut(host, ":")
		object := fmt.Sprintf(`{"dbtype":"mysql","nettype":"eip","ip":%q,"dbport":%s,"dbuser":"a","dbpassword":"hunter2","ssllink":false}`, where, port)
		request := fmt.Sprintf(`{"jobs":[{"job_id":"x","property":[%s,%s]}]}`, object, object)
		got := call(t, request, env, "test", "--server", url, "-", good).want(t, exitFailed).hides(t, "hunter2")
		if n := strings.Count(got.stdout, " protocol_mismatch  "); n != 2 || !strings.Contains(got.stdout, "1 passed, 2 failed") {
			t.Errorf("%d are mismatches, want 2:\n%s", n, got.stdout)
		}
	})
	t.Run("wrong token", func(t *testing.T) {
		t.Parallel()
		got := call(t, "", map[string]string{"DIALTONE_TOKEN": "wrong-token"}, "test", "--server", url, good).want(t, exitUsage).hides(t, "hunter2", "wrong-token")
		for _, want := range []string{"401 Unauthorized", "APIGW.0301", "request ", "DIALTONE_TOKEN"} {
			if !strings.Contains(got.stderr, want) {
				t.Errorf("stderr lacks %q:\n%s", want, got.stderr)
			}
		}
	})
	t.Run("token from a file", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte("the-token\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		call(t, "", map[string]string{"DIALTONE_TOKEN_FILE": file}, "test", "--server", url, good).want(t, exitOK)
	})
	t.Run("other project", func(t *testing.T) {
		t.Parallel()
		got := call(t, "", env, "test", "--server", url, "--project", "ffffffffffffffffffffffffffffffff", good).want(t, exitUsage)
		if !strings.Contains(got.stderr, "403 Forbidden") || !strings.Contains(got.stderr, "--project") {
			t.Errorf("stderr = %q", got.stderr)
		}
	})
	for name, option := range map[string]string{"none": "tls=none", "full": "tls=full", "no authority": "tls=ca"} {
		t.Run("what the API has no field for: "+name, func(t *testing.T) {
			t.Parallel()
			got := call(t, "", env, "test", "--server", url, bad+"?"+option).want(t, exitUsage).hides(t, "hunter2")
			if !strings.Contains(got.stderr, "dialtone: argument 1: ") {
				t.Errorf("stderr = %q, want it to name the argument", got.stderr)
			}
		})
	}
}

func TestServerJobs(t *testing.T) {
	t.Parallel()
	got := call(t, "", nil, "test", "--server", up(t), "--token", "the-token", "mysql://a:hunter2@"+closedPort(t)).want(t, exitFailed).hides(t, "hunter2")
	if !strings.Contains(got.stdout, "job_unknown") {
		t.Errorf("the verdict is not job_unknown:\n%s", got.stdout)
	}
}

// refuser answers every request in one way, and counts them.
func refuser(t *testing.T, status int, header map[string]string, body string) (url string, count func() int) {
	t.Helper()
	var mu sync.Mutex
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		n++
		mu.Unlock()
		_, _ = io.Copy(io.Discard, r.Body)
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL, func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

func TestServerErrors(t *testing.T) {
	t.Parallel()
	elsewhere, reached := refuser(t, http.StatusOK, nil, "{}")
	cases := []struct {
		name   string
		status int
		header map[string]string
		body   string
		code   int
		want   []string
	}{
		{
			"problems by path", http.StatusBadRequest, nil,
			`{"error_code":"DRS.M00202","error_msg":"long","request_id":"r-1","problems":[{"path":"jobs[0].ip","error_msg":"The value of parameter jobs[0].ip is invalid."}]}`,
			exitUsage,
			[]string{"400 Bad Request: DRS.M00202", "dialtone:   argument 1: The value of parameter jobs[0].ip is invalid.", "request r-1"},
		},
		{"busy", http.StatusServiceUnavailable, nil, `{"error_code":"DRS.M00004","error_msg":"Not now."}`, exitFailed, []string{"503", "Not now.", "try again later"}},
		{"steers the terminal", http.StatusServiceUnavailable, nil, `{"error_code":"X","error_msg":"\u001b[2J"}`, exitFailed, []string{"\uFFFD[2J"}},
		{"somebody else", http.StatusBadGateway, nil, "<html>", exitFailed, []string{"502 Bad Gateway, which is no answer of a dialtone"}},
		{"no batch id", http.StatusOK, nil, "{}", exitFailed, []string{"no answer of a dialtone"}},
		{"redirect", http.StatusTemporaryRedirect, map[string]string{"Location": elsewhere}, "", exitFailed, []string{"307"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url, count := refuser(t, c.status, c.header, c.body)
			got := call(t, "", nil, "test", "--server", url, "--token", "the-token", "mysql://a:hunter2@127.0.0.1").want(t, c.code).hides(t, "hunter2", "the-token", "\x1b")
			for _, want := range c.want {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("stderr lacks %q:\n%s", want, got.stderr)
				}
			}
			if got.stdout != "" || count() != 1 || reached() != 0 {
				t.Errorf("stdout = %q after %d requests, and %d elsewhere", got.stdout, count(), reached())
			}
		})
	}
}

func TestServerAway(t *testing.T) {
	t.Parallel()
	junit := filepath.Join(t.TempDir(), "report.xml")
	got := call(t, "", nil, "test", "--server", "http://"+closedPort(t), "--junit", junit, "mysql://a:hunter2@127.0.0.1").want(t, exitFailed).hides(t, "hunter2")
	if !strings.Contains(got.stderr, "cannot be reached") || got.stdout != "" {
		t.Errorf("stdout = %q, stderr = %q", got.stdout, got.stderr)
	}
	if _, err := os.Stat(junit); !os.IsNotExist(err) {
		t.Errorf("there is a report of nothing: %v", err)
	}
	for _, wrong := range []string{"127.0.0.1:8080", "ftp://127.0.0.1", "http://u:hunter2@127.0.0.1", "http://127.0.0.1/?t=hunter2"} {
		got := call(t, "", nil, "test", "--server", wrong, "mysql://a:b@127.0.0.1").want(t, exitUsage).hides(t, "hunter2")
		if !strings.Contains(got.stderr, "--server must be http") {
			t.Errorf("stderr = %q", got.stderr)
		}
	}
}

func TestServerCertificate(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	got := call(t, "", nil, "test", "--server", s.URL, "mysql://a:hunter2@127.0.0.1").want(t, exitFailed)
	if !strings.Contains(got.stderr, "certificate") {
		t.Errorf("without the authority: %q, want a word on the certificate", got.stderr)
	}
	got = call(t, "", nil, "test", "--server", s.URL, "--server-ca-file", ca, "mysql://a:hunter2@127.0.0.1").want(t, exitFailed)
	if !strings.Contains(got.stderr, "404 Not Found") {
		t.Errorf("with the authority: %q, want the server's answer", got.stderr)
	}
	got = call(t, "", nil, "test", "--server", s.URL, "--server-ca-file", os.DevNull, "mysql://a:hunter2@127.0.0.1").want(t, exitUsage)
	if !strings.Contains(got.stderr, "no PEM certificate") {
		t.Errorf("with an empty authority: %q", got.stderr)
	}
}

// TestServerFailsHalfway has a server that takes batches of ten only.
func TestServerFailsHalfway(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v3/{project}/jobs/batch-connection", func(w http.ResponseWriter, r *http.Request) {
		var request struct{ Jobs []any }
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil || len(request.Jobs) != 10 {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"error_code":"DRS.M00004","error_msg":"Not now."}`)
			return
		}
		w.Header().Set("X-Batch-Id", "b-1")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"results":[],"count":0}`)
	})
	mux.HandleFunc("GET /v3/{project}/batch-connections/b-1", func(w http.ResponseWriter, _ *http.Request) {
		var tests []string
		for i := range 10 {
			tests = append(tests, fmt.Sprintf(`{"tests":[{"entry":%d,"object":0,"job_id":"j","report":{"code":"ok","ok":true,"duration_ms":1}}]}`, i))
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"id":"b-1","results":[%s]}`, strings.Join(tests, ","))
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	args := []string{"test", "--server", s.URL}
	for i := range 11 {
		args = append(args, fmt.Sprintf("mysql://a:hunter2@127.0.0.%d", i+1))
	}
	got := call(t, "", nil, args...).want(t, exitFailed).hides(t, "hunter2")
	if !strings.Contains(got.stdout, "10 passed, 1 failed") || !strings.Contains(got.stderr, "Not now.") {
		t.Errorf("stdout = %s\nstderr = %s\nwant both what is known and why there is no more", got.stdout, got.stderr)
	}
}

func TestServerInterrupt(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		interrupt()
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close)
	var stdout, stderr bytes.Buffer
	c := console{getenv: func(string) string { return "" }, stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr}
	code := run(ctx, []string{"test", "--server", s.URL, "mysql://a:b@127.0.0.1"}, c)
	if code != exitFailed || !strings.Contains(stdout.String(), "1 not tested") || !strings.Contains(stdout.String(), "interrupted") {
		t.Errorf("exit code %d, stdout = %s, stderr = %s", code, &stdout, &stderr)
	}
}
