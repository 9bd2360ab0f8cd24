package canary_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// recorder keeps every answer with its headers, event streams apart.
type recorder struct {
	next            http.RoundTripper
	answers, events *place
}

// RoundTrip implements http.RoundTripper.
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	into := r.answers
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		into = r.events
	}
	out := into.stream()
	_, _ = fmt.Fprintf(out, "%s %s\n%s\n", req.Method, resp.Status, resp.Proto)
	_ = resp.Header.Write(out)
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.TeeReader(resp.Body, out), resp.Body}
	return resp, nil
}

// CloseIdleConnections implements what http.Client looks for.
func (r *recorder) CloseIdleConnections() {
	if t, ok := r.next.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

// collect is an OpenTelemetry collector that keeps the bytes it gets. header is
// one that it demands.
func collect(t *testing.T, into *place, name, value string) (endpoint string, headers func() int) {
	t.Helper()
	var mu sync.Mutex
	withHeader := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			unzipped, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Errorf("traces: %v", err)
				return
			}
			body = unzipped
		}
		raw, err := io.ReadAll(body)
		if err != nil {
			t.Errorf("traces: %v", err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if r.Header.Get(name) == value {
			withHeader++
		}
		into.add([]byte(r.RequestURI))
		into.add(raw)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func() int {
		mu.Lock()
		defer mu.Unlock()
		return withHeader
	}
}

// keystone is an identity service with one user of ours, one service token and
// one token of a caller's. It counts who asked how. To those whom it does not
// know it says what they have sent.
type keystone struct {
	url string

	mu                          sync.Mutex
	user, password, own, caller string
	byPassword, answered        int
}

func startKeystone(t *testing.T, k *keystone, project string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		defer k.mu.Unlock()
		expires := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
		if r.Method == http.MethodPost {
			raw, _ := io.ReadAll(r.Body)
			want, _ := json.Marshal(k.password)
			if !strings.Contains(string(raw), strings.Trim(string(want), `"`)) {
				http.Error(w, "no such user: "+string(raw), http.StatusUnauthorized)
				return
			}
			k.byPassword++
			w.Header().Set("X-Subject-Token", k.own)
			w.WriteHeader(http.StatusCreated)
			_, _ = fmt.Fprintf(w, `{"token":{"expires_at":%q}}`, expires)
			return
		}
		switch {
		case r.Header.Get("X-Auth-Token") != k.own:
			http.Error(w, "who is "+r.Header.Get("X-Auth-Token"), http.StatusUnauthorized)
		case r.Header.Get("X-Subject-Token") != k.caller:
			http.Error(w, "there is no "+r.Header.Get("X-Subject-Token"), http.StatusNotFound)
		default:
			k.answered++
			_, _ = fmt.Fprintf(w, `{"token":{"expires_at":%q,"project":{"id":%q},"roles":[{"name":"drs_adm"}],"user":{"id":"canary-keeper","name":"canary-keeper"}}}`, expires, project)
		}
	}))
	t.Cleanup(srv.Close)
	k.url = srv.URL
}
