package auth_test

import (
	"bytes"
	"cmp"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// signer signs requests as clients do. It shares no code with the package, and
// the recorded requests of real clients keep both honest.
type signer struct {
	variant         string // "A", "B" or "C"
	ak, sk          string
	region, service string
	signed          []string // names in the order to sign; default: all headers and host, sorted
	bodyHash        string   // instead of the true one
	day             string   // of the scope, instead of the date's
}

const sdkDate = "20060102T150405Z"

func (s signer) sign(tb testing.TB, r *http.Request, body string, at time.Time) {
	tb.Helper()
	date := at.UTC().Format(sdkDate)
	r.Header.Set("X-Sdk-Date", date)
	names := s.signed
	if names == nil {
		names = []string{"host"}
		for name := range r.Header {
			names = append(names, strings.ToLower(name))
		}
		slices.Sort(names)
	}
	var lines []string
	for _, name := range names {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		lines = append(lines, name+":"+strings.TrimSpace(value))
	}
	hash := s.bodyHash
	if hash == "" {
		hash = fmt.Sprintf("%x", sha256.Sum256([]byte(body)))
	}
	query := s.query(r.URL.Query())
	if s.variant == "C" && r.Method == http.MethodPost && body == "" {
		hash = fmt.Sprintf("%x", sha256.Sum256([]byte(r.URL.Query().Encode())))
		query = ""
	}
	path := (&url.URL{Path: r.URL.Path}).EscapedPath()
	if !strings.HasSuffix(path, "/") {
		path += "/"
	}
	text := r.Method + "\n" + path + "\n" + query + "\n" + strings.Join(lines, "\n") + "\n\n" + strings.Join(names, ";") + "\n" + hash
	textHash := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
	hm := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	day := cmp.Or(s.day, date[:8])
	scope := day + "/" + s.region + "/" + s.service
	var head string
	var signature []byte
	switch s.variant {
	case "A":
		head = "SDK-HMAC-SHA256 Access=" + s.ak
		signature = hm([]byte(s.sk), "SDK-HMAC-SHA256\n"+date+"\n"+textHash)
	case "B":
		head = "V11-HMAC-SHA256 Credential=" + s.ak + "/" + scope
		key, err := hkdf.Key(sha256.New, []byte(s.sk), []byte(s.ak), scope, 32)
		if err != nil {
			tb.Fatal(err)
		}
		signature = hm(fmt.Appendf(nil, "%x", key), "V11-HMAC-SHA256\n"+date+"\n"+scope+"\n"+textHash)
	case "C":
		scope += "/sdk_request"
		head = "SDK-HMAC-SHA256 Credential=" + s.ak + "/" + scope
		key := hm(hm(hm(hm([]byte("SDK"+s.sk), day), s.region), s.service), "sdk_request")
		signature = hm(key, "SDK-HMAC-SHA256\n"+date+"\n"+scope+"\n"+textHash)
	default:
		tb.Fatalf("no variant %q", s.variant)
	}
	r.Header.Set("Authorization", fmt.Sprintf("%s, SignedHeaders=%s, Signature=%x", head, strings.Join(names, ";"), signature))
}

func (s signer) query(values url.Values) string {
	var pairs []string
	for key, of := range values {
		for _, value := range of {
			pairs = append(pairs, strings.ReplaceAll(url.QueryEscape(key)+"="+url.QueryEscape(value), "+", "%20"))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

func newRequest(tb testing.TB, method, target, body string) *http.Request {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), method, target, bytes.NewReader([]byte(body)))
	r.Header.Set("User-Agent", "test/1.0")
	r.Header.Set("Content-Type", "application/json")
	return r
}
