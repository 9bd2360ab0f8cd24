package auth

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// canonical is the one text for a request on which client and server agree
// before it is signed.
//
// The body's hash is over the received bytes: clients differ in key order,
// escaping and a final newline, so JSON marshalled anew would never fit.
type canonical struct {
	method, path, query, headers, signedHeaders, bodyHash string
}

func (c canonical) hash() string {
	return hexHash([]byte(strings.Join([]string{
		c.method, c.path, c.query, c.headers, c.signedHeaders, c.bodyHash,
	}, "\n")))
}

// canonicalize builds the text for the request, or says why it cannot be
// trusted to mean the same to client and server.
func canonicalize(r *http.Request, a authorization, body []byte) (c canonical, err *Error) {
	c.method = r.Method
	c.signedHeaders = strings.Join(a.signedHeaders, ";")
	if c.path, err = canonicalPath(r.URL); err != nil {
		return c, err
	}
	if c.query, err = canonicalQuery(r.URL.RawQuery, a.variant); err != nil {
		return c, err
	}
	if c.headers, err = canonicalHeaders(r, a, body); err != nil {
		return c, err
	}
	c.bodyHash, err = bodyHash(r.Header, body)
	return c, err
}

// canonicalPath is the path, each segment escaped, with a slash at its end,
// whether or not the request had one there.
func canonicalPath(u *url.URL) (string, *Error) {
	// Clients escape the decoded path, so "a%2Fb" and "a/b" sign alike while
	// a router may tell them apart. No path of ours needs the former.
	if strings.Contains(strings.ToLower(u.RawPath), "%2f") {
		return "", refuse(BadSignature, "a signed path must not hold an escaped slash")
	}
	segments := strings.Split(u.Path, "/")
	for i, s := range segments {
		segments[i] = escape(s)
	}
	path := strings.Join(segments, "/")
	if !strings.HasSuffix(path, "/") {
		path += "/"
	}
	return path, nil
}

// canonicalQuery sorts and escapes the query.
func canonicalQuery(raw string, v variant) (string, *Error) {
	if raw == "" {
		return "", nil
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return "", refuse(BadSignature, "the query cannot be parsed")
	}
	keys := make([]string, 0, len(values))
	for key, of := range values {
		if v == scoped && len(of) > 1 {
			// This variant signs the first value only; the others could be
			// anyone's.
			return "", refuse(BadSignature, "a query key comes twice, and only its first value is signed")
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	if v == scoped {
		slices.SortStableFunc(keys, func(a, b string) int {
			return cmp.Compare(strings.ToLower(escape(a)), strings.ToLower(escape(b)))
		})
	}
	var b strings.Builder
	for _, key := range keys {
		slices.Sort(values[key])
		for _, value := range values[key] {
			if b.Len() > 0 {
				b.WriteByte('&')
			}
			b.WriteString(escape(key))
			b.WriteByte('=')
			b.WriteString(escape(value))
		}
	}
	return b.String(), nil
}

// canonicalHeaders has one line per signed header, in the signed order.
func canonicalHeaders(r *http.Request, a authorization, body []byte) (string, *Error) {
	var b strings.Builder
	for _, name := range a.signedHeaders {
		value, err := signedValue(r, name, body)
		if err != nil {
			return "", err
		}
		if a.variant == scoped {
			value = squeeze(value)
		} else {
			value = strings.TrimSpace(value)
		}
		b.WriteString(name)
		b.WriteByte(':')
		b.WriteString(value)
		b.WriteByte('\n')
	}
	return b.String(), nil
}

func signedValue(r *http.Request, name string, body []byte) (string, *Error) {
	if name == "host" { // net/http takes it out of the headers
		return r.Host, nil
	}
	values := r.Header.Values(name)
	switch {
	case len(values) == 1:
		return values[0], nil
	case len(values) > 1:
		// No client of ours repeats a header, and whose value is read where
		// is not settled between the variants.
		return "", refuse(BadSignature, "the signed header "+name+" comes more than once")
	case name == "content-length":
		return strconv.Itoa(len(body)), nil
	}
	return "", refuse(BadSignature, "the signed header "+name+" is missing")
}

// squeeze makes one blank of every run of white space.
func squeeze(s string) string {
	var b strings.Builder
	blank := false
	for _, r := range s {
		if strings.ContainsRune(" \t\n\f\r", r) {
			if !blank {
				b.WriteByte(' ')
			}
			blank = true
			continue
		}
		blank = false
		b.WriteRune(r)
	}
	return b.String()
}

// bodyHash hashes the body. A client may state the hash itself; its spelling
// is then what was signed, but only if it is true: UNSIGNED-PAYLOAD would let
// anyone who has seen a request send another body with it.
func bodyHash(h http.Header, body []byte) (string, *Error) {
	hash := hexHash(body)
	stated := h.Values("X-Sdk-Content-Sha256")
	switch {
	case len(stated) == 0:
		return hash, nil
	case len(stated) == 1 && strings.EqualFold(stated[0], hash):
		return stated[0], nil
	case len(stated) == 1 && stated[0] == "UNSIGNED-PAYLOAD":
		return "", refuse(BadSignature, "the body must be signed")
	}
	return "", refuse(BadSignature, "X-Sdk-Content-Sha256 is not the hash of the body")
}

func hexHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// escape percent-encodes all but letters, digits and -_.~ of RFC 3986.
func escape(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}
