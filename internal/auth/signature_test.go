package auth_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"dialtone/internal/auth"
	"dialtone/internal/secret"
)

const (
	target = "/v3/p1/jobs/batch-connection"
	body   = `{"jobs":[]}` + "\n"
)

// testSigners sign in each variant with the key of testFile.
func testSigners() []signer {
	return []signer{
		{variant: "A", ak: "AKTEST", sk: "sk-of-test"},
		{variant: "B", ak: "AKTEST", sk: "sk-of-test", region: "eu-west-101", service: "drs"},
		{variant: "C", ak: "AKTEST", sk: "sk-of-test"},
	}
}

func testFile() *auth.File {
	return &auth.File{
		Tokens: []auth.Token{
			{Name: "ci", SHA256: auth.HashToken(secret.New("token-of-ci")), Projects: []string{"p1", "p2"}, Roles: []string{"drs_adm", "reader"}},
			{Name: "root", SHA256: auth.HashToken(secret.New("token-of-root")), Projects: []string{auth.AnyProject}, Roles: []string{"drs_adm"}},
			{Name: "old", SHA256: auth.HashToken(secret.New("token-of-old")), Projects: []string{"p1"}, Roles: []string{"drs_adm"}, Expires: noon()},
		},
		AccessKeys: []auth.AccessKey{
			{ID: "AKTEST", Secret: secret.New("sk-of-test"), Projects: []string{"p1"}, Roles: []string{"drs_adm"}},
			{ID: "AKOLD", Secret: secret.New("sk-of-old"), Projects: []string{"p1"}, Roles: []string{"drs_adm"}, Expires: noon()},
			{
				ID: "AKTEMP", Secret: secret.New("sk-of-temp"), SecurityTokenSHA256: auth.HashToken(secret.New("STS-TOKEN")),
				Projects: []string{"p1"}, Roles: []string{"drs_adm"},
			},
		},
	}
}

// noon is the time of all these tests.
func noon() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

func testVerifier(tb testing.TB) *auth.Verifier {
	tb.Helper()
	return newVerifier(tb, auth.Config{File: testFile(), Now: noon})
}

func TestSignedRequests(t *testing.T) {
	t.Parallel()
	v := testVerifier(t)
	for _, tc := range []struct {
		name           string
		method, target string
		body           string
		header         http.Header
		at             time.Time
	}{
		{name: "POST", method: http.MethodPost, target: target, body: body, at: noon()},
		{name: "GET without a body", method: http.MethodGet, target: "/v3/p1/jobs", at: noon()},
		{name: "trailing slash", method: http.MethodPost, target: target + "/", body: body, at: noon()},
		{name: "DELETE with a body", method: http.MethodDelete, target: "/v3/p1/jobs/batch-jobs", body: body, at: noon()},
		{name: "query", method: http.MethodGet, target: "/v3/p1/jobs?limit=10&name=a+b%26c&marker=", at: noon()},
		{name: "escapes in the path", method: http.MethodGet, target: "/v3/p1/jobs/a%20b", at: noon()},
		{name: "POST with a query and no body", method: http.MethodPost, target: "/v3/p1/jobs?b=2&a=1", at: noon()},
		{name: "project id", method: http.MethodPost, target: target, body: body, header: http.Header{"X-Project-Id": {"p1"}}, at: noon()},
		{name: "slow clock", method: http.MethodPost, target: target, body: body, at: noon().Add(-15 * time.Minute)},
		{name: "fast clock", method: http.MethodPost, target: target, body: body, at: noon().Add(15 * time.Minute)},
		{name: "large body", method: http.MethodPost, target: target, body: strings.Repeat("x", 1<<20), at: noon()},
	} {
		for _, s := range testSigners() {
			t.Run(tc.name+" "+s.variant, func(t *testing.T) {
				t.Parallel()
				r := newRequest(t, tc.method, tc.target, tc.body)
				maps.Copy(r.Header, tc.header)
				s.sign(t, r, tc.body, tc.at)
				got, err := v.Verify(t.Context(), r, []byte(tc.body), "p1")
				if err != nil {
					t.Fatal(err)
				}
				if got.Project != "p1" || got.Subject != "AKTEST" || got.Method != auth.MethodSignature || !got.Has("drs_adm") {
					t.Errorf("Verify() = %+v", got)
				}
			})
		}
	}
}

func TestStatedBodyHash(t *testing.T) {
	t.Parallel()
	v := testVerifier(t)
	sum := auth.HashToken(secret.New(body))
	for _, tc := range []struct {
		name, stated string
		ok           bool
	}{
		{"true", sum, true},
		{"true, upper case", strings.ToUpper(sum), true},
		{"of another body", auth.HashToken(secret.New("x")), false},
		{"cut", "00ff", false},
		{"unsigned", "UNSIGNED-PAYLOAD", false},
		{"empty", "", false},
	} {
		for _, s := range testSigners() {
			t.Run(tc.name+" "+s.variant, func(t *testing.T) {
				t.Parallel()
				r := newRequest(t, http.MethodPost, target, body)
				r.Header["X-Sdk-Content-Sha256"] = []string{tc.stated}
				s.bodyHash = tc.stated // clients sign what they state
				s.sign(t, r, body, noon())
				_, err := v.Verify(t.Context(), r, []byte(body), "p1")
				if tc.ok {
					if err != nil {
						t.Fatal(err)
					}
					return
				}
				wantKind(t, err, auth.BadSignature)
			})
		}
	}
}

// tampering is what happens to a rightly signed request on its way.
func TestTamperedRequests(t *testing.T) {
	t.Parallel()
	v := testVerifier(t)
	for _, tc := range []struct {
		name    string
		tamper  func(*http.Request)
		body    string
		project string
		want    auth.Kind
	}{
		{name: "other body", body: `{"jobs":[1]}`, want: auth.BadSignature},
		{name: "no body", body: "\x00", want: auth.BadSignature},
		{name: "other method", tamper: func(r *http.Request) { r.Method = http.MethodPut }, want: auth.BadSignature},
		{name: "other path", tamper: func(r *http.Request) { r.URL.Path = "/v3/p1/jobs/batch-jobs" }, want: auth.BadSignature},
		{name: "escaped slash", tamper: func(r *http.Request) { r.URL.RawPath = "/v3/p1/jobs%2Fbatch-connection" }, want: auth.BadSignature},
		{name: "query added", tamper: func(r *http.Request) { r.URL.RawQuery = "a=1" }, want: auth.BadSignature},
		{name: "broken query", tamper: func(r *http.Request) { r.URL.RawQuery = "a=%zz" }, want: auth.BadSignature},
		{name: "query with semicolon", tamper: func(r *http.Request) { r.URL.RawQuery = "a;b" }, want: auth.BadSignature},
		{name: "signed header changed", tamper: func(r *http.Request) { r.Header.Set("User-Agent", "proxy") }, want: auth.BadSignature},
		{name: "signed header gone", tamper: func(r *http.Request) { r.Header.Del("User-Agent") }, want: auth.BadSignature},
		{name: "signed header twice", tamper: func(r *http.Request) { r.Header.Add("User-Agent", "test/1.0") }, want: auth.BadSignature},
		{name: "other host", tamper: func(r *http.Request) { r.Host = "evil.test" }, want: auth.BadSignature},
		{name: "date moved", tamper: func(r *http.Request) { r.Header.Set("X-Sdk-Date", "20261123T120001Z") }, want: auth.BadSignature},
		{name: "date gone", tamper: func(r *http.Request) { r.Header.Del("X-Sdk-Date") }, want: auth.BadSignature},
		{name: "date twice", tamper: func(r *http.Request) { r.Header.Add("X-Sdk-Date", "20261123T120000Z") }, want: auth.BadSignature},
		{name: "date of another form", tamper: func(r *http.Request) { r.Header.Set("X-Sdk-Date", "2026-11-23T12:00:00Z") }, want: auth.BadSignature},
		{name: "date too old", tamper: func(r *http.Request) { r.Header.Set("X-Sdk-Date", "20261123T114459Z") }, want: auth.ClockSkew},
		{name: "date in the future", tamper: func(r *http.Request) { r.Header.Set("X-Sdk-Date", "20261123T121501Z") }, want: auth.ClockSkew},
		{name: "two signatures", tamper: func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) }, want: auth.BadSignature},
		{name: "last digit of the signature", tamper: func(r *http.Request) {
			a := r.Header.Get("Authorization")
			last := map[bool]string{true: "0", false: "1"}[a[len(a)-1] != '0']
			r.Header.Set("Authorization", a[:len(a)-1]+last)
		}, want: auth.BadSignature},
		{name: "unknown access key", tamper: replaceAuthorization("AKTEST", "AKNONE"), want: auth.UnknownKey},
		{name: "another's access key", tamper: replaceAuthorization("AKTEST", "AKTEMP"), want: auth.BadSignature},
		{name: "header taken off the list", tamper: replaceAuthorization(";user-agent", ""), want: auth.BadSignature},
		{name: "date taken off the list", tamper: replaceAuthorization(";x-sdk-date", ""), want: auth.BadSignature},
		{name: "scope of another day", tamper: replaceAuthorization("/20261123/", "/20261122/"), want: auth.BadSignature},
		{name: "other region", tamper: replaceAuthorization("/20261123/", "/20261123/x"), want: auth.BadSignature},
		{name: "a security token that is not its own", tamper: func(r *http.Request) { r.Header.Set("X-Security-Token", "STS-TOKEN") }, want: auth.BadSignature},
		{name: "project id of another project", tamper: func(r *http.Request) { r.Header.Set("X-Project-Id", "p2") }, want: auth.ProjectMismatch},
		{name: "two project ids", tamper: func(r *http.Request) { r.Header["X-Project-Id"] = []string{"p1", "p2"} }, want: auth.ProjectMismatch},
		{name: "project that the key is not for", project: "p2", want: auth.ProjectMismatch},
		{name: "unsupported algorithm", tamper: func(r *http.Request) {
			_, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			r.Header.Set("Authorization", "SDK-HMAC-SM3 "+rest)
		}, want: auth.BadSignature},
	} {
		for _, s := range testSigners() {
			if s.variant == "A" && strings.HasPrefix(tc.name, "scope of") || s.variant == "A" && tc.name == "other region" {
				continue // it has no scope
			}
			t.Run(tc.name+" "+s.variant, func(t *testing.T) {
				t.Parallel()
				r := newRequest(t, http.MethodPost, target, body)
				s.sign(t, r, body, noon())
				sent := body
				if tc.body != "" {
					sent = strings.TrimPrefix(tc.body, "\x00")
				}
				if tc.tamper != nil {
					tc.tamper(r)
				}
				project := "p1"
				if tc.project != "" {
					project = tc.project
				}
				_, err := v.Verify(t.Context(), r, []byte(sent), project)
				wantKind(t, err, tc.want)
				wantNoEcho(t, err, r)
			})
		}
	}
}

func replaceAuthorization(from, to string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), from, to, 1))
	}
}

// wantNoEcho makes sure that a refusal repeats nothing of what was sent.
func wantNoEcho(tb testing.TB, err error, r *http.Request) {
	tb.Helper()
	text := err.Error()
	_, signature, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
	for _, sent := range []string{signature, r.Header.Get("X-Auth-Token"), r.Header.Get("X-Security-Token"), r.Header.Get("X-Sdk-Date"), "AKTEST", "sk-of-", r.URL.RawQuery} {
		if sent != "" && strings.Contains(text, sent) {
			tb.Errorf("Verify() error %q echoes %q", text, sent)
		}
	}
}

// A signature of one variant must not pass under the name of another.
func TestVariantsAreNotInterchangeable(t *testing.T) {
	t.Parallel()
	v := testVerifier(t)
	for _, s := range testSigners() {
		r := newRequest(t, http.MethodPost, target, body)
		s.region, s.service = "r", "s"
		s.sign(t, r, body, noon())
		_, tail, _ := strings.Cut(r.Header.Get("Authorization"), ", ")
		for variant, head := range map[string]string{
			"A": "SDK-HMAC-SHA256 Access=AKTEST, ",
			"B": "V11-HMAC-SHA256 Credential=AKTEST/20261123/r/s, ",
			"C": "SDK-HMAC-SHA256 Credential=AKTEST/20261123/r/s/sdk_request, ",
		} {
			r.Header.Set("Authorization", head+tail)
			_, err := v.Verify(t.Context(), r, []byte(body), "p1")
			if variant == s.variant {
				if err != nil {
					t.Errorf("a signature of %s as itself: %v", s.variant, err)
				}
				continue
			}
			wantKind(t, err, auth.BadSignature)
		}
	}
}

// Some clients set headers after they signed; those stay outside the signature.
func TestUnsignedHeaders(t *testing.T) {
	t.Parallel()
	v := testVerifier(t)
	for _, s := range testSigners() {
		s.signed = []string{"x-sdk-date"}
		r := newRequest(t, http.MethodPost, target, body)
		s.sign(t, r, body, noon())
		r.Header.Set("X-Project-Id", "p1")
		r.Header.Set("User-Agent", "a proxy")
		if _, err := v.Verify(t.Context(), r, []byte(body), "p1"); err != nil {
			t.Errorf("%s: %v", s.variant, err)
		}
	}
}

// A key derived for one day must not sign for another.
func TestScopeOfAnotherDay(t *testing.T) {
	t.Parallel()
	v := testVerifier(t)
	for _, s := range testSigners()[1:] {
		s.day = "20261122"
		r := newRequest(t, http.MethodPost, target, body)
		s.sign(t, r, body, noon())
		_, err := v.Verify(t.Context(), r, []byte(body), "p1")
		wantKind(t, err, auth.BadSignature)
	}
}

func TestScopedQueryKeyTwice(t *testing.T) {
	t.Parallel()
	v := testVerifier(t)
	r := newRequest(t, http.MethodGet, "/v3/p1/jobs?limit=1", "")
	testSigners()[2].sign(t, r, "", noon())
	r.URL.RawQuery += "&limit=1000"
	_, err := v.Verify(t.Context(), r, nil, "p1")
	wantKind(t, err, auth.BadSignature)
}

func TestTemporaryKey(t *testing.T) {
	t.Parallel()
	v := testVerifier(t)
	for _, tc := range []struct {
		name   string
		tokens []string
		want   auth.Kind
	}{
		{"its own token", []string{"STS-TOKEN"}, ""},
		{"none", nil, auth.BadSignature},
		{"another", []string{"STS-OTHER"}, auth.BadSignature},
		{"empty", []string{""}, auth.BadSignature},
		{"two", []string{"STS-TOKEN", "STS-OTHER"}, auth.BadSignature},
		{"far too long", []string{strings.Repeat("x", 40<<10)}, auth.BadSignature},
	} {
		for _, signed := range []bool{false, true} {
			t.Run(tc.name, func(t *testing.T) {
				t.Parallel()
				s := signer{variant: "A", ak: "AKTEMP", sk: "sk-of-temp"}
				r := newRequest(t, http.MethodPost, target, body)
				if signed {
					r.Header["X-Security-Token"] = tc.tokens
					if tc.tokens == nil {
						delete(r.Header, "X-Security-Token")
					}
				}
				s.sign(t, r, body, noon())
				if tc.tokens != nil {
					r.Header["X-Security-Token"] = tc.tokens
				}
				_, err := v.Verify(t.Context(), r, []byte(body), "p1")
				if tc.want == "" {
					if err != nil {
						t.Fatal(err)
					}
					return
				}
				wantKind(t, err, tc.want)
				wantNoEcho(t, err, r)
			})
		}
	}
}

func TestExpiredKey(t *testing.T) {
	t.Parallel()
	v := testVerifier(t)
	r := newRequest(t, http.MethodPost, target, body)
	signer{variant: "A", ak: "AKOLD", sk: "sk-of-old"}.sign(t, r, body, noon())
	_, err := v.Verify(t.Context(), r, []byte(body), "p1")
	wantKind(t, err, auth.TokenExpired)
	// With a wrong signature nobody learns that the key has expired.
	signer{variant: "A", ak: "AKOLD", sk: "guess"}.sign(t, r, body, noon())
	_, err = v.Verify(t.Context(), r, []byte(body), "p1")
	wantKind(t, err, auth.BadSignature)
}

func BenchmarkVerifySignature(b *testing.B) {
	v := recordedVerifier(b)
	r, sent := recorded(b, "official_sdk.http")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), r, sent, recordedProject); err != nil {
			b.Fatal(err)
		}
	}
}
