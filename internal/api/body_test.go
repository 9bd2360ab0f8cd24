package api_test

import (
	"context"
	"errors"
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

// Precheck makes gate an api.Authenticator.
func (g *gate) Precheck(_ context.Context, r *http.Request, _ string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return g.err
	}
	switch r.Header.Get("X-Auth-Token") {
	case "":
		return &auth.Error{Kind: auth.NoCredential, Reason: "none"}
	case token, "reader", "proven later":
		return nil
	default:
		return &auth.Error{Kind: auth.BadToken, Reason: "unknown"}
	}
}

// untouchable is a body that fails the test when it is read.
type untouchable struct{ t *testing.T }

func (u untouchable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, errors.New("not to be read")
}

// Nothing is read of strangers.
func TestBodiesOfStrangers(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	for _, given := range []string{"", "unknown"} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, strings.ReplaceAll(connection, "{project}", "/v3/"+project), untouchable{t})
		req.ContentLength = 16 << 20
		req.Header.Set("X-Auth-Token", given)
		w := httptest.NewRecorder()
		b.api.Handler().ServeHTTP(w, req)
		if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "APIGW.0301") {
			t.Errorf("token %q: %d %s", given, w.Code, w.Body)
		}
	}
}

// What only the body can prove is still asked of Verify.
func TestPrecheckIsNoProof(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{})
	if r := b.do(t, ask{path: connection, body: goodBody, header: map[string]string{"X-Auth-Token": "proven later"}}); r.status != http.StatusUnauthorized {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// Bodies are held until their requests are answered, and only so many.
func TestBodyMemory(t *testing.T) {
	t.Parallel()
	room := int64(len(goodBody)) + 10
	b := start(t, api.Config{MaxBody: room, BodyMemory: room, Wait: 20 * time.Second})
	b.verdict = func(batch.Endpoint) *probe.Report { return nil }
	first := make(chan reply, 1)
	go func() { first <- b.do(t, ask{path: connection, body: goodBody}) }()
	eventually(t, func() bool { return len(b.last().Entries) == 1 })

	r := b.do(t, ask{path: connection, body: goodBody})
	if f := r.fault(t); r.status != http.StatusServiceUnavailable || f.Code != "DRS.M00004" || r.header.Get("Retry-After") == "" {
		t.Errorf("beside another: %d %s, header %v", r.status, r.body, r.header)
	}
	if r := b.do(t, ask{method: http.MethodGet, path: "{project}/batch-connections"}); r.status != http.StatusOK {
		t.Errorf("without a body: %d %s", r.status, r.body)
	}
	b.end(0, passed())
	if r := <-first; r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.body)
	}
	b.verdict = func(batch.Endpoint) *probe.Report { return passed() }
	if r := b.do(t, ask{path: connection, body: goodBody}); r.status != http.StatusOK {
		t.Errorf("afterwards: %d %s", r.status, r.body)
	}
	if _, err := api.New(newLog(&logBook{}), api.Parts{}, api.Config{MaxBody: 10, BodyMemory: 9}); err == nil {
		t.Error("a memory too small for a body was taken")
	}
}
