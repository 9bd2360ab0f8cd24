package auth

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

func TestCanonicalQuery(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, raw string
		variant   variant
		want      string
	}{
		{"none", "", plain, ""},
		{
			"every character", "test=%E4%B8%80+%28%26%3D%3F%21%23%25.%2A%29&path=/tmp/123&multi=3&multi=1&multi=2&limit=1&enable=true", plain,
			"enable=true&limit=1&multi=1&multi=2&multi=3&path=%2Ftmp%2F123&test=%E4%B8%80%20%28%26%3D%3F%21%23%25.%2A%29",
		},
		{"no value", "b&a=", plain, "a=&b="},
		{"upper case first", "a=1&B=2", plain, "B=2&a=1"},
		{"scoped ignores case", "B=2&a=1", scoped, "a=1&B=2"},
		{"unreserved stay", "a=-_.~", plain, "a=-_.~"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := canonicalQuery(tc.raw, tc.variant)
			if err != nil || got != tc.want {
				t.Errorf("canonicalQuery(%q) = %q, %v, want %q", tc.raw, got, err, tc.want)
			}
		})
	}
}

func TestCanonicalPath(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{
		"/":            "/",
		"/v3/p/jobs":   "/v3/p/jobs/",
		"/v3/p/jobs/":  "/v3/p/jobs/",
		"//v3":         "//v3/",
		"/a%20b/%7Bx}": "/a%20b/%7Bx%7D/",
		"/%E4%B8%80":   "/%E4%B8%80/",
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
		if got, err := canonicalPath(r.URL); err != nil || got != want {
			t.Errorf("canonicalPath(%q) = %q, %v, want %q", target, got, err, want)
		}
	}
}

func TestCanonicalHeaders(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://host.test:8080/", http.NoBody)
	r.Header["X-Blanks"] = []string{"  a \t  b  "}
	r.Header["X-Empty"] = []string{""}
	names := []string{"x-empty", "host", "x-blanks", "content-length"}
	for v, want := range map[variant]string{
		plain:  "x-empty:\nhost:host.test:8080\nx-blanks:a \t  b\ncontent-length:4\n",
		scoped: "x-empty:\nhost:host.test:8080\nx-blanks: a b \ncontent-length:4\n",
	} {
		got, err := canonicalHeaders(r, authorization{variant: v, signedHeaders: names}, []byte("body"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("canonicalHeaders(variant %d) (-want +got):\n%s", v, diff)
		}
	}
}

func TestParseAuthorization(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, header string
		want         authorization
	}{
		{
			"plain", "SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-sdk-date, Signature=" + zeros,
			authorization{variant: plain, accessKey: "AK", signedHeaders: []string{"host", "x-sdk-date"}},
		},
		{
			"derived", "V11-HMAC-SHA256 Credential=AK/20261123/eu-west-101/drs, SignedHeaders=x-sdk-date, Signature=" + zeros,
			authorization{variant: derived, accessKey: "AK", date: "20261123", region: "eu-west-101", service: "drs", signedHeaders: []string{"x-sdk-date"}},
		},
		{
			"scoped, no blanks", "SDK-HMAC-SHA256 Credential=AK/20261123///sdk_request,SignedHeaders=x-sdk-date,Signature=" + zeros,
			authorization{variant: scoped, accessKey: "AK", date: "20261123", signedHeaders: []string{"x-sdk-date"}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := parseAuthorization(tc.header)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(authorization{})); diff != "" {
				t.Errorf("parseAuthorization() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseAuthorizationRefuses(t *testing.T) {
	t.Parallel()
	const tail = ", SignedHeaders=x-sdk-date, Signature=" + zeros
	for _, tc := range []struct{ name, header, reason string }{
		{"no fields", "SDK-HMAC-SHA256", "needs a credential"},
		{"SM3", "SDK-HMAC-SM3 Access=AK" + tail, "algorithm is not supported"},
		{"ECDSA", "SDK-ECDSA-P256-SHA256 Access=AK" + tail, "algorithm is not supported"},
		{"lower case", "sdk-hmac-sha256 Access=AK" + tail, "algorithm is not supported"},
		{"V11 with Access", "V11-HMAC-SHA256 Access=AK" + tail, "does not fit"},
		{"V11 with sdk_request", "V11-HMAC-SHA256 Credential=AK/20261123/r/s/sdk_request" + tail, "does not fit"},
		{"SDK with V11's credential", "SDK-HMAC-SHA256 Credential=AK/20261123/r/s" + tail, "does not fit"},
		{"other terminator", "SDK-HMAC-SHA256 Credential=AK/20261123/r/s/aws4_request" + tail, "does not fit"},
		{"V11 without region", "V11-HMAC-SHA256 Credential=AK/20261123//drs" + tail, "does not fit"},
		{"V11 without service", "V11-HMAC-SHA256 Credential=AK/20261123/r/" + tail, "does not fit"},
		{"V11 without date", "V11-HMAC-SHA256 Credential=AK//r/s" + tail, "does not fit"},
		{"region with a line break", "V11-HMAC-SHA256 Credential=AK/20261123/r\n/s" + tail, "does not fit"},
		{"both Access and Credential", "SDK-HMAC-SHA256 Access=AK, Credential=AK/20261123/r/s/sdk_request, SignedHeaders=x-sdk-date", "does not fit"},
		{"neither", "SDK-HMAC-SHA256 SignedHeaders=x-sdk-date, Signature=" + zeros + ", Signature=" + zeros, "comes twice"},
		{"unknown field", "SDK-HMAC-SHA256 Access=AK, Extra=1, Signature=" + zeros, "not known"},
		{"four fields", "SDK-HMAC-SHA256 Access=AK" + tail + ", Extra=1", "needs a credential"},
		{"no value", "SDK-HMAC-SHA256 Access=AK, SignedHeaders, Signature=" + zeros, "no value"},
		{"empty access key", "SDK-HMAC-SHA256 Access=" + tail, "access key is malformed"},
		{"access key with a slash", "SDK-HMAC-SHA256 Access=A/K" + tail, "access key is malformed"},
		{"long access key", "SDK-HMAC-SHA256 Access=" + strings.Repeat("A", 129) + tail, "access key is malformed"},
		{"no signed headers", "SDK-HMAC-SHA256 Access=AK, SignedHeaders=, Signature=" + zeros, "not that of a header"},
		{"date not signed", "SDK-HMAC-SHA256 Access=AK, SignedHeaders=host, Signature=" + zeros, "x-sdk-date is not signed"},
		{"upper-case header", "SDK-HMAC-SHA256 Access=AK, SignedHeaders=X-Sdk-Date, Signature=" + zeros, "not that of a header"},
		{"header with a colon", "SDK-HMAC-SHA256 Access=AK, SignedHeaders=a:b;x-sdk-date, Signature=" + zeros, "not that of a header"},
		{"header twice", "SDK-HMAC-SHA256 Access=AK, SignedHeaders=x-sdk-date;x-sdk-date, Signature=" + zeros, "named twice"},
		{"too many headers", "SDK-HMAC-SHA256 Access=AK, SignedHeaders=x-sdk-date" + strings.Repeat(";a", 64) + ", Signature=" + zeros, "too many"},
		{"no signature", "SDK-HMAC-SHA256 Access=AK, SignedHeaders=x-sdk-date, Signature=", "64 hexadecimal"},
		{"short signature", "SDK-HMAC-SHA256 Access=AK, SignedHeaders=x-sdk-date, Signature=00", "64 hexadecimal"},
		{"long signature", "SDK-HMAC-SHA256 Access=AK, SignedHeaders=x-sdk-date, Signature=" + zeros + "00", "64 hexadecimal"},
		{"no hex", "SDK-HMAC-SHA256 Access=AK, SignedHeaders=x-sdk-date, Signature=z" + zeros[1:], "64 hexadecimal"},
		{"too long", "SDK-HMAC-SHA256 Access=AK" + tail + strings.Repeat(" ", 8<<10), "too long"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := parseAuthorization(tc.header)
			if err == nil {
				t.Fatalf("parseAuthorization() = %+v, want a refusal", got)
			}
			if err.Kind != BadSignature || !strings.Contains(err.Reason, tc.reason) {
				t.Errorf("parseAuthorization() error = %v, want %q", err, tc.reason)
			}
		})
	}
}

// Whatever parses says the same when it is written again, and is one of the
// three variants; whatever does not is refused without an echo.
func FuzzParseAuthorization(f *testing.F) {
	f.Add("SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-sdk-date, Signature=" + zeros)
	f.Add("V11-HMAC-SHA256 Credential=AK/20261123/eu-west-101/drs, SignedHeaders=x-sdk-date, Signature=" + zeros)
	f.Add("SDK-HMAC-SHA256 Credential=AK/20261123///sdk_request, SignedHeaders=x-sdk-date, Signature=" + zeros)
	f.Add("SDK-HMAC-SHA256 ,=,=")
	f.Fuzz(func(t *testing.T, header string) {
		a, err := parseAuthorization(header)
		if err != nil {
			if err.Kind != BadSignature || len(err.Reason) > 100 {
				t.Fatalf("refusal = %v", err)
			}
			return
		}
		again := algorithmSDK + " Access=" + a.accessKey
		switch a.variant {
		case derived:
			again = algorithmV11 + " Credential=" + a.accessKey + "/" + a.scope()
		case scoped:
			again = algorithmSDK + " Credential=" + a.accessKey + "/" + a.scope()
		case plain:
		}
		again += ", SignedHeaders=" + strings.Join(a.signedHeaders, ";") + ", Signature=" + hexOf(a.signature[:])
		b, err := parseAuthorization(again)
		if err != nil {
			t.Fatalf("%q parses, but not as %q: %v", header, again, err)
		}
		if diff := cmp.Diff(a, b, cmp.AllowUnexported(authorization{})); diff != "" {
			t.Fatalf("(-first +again):\n%s", diff)
		}
		if len(a.signedHeaders) > maxSignedHeaders || !validAccessKeyID(a.accessKey) || strings.ContainsAny(again, "\r\n") {
			t.Fatalf("parseAuthorization(%q) = %+v", header, a)
		}
	})
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}
