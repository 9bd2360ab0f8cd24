package e2e_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// sign signs a request with an access key, as the SDKs do by default, and
// takes its token away. It shares no code with what checks it.
func sign(t *testing.T, r *http.Request, body, ak, sk string) {
	t.Helper()
	const algorithm = "SDK-HMAC-SHA256"
	at := time.Now().UTC().Format("20060102T150405Z")
	r.Header.Del("X-Auth-Token")
	r.Header.Set("X-Sdk-Date", at)
	r.Header.Set("Content-Type", "application/json")
	sum := func(text string) string {
		h := sha256.Sum256([]byte(text))
		return hex.EncodeToString(h[:])
	}
	if r.URL.RawQuery != "" {
		t.Fatal("a query would have to be signed")
	}
	path := strings.TrimSuffix(r.URL.Path, "/") + "/"
	canonical := strings.Join([]string{
		r.Method, path, "", "content-type:application/json\nhost:" + r.Host + "\nx-sdk-date:" + at + "\n",
		"content-type;host;x-sdk-date", sum(body),
	}, "\n")
	mac := hmac.New(sha256.New, []byte(sk))
	mac.Write([]byte(algorithm + "\n" + at + "\n" + sum(canonical)))
	r.Header.Set("Authorization", fmt.Sprintf("%s Access=%s, SignedHeaders=content-type;host;x-sdk-date, Signature=%x", algorithm, ak, mac.Sum(nil)))
}
