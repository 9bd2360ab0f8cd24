package auth_test

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"dialtone/internal/auth"
)

// unreadable is a body that nobody may touch.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, errors.New("not to be read")
}

func TestPrecheck(t *testing.T) {
	t.Parallel()
	v := testVerifier(t)
	sign := func(at time.Time) func(*http.Request) {
		return func(r *http.Request) { testSigners()[0].sign(t, r, body, at) }
	}
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for _, tc := range []struct {
		name   string
		header func(*http.Request)
		want   auth.Kind // none: goes on to Verify
	}{
		{name: "nothing", header: func(*http.Request) {}, want: auth.NoCredential},
		{name: "good token", header: set("X-Auth-Token", "token-of-ci")},
		{name: "unknown token", header: set("X-Auth-Token", "token-of-cx"), want: auth.BadToken},
		{name: "expired token", header: set("X-Auth-Token", "token-of-old"), want: auth.TokenExpired},
		{name: "foreign scheme", header: set("Authorization", "Bearer token-of-ci"), want: auth.NoCredential},
		{name: "malformed signature", header: set("Authorization", "SDK-HMAC-SHA256 Access=AKTEST"), want: auth.BadSignature},
		{name: "signed", header: sign(noon())},
		{name: "signed long ago", header: sign(noon().Add(-16 * time.Minute)), want: auth.ClockSkew},
		{name: "a date of another form", header: func(r *http.Request) {
			sign(noon())(r)
			r.Header.Set("X-Sdk-Date", "yesterday")
		}, want: auth.BadSignature},
		{name: "unknown key", header: func(r *http.Request) {
			sign(noon())(r)
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "AKTEST", "AKTESX", 1))
		}, want: auth.UnknownKey},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRequest(t, http.MethodPost, target, body)
			tc.header(r)
			r.Body = io.NopCloser(unreadable{t})
			err := v.Precheck(t.Context(), r, "p1")
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantKind(t, err, tc.want)
			wantNoEcho(t, err, r)
			// Verify says the same.
			again := newRequest(t, http.MethodPost, target, body)
			maps.Copy(again.Header, r.Header)
			_, err = v.Verify(t.Context(), again, []byte(body), "p1")
			wantKind(t, err, tc.want)
		})
	}
}
