package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// Bounds on an Authorization header; real ones have about 250 bytes and six
// signed headers.
const (
	maxAuthorization = 8 << 10
	maxSignedHeaders = 64
)

// The algorithm names on the wire. The first is shared by two variants.
const (
	algorithmSDK = "SDK-HMAC-SHA256"
	algorithmV11 = "V11-HMAC-SHA256"
)

// variant is one of the signature schemes in use.
type variant int

const (
	// plain: SDK-HMAC-SHA256 with Access=, the official SDKs' default.
	plain variant = iota
	// derived: V11-HMAC-SHA256 with Credential=ak/date/region/service.
	derived
	// scoped: SDK-HMAC-SHA256 with Credential=ak/date/region/service/sdk_request.
	scoped
)

// authorization is a parsed Authorization header.
type authorization struct {
	variant   variant
	accessKey string
	// date, region and service are set unless the variant is plain; region
	// and service may be empty if it is scoped.
	date, region, service string
	signedHeaders         []string
	signature             [sha256.Size]byte
}

// isSignature says whether an Authorization header claims to hold a signature
// of this family, be it one that we know or not. Others (Basic, Bearer) are
// no business of ours: a proxy may have its own.
func isSignature(header string) bool {
	return strings.HasPrefix(header, "SDK-") || strings.HasPrefix(header, "V11-")
}

func malformed(reason string) (authorization, *Error) {
	return authorization{}, refuse(BadSignature, "Authorization header: "+reason)
}

// parseAuthorization reads the header strictly: three fields, each once, and
// no combination of algorithm and credential but the three variants, so that
// a signature of one kind is never checked as another.
func parseAuthorization(header string) (authorization, *Error) {
	if len(header) > maxAuthorization {
		return malformed("too long")
	}
	algorithm, rest, _ := strings.Cut(header, " ")
	if algorithm != algorithmSDK && algorithm != algorithmV11 {
		return malformed("the algorithm is not supported")
	}
	fields, reason := parseFields(rest)
	if reason != "" {
		return malformed(reason)
	}
	var a authorization
	access, isAccess := fields["Access"]
	credential, isCredential := fields["Credential"]
	switch {
	case isAccess && !isCredential && algorithm == algorithmSDK:
		a.accessKey = access
	case isCredential && !isAccess:
		if !a.parseCredential(algorithm, credential) {
			return malformed("the credential does not fit the algorithm")
		}
	default:
		return malformed("the credential does not fit the algorithm")
	}
	if !validAccessKeyID(a.accessKey) {
		return malformed("the access key is malformed")
	}
	a.signedHeaders, reason = parseSignedHeaders(fields["SignedHeaders"])
	if reason != "" {
		return malformed(reason)
	}
	signature, err := hex.DecodeString(fields["Signature"])
	if err != nil || len(signature) != sha256.Size {
		return malformed("the signature is not 64 hexadecimal digits")
	}
	a.signature = [sha256.Size]byte(signature)
	return a, nil
}

// parseFields splits "A=x, B=y, C=z" and demands exactly three names.
func parseFields(text string) (fields map[string]string, reason string) {
	fields = make(map[string]string, 3)
	if strings.Count(text, ",") != 2 {
		return nil, "it needs a credential, SignedHeaders and Signature"
	}
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(strings.Trim(part, " "), "=")
		if !ok {
			return nil, "a field has no value"
		}
		switch name {
		case "Access", "Credential", "SignedHeaders", "Signature":
		default:
			return nil, "a field is not known"
		}
		if _, twice := fields[name]; twice {
			return nil, "a field comes twice"
		}
		fields[name] = value
	}
	return fields, ""
}

// parseCredential reads the scope and sets the variant.
func (a *authorization) parseCredential(algorithm, credential string) bool {
	parts := strings.Split(credential, "/")
	switch {
	case algorithm == algorithmV11 && len(parts) == 4:
		a.variant = derived
	case algorithm == algorithmSDK && len(parts) == 5 && parts[4] == "sdk_request":
		a.variant = scoped
	default:
		return false
	}
	a.accessKey, a.date, a.region, a.service = parts[0], parts[1], parts[2], parts[3]
	if a.variant == derived && (a.region == "" || a.service == "") {
		return false
	}
	return len(a.date) == 8 && isScopeWord(a.region) && isScopeWord(a.service)
}

// scope is the credential's tail, as it is signed.
func (a *authorization) scope() string {
	scope := a.date + "/" + a.region + "/" + a.service
	if a.variant == scoped {
		scope += "/sdk_request"
	}
	return scope
}

func parseSignedHeaders(text string) (names []string, reason string) {
	if strings.Count(text, ";") >= maxSignedHeaders {
		return nil, "too many signed headers"
	}
	names = strings.Split(text, ";")
	for i, name := range names {
		if !isHeaderName(name) {
			return nil, "a name in SignedHeaders is not that of a header in lower case"
		}
		if slices.Contains(names[:i], name) {
			return nil, "a signed header is named twice"
		}
	}
	if !slices.Contains(names, "x-sdk-date") {
		return nil, "x-sdk-date is not signed"
	}
	return names, ""
}

func isHeaderName(s string) bool {
	return s != "" && len(s) <= 128 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_.!#$%&'*+^`|~") == ""
}

func isScopeWord(s string) bool {
	return len(s) <= 64 && isWord(s)
}

func validAccessKeyID(s string) bool {
	return s != "" && len(s) <= 128 && isWord(s)
}

func isWord(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == ""
}
