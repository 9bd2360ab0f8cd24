package auth

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"time"

	"dialtone/internal/sabotage"
	"dialtone/internal/secret"
)

// dateLayout is that of X-Sdk-Date, always UTC.
const dateLayout = "20060102T150405Z"

// claim is what a signed request says of itself, nothing of it proven.
type claim struct {
	authorization
	date string
	key  *accessKey
}

// claimed reads what can be told without the body, in order of cost.
func (v *Verifier) claimed(h http.Header, header string) (claim, *Error) {
	a, err := parseAuthorization(header)
	if err != nil {
		return claim{}, err
	}
	date, err := v.signedDate(h, a)
	if err != nil {
		return claim{}, err
	}
	key, known := v.index.Load().keys[a.accessKey]
	if !known {
		return claim{}, refuse(UnknownKey, "the access key is not known")
	}
	return claim{a, date, key}, nil
}

// verifySigned checks in order of cost: shape and time first, the body's hash
// only for a key that exists, the project only once the key is proven.
func (v *Verifier) verifySigned(r *http.Request, header string, body []byte, project string) (Caller, *Error) {
	said, err := v.claimed(r.Header, header)
	if err != nil {
		return Caller{}, err
	}
	a, date, key := said.authorization, said.date, said.key
	c, err := canonicalize(r, a, body)
	if err != nil {
		return Caller{}, err
	}
	if !a.matches(key.secret, date, c) && !a.matchesQueryAsBody(key.secret, date, c, r, body) {
		return Caller{}, refuse(BadSignature, "the signature is not that of this request")
	}
	if err := checkSecurityToken(r.Header, key); err != nil {
		return Caller{}, err
	}
	// Some clients leave X-Project-Id unsigned, so it proves nothing; but one
	// that names another project than the path is a mistake to report.
	for _, id := range r.Header.Values("X-Project-Id") {
		if id != project {
			return Caller{}, refuse(ProjectMismatch, "X-Project-Id is not the project of the path")
		}
	}
	return v.admit(key.grant, project, key.id, MethodSignature)
}

// signedDate returns X-Sdk-Date if it is well formed, near our clock and the
// day of the credential's scope.
func (v *Verifier) signedDate(h http.Header, a authorization) (string, *Error) {
	dates := h.Values("X-Sdk-Date")
	if len(dates) != 1 {
		return "", refuse(BadSignature, "X-Sdk-Date must come once")
	}
	at, err := time.Parse(dateLayout, dates[0])
	if err != nil {
		return "", refuse(BadSignature, "X-Sdk-Date is not of the form 20060102T150405Z")
	}
	if a.variant != plain && a.date != dates[0][:8] {
		return "", refuse(BadSignature, "the credential is for another day than X-Sdk-Date")
	}
	if v.now().Sub(at).Abs() > v.maxSkew && !sabotage.On(sabotage.SkipSignatureTime) {
		return "", refuse(ClockSkew, "X-Sdk-Date is too far from the server's clock")
	}
	return dates[0], nil
}

// matches says whether the signature is the one that the key makes for c.
func (a *authorization) matches(sk secret.Text, date string, c canonical) bool {
	var key []byte
	var toSign string
	switch a.variant {
	case plain:
		key = []byte(sk.Reveal())
		toSign = strings.Join([]string{algorithmSDK, date, c.hash()}, "\n")
	case derived:
		raw, err := hkdf.Key(sha256.New, []byte(sk.Reveal()), []byte(a.accessKey), a.scope(), sha256.Size)
		if err != nil {
			return false
		}
		key = []byte(hex.EncodeToString(raw)) // the text, not the bytes, is the key
		toSign = strings.Join([]string{algorithmV11, date, a.scope(), c.hash()}, "\n")
	case scoped:
		key = []byte("SDK" + sk.Reveal())
		for _, part := range []string{a.date, a.region, a.service, "sdk_request"} {
			key = mac(key, part)
		}
		toSign = strings.Join([]string{algorithmSDK, date, a.scope(), c.hash()}, "\n")
	}
	return hmac.Equal(mac(key, toSign), a.signature[:])
}

// matchesQueryAsBody is for a habit of the scoped variant: a POST without a
// body hashes its query in place of the body and leaves the query line empty.
// A JSON body can never read as such a query, so the two cannot be confused.
func (a *authorization) matchesQueryAsBody(sk secret.Text, date string, c canonical, r *http.Request, body []byte) bool {
	if a.variant != scoped || r.Method != http.MethodPost || len(body) > 0 || r.Header.Get("X-Sdk-Content-Sha256") != "" {
		return false
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return false
	}
	c.query = ""
	c.bodyHash = hexHash([]byte(values.Encode()))
	return a.matches(sk, date, c)
}

// checkSecurityToken makes sure that the parts of a temporary key belong
// together, and that a permanent one is not dressed up as temporary.
func checkSecurityToken(h http.Header, key *accessKey) *Error {
	tokens := h.Values("X-Security-Token")
	switch {
	case !key.temporary && len(tokens) == 0:
		return nil
	case len(tokens) != 1 || len(tokens[0]) > maxToken:
		return refuse(BadSignature, "X-Security-Token must come once with a temporary access key")
	}
	hash := sha256.Sum256([]byte(tokens[0]))
	if !key.temporary || subtle.ConstantTimeCompare(hash[:], key.securityToken[:]) != 1 {
		return refuse(BadSignature, "X-Security-Token does not belong to the access key")
	}
	return nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
