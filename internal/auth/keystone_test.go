package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/auth"
	"dialtone/internal/secret"
)

const (
	serviceUser     = "dialtone"
	servicePassword = `pa"ss<w>ord`
)

// fakeKeystone is the token service of an identity service, over real HTTP:
// it gives tokens for user and password, and describes tokens to those who
// hold one that it gave (or the static one).
type fakeKeystone struct {
	*httptest.Server
	now func() time.Time

	mu     sync.Mutex
	tokens map[string]map[string]any // description by token
	own    map[string]bool           // service tokens in force
	life   time.Duration             // of service tokens

	logins, questions atomic.Int64
	// fault, if set, answers in place of the description.
	fault atomic.Pointer[http.HandlerFunc]
}

func newKeystone(tb testing.TB, now func() time.Time) *fakeKeystone {
	tb.Helper()
	k := &fakeKeystone{now: now, tokens: map[string]map[string]any{}, own: map[string]bool{"static": true}, life: 24 * time.Hour}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v3/auth/tokens", k.login)
	mux.HandleFunc("GET /v3/auth/tokens", k.describe)
	k.Server = httptest.NewServer(mux)
	tb.Cleanup(k.Close)
	return k
}

// add makes a token known; a nil project makes it one without project scope.
func (k *fakeKeystone) add(token, project string, expires time.Time, roles ...string) {
	d := map[string]any{
		"methods":    []string{"password"},
		"issued_at":  k.now().UTC().Format("2006-01-02T15:04:05.000000Z"),
		"expires_at": expires.UTC().Format("2006-01-02T15:04:05.000000Z"),
		"user":       map[string]any{"id": "user-" + token, "name": "name", "domain": map[string]any{"id": "d", "name": "account"}},
		"roles":      []map[string]any{},
		"catalog":    []any{},
	}
	if project == "" {
		d["domain"] = map[string]any{"id": "d", "name": "account"}
	} else {
		d["project"] = map[string]any{"id": project, "name": "eu-west-101", "domain": map[string]any{"id": "d", "name": "account"}}
	}
	var list []map[string]any
	for _, role := range roles {
		list = append(list, map[string]any{"id": "0", "name": role})
	}
	d["roles"] = list
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tokens[token] = d
}

func (k *fakeKeystone) revoke(token string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.tokens, token)
	delete(k.own, token)
}

func (k *fakeKeystone) login(w http.ResponseWriter, r *http.Request) {
	n := k.logins.Add(1)
	var request struct {
		Auth struct {
			Identity struct {
				Methods  []string
				Password struct {
					User struct {
						Name, Password string
						Domain         struct{ Name string }
					}
				}
			}
			Scope struct{ Project struct{ Name string } }
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	user := request.Auth.Identity.Password.User
	if user.Name != serviceUser || user.Password != servicePassword || user.Domain.Name != "account" || request.Auth.Scope.Project.Name != "eu-west-101" ||
		len(request.Auth.Identity.Methods) != 1 || request.Auth.Identity.Methods[0] != "password" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	token := fmt.Sprintf("service-%d", n)
	k.mu.Lock()
	k.own[token] = true
	life := k.life
	k.mu.Unlock()
	k.add(token, "service-project", k.now().Add(life), "admin")
	w.Header().Set("X-Subject-Token", token)
	w.WriteHeader(http.StatusCreated)
	k.write(w, token)
}

func (k *fakeKeystone) describe(w http.ResponseWriter, r *http.Request) {
	k.questions.Add(1)
	if fault := k.fault.Load(); fault != nil {
		(*fault)(w, r)
		return
	}
	k.mu.Lock()
	own := k.own[r.Header.Get("X-Auth-Token")]
	token := r.Header.Get("X-Subject-Token")
	_, known := k.tokens[token]
	k.mu.Unlock()
	switch {
	case !own:
		w.WriteHeader(http.StatusUnauthorized)
	case !known:
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprintf(w, `{"error":{"code":404,"message":"Could not find token: %s","title":"Not Found"}}`, token)
	default:
		w.Header().Set("X-Subject-Token", token)
		k.write(w, token)
	}
}

func (k *fakeKeystone) write(w http.ResponseWriter, token string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	_ = json.NewEncoder(w).Encode(map[string]any{"token": k.tokens[token]})
}

func (k *fakeKeystone) fail(h http.HandlerFunc) {
	if h == nil {
		k.fault.Store(nil)
		return
	}
	k.fault.Store(&h)
}

// movingClock is a clock that stands still until it is moved.
type movingClock struct{ nanos atomic.Int64 }

func newMovingClock() *movingClock {
	c := &movingClock{}
	c.nanos.Store(noon().UnixNano())
	return c
}
func (c *movingClock) now() time.Time        { return time.Unix(0, c.nanos.Load()).UTC() }
func (c *movingClock) move(by time.Duration) { c.nanos.Add(int64(by)) }

func verifyToken(tb testing.TB, v *auth.Verifier, token, project string) (auth.Caller, error) {
	tb.Helper()
	r := newRequest(tb, http.MethodPost, target, body)
	r.Header.Set("X-Auth-Token", token)
	return v.Verify(tb.Context(), r, nil, project)
}

func withPassword(k *fakeKeystone) *auth.KeystoneConfig {
	return &auth.KeystoneConfig{
		URL: k.URL + "/v3/", User: serviceUser, Password: secret.New(servicePassword), Domain: "account", Project: "eu-west-101",
	}
}

func TestKeystone(t *testing.T) {
	t.Parallel()
	clock := newMovingClock()
	k := newKeystone(t, clock.now)
	long := "MII" + strings.Repeat("x", 16<<10)
	k.add("good", "p1", noon().Add(time.Hour), "drs_adm", "reader")
	k.add(long, "p1", noon().Add(time.Hour), "drs_adm")
	k.add("expired", "p1", noon(), "drs_adm")
	k.add("domain", "", noon().Add(time.Hour), "drs_adm")
	k.add("star", "*", noon().Add(time.Hour), "drs_adm")
	k.add("roleless", "p1", noon().Add(time.Hour))
	for name, config := range map[string]*auth.KeystoneConfig{
		"user and password": withPassword(k),
		"service token":     {URL: k.URL, Token: secret.New("static")},
	} {
		v := newVerifier(t, auth.Config{File: testFile(), Keystone: config, Now: clock.now})
		for _, tc := range []struct {
			name, token, project string
			want                 auth.Caller
			kind                 auth.Kind
		}{
			{name: "good", token: "good", project: "p1", want: auth.Caller{Project: "p1", Roles: []string{"drs_adm", "reader"}, Subject: "user-good", Method: auth.MethodKeystone}},
			{name: "as long as real ones", token: long, project: "p1", want: auth.Caller{Project: "p1", Roles: []string{"drs_adm"}, Subject: "user-" + long, Method: auth.MethodKeystone}},
			{name: "in the file", token: "token-of-ci", project: "p1", want: auth.Caller{Project: "p1", Roles: []string{"drs_adm", "reader"}, Subject: "ci", Method: auth.MethodToken}},
			{name: "other project", token: "good", project: "p2", kind: auth.ProjectMismatch},
			{name: "domain scope", token: "domain", project: "p1", kind: auth.ProjectMismatch},
			{name: "project called *", token: "star", project: "p1", kind: auth.ProjectMismatch},
			{name: "without roles", token: "roleless", project: "p1", kind: auth.NoRoles},
			{name: "expired", token: "expired", project: "p1", kind: auth.TokenExpired},
			{name: "unknown", token: "unknown", project: "p1", kind: auth.BadToken},
		} {
			t.Run(name+", "+tc.name, func(t *testing.T) {
				t.Parallel()
				got, err := verifyToken(t, v, tc.token, tc.project)
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("Verify() (-want +got):\n%s", diff)
				}
				if tc.kind == "" {
					if err != nil {
						t.Fatal(err)
					}
					return
				}
				wantKind(t, err, tc.kind)
				if strings.Contains(err.Error(), tc.token) && tc.token != "expired" && tc.token != "unknown" {
					t.Errorf("Verify() error %q echoes the token", err)
				}
			})
		}
	}
}

func TestKeystoneCache(t *testing.T) {
	t.Parallel()
	clock := newMovingClock()
	k := newKeystone(t, clock.now)
	v := newVerifier(t, auth.Config{Keystone: withPassword(k), Now: clock.now})
	k.add("good", "p1", noon().Add(time.Hour), "drs_adm")
	k.add("short", "p1", noon().Add(30*time.Second), "drs_adm")
	ask := func(token string, questions int64, kind auth.Kind) {
		t.Helper()
		before := k.questions.Load()
		_, err := verifyToken(t, v, token, "p1")
		if kind != "" {
			wantKind(t, err, kind)
		} else if err != nil {
			t.Fatal(err)
		}
		if got := k.questions.Load() - before; got != questions {
			t.Fatalf("%d questions for token %s, want %d", got, token, questions)
		}
	}
	ask("good", 1, "")
	ask("good", 0, "")
	ask("short", 1, "")
	k.revoke("good")
	clock.move(30 * time.Second)
	ask("good", 0, "")                 // believed for a minute
	ask("short", 1, auth.TokenExpired) // but never beyond its end
	clock.move(30 * time.Second)
	ask("good", 1, auth.BadToken)
	ask("good", 0, auth.BadToken) // refused for some seconds
	k.add("good", "p1", noon().Add(time.Hour), "drs_adm")
	ask("good", 0, auth.BadToken)
	clock.move(5 * time.Second)
	ask("good", 1, "")
}

func TestKeystoneCacheIsBounded(t *testing.T) {
	t.Parallel()
	clock := newMovingClock()
	k := newKeystone(t, clock.now)
	config := withPassword(k)
	config.CacheSize = 10
	v := newVerifier(t, auth.Config{Keystone: config, Now: clock.now})
	k.add("good", "p1", noon().Add(time.Hour), "drs_adm")
	if _, err := verifyToken(t, v, "good", "p1"); err != nil {
		t.Fatal(err)
	}
	// A flood of unknown tokens pushes no known one out.
	for i := range 100 {
		_, err := verifyToken(t, v, fmt.Sprintf("guess-%d", i), "p1")
		wantKind(t, err, auth.BadToken)
	}
	before := k.questions.Load()
	if _, err := verifyToken(t, v, "good", "p1"); err != nil || k.questions.Load() != before {
		t.Errorf("after the flood: %v, %d questions", err, k.questions.Load()-before)
	}
	// Of 100 refusals at most 10 are remembered.
	for i := range 100 {
		_, err := verifyToken(t, v, fmt.Sprintf("guess-%d", i), "p1")
		wantKind(t, err, auth.BadToken)
	}
	if got := k.questions.Load() - before; got < 90 {
		t.Errorf("%d questions for 100 refused tokens, want at least 90", got)
	}
}

func TestKeystoneAskedOnceForMany(t *testing.T) {
	t.Parallel()
	k := newKeystone(t, noon)
	k.add("good", "p1", noon().Add(time.Hour), "drs_adm")
	v := newVerifier(t, auth.Config{Keystone: withPassword(k), Now: noon})
	release := make(chan struct{})
	k.fail(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		k.write(w, "good")
	})
	errs := make(chan error, 50)
	for range cap(errs) {
		go func() {
			_, err := verifyToken(t, v, "good", "p1")
			errs <- err
		}()
	}
	waitFor(t, func() bool { return k.questions.Load() == 1 })
	// One that gives up neither waits for the answer nor spoils it.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := newRequest(t, http.MethodGet, target, "")
	r.Header.Set("X-Auth-Token", "good")
	_, err := v.Verify(ctx, r, nil, "p1")
	wantKind(t, err, auth.Unavailable)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Verify(cancelled) error = %v", err)
	}
	close(release)
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if q, l := k.questions.Load(), k.logins.Load(); q != 1 || l != 1 {
		t.Errorf("%d questions and %d logins, want 1 and 1", q, l)
	}
}

func TestKeystoneServiceToken(t *testing.T) {
	t.Parallel()
	clock := newMovingClock()
	k := newKeystone(t, clock.now)
	v := newVerifier(t, auth.Config{Keystone: withPassword(k), Now: clock.now})
	asked := 0
	ask := func(logins int64) {
		t.Helper()
		asked++
		token := fmt.Sprintf("good-%d", asked)
		k.add(token, "p1", clock.now().Add(time.Hour), "drs_adm")
		if _, err := verifyToken(t, v, token, "p1"); err != nil {
			t.Fatal(err)
		}
		if got := k.logins.Load(); got != logins {
			t.Fatalf("%d logins, want %d", got, logins)
		}
	}
	ask(1)
	clock.move(23*time.Hour + 54*time.Minute)
	ask(1)
	clock.move(2 * time.Minute) // near its end: renewed in time
	ask(2)
	k.revoke("service-2") // taken from us: renewed when it is refused
	ask(3)
	k.mu.Lock()
	k.life = time.Minute // short lives do not mean a login for each question
	k.mu.Unlock()
	k.revoke("service-3")
	ask(4)
	ask(4)
	clock.move(31 * time.Second)
	ask(5)
}

func TestKeystoneUnavailable(t *testing.T) {
	t.Parallel()
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) }
	}
	for _, tc := range []struct {
		name   string
		fault  http.HandlerFunc
		config func(*auth.KeystoneConfig)
	}{
		{name: "error", fault: status(500)},
		{name: "overloaded", fault: status(503)},
		{name: "we have no right", fault: status(403)},
		{name: "our token refused again and again", fault: status(401)},
		{name: "redirect", fault: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/v3/auth/tokens", http.StatusFound) }},
		{name: "not JSON", fault: text("<html>good</html>")},
		{name: "empty object", fault: text("{}")},
		{name: "wrong types", fault: text(`{"token":{"expires_at":"good","roles":"good"}}`)},
		{name: "endless", fault: func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}},
		{name: "hangs up", fault: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		{name: "silent", fault: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, config: func(c *auth.KeystoneConfig) { c.Timeout = 50 * time.Millisecond }},
		{name: "wrong password", config: func(c *auth.KeystoneConfig) { c.Password = secret.New("wrong-pass") }},
		{name: "wrong service token", config: func(c *auth.KeystoneConfig) {
			*c = auth.KeystoneConfig{URL: c.URL, Token: secret.New("wrong-pass")}
		}},
		{name: "not there", config: func(c *auth.KeystoneConfig) { c.URL = "http://127.0.0.1:1" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			k := newKeystone(t, noon)
			k.add("subject-token", "p1", noon().Add(time.Hour), "drs_adm")
			config := withPassword(k)
			if tc.config != nil {
				tc.config(config)
			}
			v := newVerifier(t, auth.Config{File: testFile(), Keystone: config, Now: noon})
			if tc.fault != nil {
				k.fail(tc.fault)
			}
			_, err := verifyToken(t, v, "subject-token", "p1")
			wantKind(t, err, auth.Unavailable)
			for _, hidden := range []string{"subject-token", servicePassword, "wrong-pass", "service-", "good"} {
				if strings.Contains(err.Error(), hidden) {
					t.Errorf("Verify() error %q shows %q", err, hidden)
				}
			}
			// The file's tokens work on, and so does Keystone once it is back.
			if _, err := verifyToken(t, v, "token-of-ci", "p1"); err != nil {
				t.Error(err)
			}
			if tc.config == nil {
				k.fail(nil)
				if _, err := verifyToken(t, v, "subject-token", "p1"); err != nil {
					t.Errorf("after Keystone is back: %v", err)
				}
			}
		})
	}
}

// What would carry tokens elsewhere, or ask in vain, is not sent at all.
func TestKeystoneSendsNoMoreThanNeeded(t *testing.T) {
	t.Parallel()
	k, elsewhere := newKeystone(t, noon), newKeystone(t, noon)
	elsewhere.add("good", "p1", noon().Add(time.Hour), "drs_adm")
	v := newVerifier(t, auth.Config{Keystone: withPassword(k), Now: noon})

	k.fail(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+"/v3/auth/tokens", http.StatusTemporaryRedirect)
	})
	_, err := verifyToken(t, v, "good", "p1")
	wantKind(t, err, auth.Unavailable)
	if got := elsewhere.questions.Load(); got != 0 {
		t.Errorf("a redirect was followed")
	}

	logins := k.logins.Load()
	k.fail(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	_, err = verifyToken(t, v, "good", "p1")
	wantKind(t, err, auth.Unavailable)
	if got := k.logins.Load() - logins; got != 1 {
		t.Errorf("%d logins for one question, want 1", got)
	}

	questions := k.questions.Load()
	_, err = verifyToken(t, v, strings.Repeat("x", 40<<10), "p1")
	wantKind(t, err, auth.BadToken)
	if got := k.questions.Load() - questions; got != 0 {
		t.Errorf("%d questions for a token that cannot be one", got)
	}
}

func waitFor(tb testing.TB, condition func() bool) {
	tb.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			tb.Fatal("the condition did not come true in 10 s")
		case <-tick.C:
		}
	}
}
