package auth_test

import (
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/auth"
	"dialtone/internal/secret"
)

func TestToken(t *testing.T) {
	t.Parallel()
	v := testVerifier(t)
	for _, tc := range []struct {
		name    string
		header  http.Header
		project string
		want    auth.Caller
		kind    auth.Kind
	}{
		{
			name: "good", header: http.Header{"X-Auth-Token": {"token-of-ci"}}, project: "p2",
			want: auth.Caller{Project: "p2", Roles: []string{"drs_adm", "reader"}, Subject: "ci", Method: auth.MethodToken},
		},
		{
			name: "good for every project", header: http.Header{"X-Auth-Token": {"token-of-root"}}, project: "p9",
			want: auth.Caller{Project: "p9", Roles: []string{"drs_adm"}, Subject: "root", Method: auth.MethodToken},
		},
		{
			name: "beside an Authorization of a proxy", project: "p1",
			header: http.Header{"X-Auth-Token": {"token-of-ci"}, "Authorization": {"Basic dXNlcjpwYXNz"}},
			want:   auth.Caller{Project: "p1", Roles: []string{"drs_adm", "reader"}, Subject: "ci", Method: auth.MethodToken},
		},
		{name: "none", project: "p1", kind: auth.NoCredential},
		{name: "empty", header: http.Header{"X-Auth-Token": {""}}, project: "p1", kind: auth.NoCredential},
		{name: "foreign Authorization only", header: http.Header{"Authorization": {"Bearer token-of-ci"}}, project: "p1", kind: auth.NoCredential},
		{name: "unknown", header: http.Header{"X-Auth-Token": {"token-of-cx"}}, project: "p1", kind: auth.BadToken},
		{name: "the hash in place of the token", header: http.Header{"X-Auth-Token": {auth.HashToken(secret.New("token-of-ci"))}}, project: "p1", kind: auth.BadToken},
		{name: "two tokens", header: http.Header{"X-Auth-Token": {"token-of-ci", "token-of-ci"}}, project: "p1", kind: auth.BadToken},
		{name: "far too long", header: http.Header{"X-Auth-Token": {strings.Repeat("x", 40<<10)}}, project: "p1", kind: auth.BadToken},
		{name: "expired", header: http.Header{"X-Auth-Token": {"token-of-old"}}, project: "p1", kind: auth.TokenExpired},
		{name: "other project", header: http.Header{"X-Auth-Token": {"token-of-ci"}}, project: "p3", kind: auth.ProjectMismatch},
		{name: "no project", header: http.Header{"X-Auth-Token": {"token-of-root"}}, kind: auth.ProjectMismatch},
		{name: "a project called *", header: http.Header{"X-Auth-Token": {"token-of-ci"}}, project: "*", kind: auth.ProjectMismatch},
		{
			name: "beside a wrong signature", project: "p1", kind: auth.BadSignature,
			header: http.Header{"X-Auth-Token": {"token-of-ci"}, "Authorization": {"SDK-HMAC-SHA256 Access=AKTEST"}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRequest(t, http.MethodPost, target, body)
			maps.Copy(r.Header, tc.header)
			got, err := v.Verify(t.Context(), r, []byte(body), tc.project)
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
			wantNoEcho(t, err, r)
		})
	}
}

func TestNewReportsEveryFault(t *testing.T) {
	t.Parallel()
	_, err := auth.New(auth.Config{
		MaxSkew:  -1,
		File:     &auth.File{Tokens: []auth.Token{{}}},
		Keystone: &auth.KeystoneConfig{URL: "ftp://user:pa55word@x", CacheFor: -1},
	})
	if err == nil {
		t.Fatal("New() = nil error")
	}
	for _, want := range []string{"MaxSkew", "tokens[0].name", "tokens[0].sha256", "tokens[0].projects", "tokens[0].roles", "Keystone URL", "service token", "negative"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("New() error %q does not tell of %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "pa55word") {
		t.Errorf("New() error %q shows the password", err)
	}
	if _, err := auth.New(auth.Config{}); err == nil || !strings.Contains(err.Error(), "nobody could call") {
		t.Errorf("New(nothing) error = %v", err)
	}
}

// A reload under load: each request sees the one list or the other, never a
// mixture, and a bad list changes nothing.
func TestReloadUnderVerify(t *testing.T) {
	t.Parallel()
	v := testVerifier(t)
	dir := t.TempDir()
	lists := []string{
		write(t, dir, "a.yaml", "tokens: [{name: a, sha256: "+auth.HashToken(secret.New("token-of-ci"))+", projects: [p1], roles: [role_a]}]\n"),
		write(t, dir, "b.yaml", "tokens: [{name: b, sha256: "+auth.HashToken(secret.New("token-of-ci"))+", projects: [p1], roles: [role_b]}]\n"),
		write(t, dir, "bad.yaml", "tokens: [{name: c}]\n"),
		filepath.Join(dir, "missing.yaml"),
	}
	if err := v.Reload(lists[0], nil); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			r := newRequest(t, http.MethodPost, target, body)
			r.Header.Set("X-Auth-Token", "token-of-ci")
			for {
				got, err := v.Verify(t.Context(), r, nil, "p1")
				if err != nil || len(got.Roles) != 1 || got.Roles[0] != "role_"+got.Subject {
					t.Errorf("Verify() = %+v, %v", got, err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := range 200 {
		err := v.Reload(lists[i%len(lists)], nil)
		if bad := i%len(lists) >= 2; bad != (err != nil) {
			t.Errorf("Reload(%s) error = %v", lists[i%len(lists)], err)
		}
	}
	close(done)
	wg.Wait()
}

func BenchmarkVerifyToken(b *testing.B) {
	v := testVerifier(b)
	r := newRequest(b, http.MethodPost, target, body)
	r.Header.Set("X-Auth-Token", "token-of-ci")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), r, nil, "p1"); err != nil {
			b.Fatal(err)
		}
	}
}
