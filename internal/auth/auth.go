// Package auth answers who calls: it checks a request's token, against a file
// or a Keystone v3 service, or its access-key signature, and yields a Caller.
// What the caller may do, and how a refusal looks on the wire, it leaves to
// the API.
package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"dialtone/internal/secret"
)

// Method is the way a caller proved who it is.
type Method string

// The ways to prove an identity.
const (
	MethodToken     Method = "token"
	MethodKeystone  Method = "keystone"
	MethodSignature Method = "signature"
)

// Caller is an authenticated caller, acting in one project.
type Caller struct {
	// Project is the project of the request, to which the credential is bound.
	Project string
	// Roles are the names of the caller's roles; never empty.
	Roles []string
	// Subject names the credential in the audit log: the name of a token, the
	// user behind a Keystone token, or an access key. It is not secret.
	Subject string
	// Method says how the caller proved it.
	Method Method
}

// Has says whether the caller has the role.
func (c Caller) Has(role string) bool { return slices.Contains(c.Roles, role) }

// Kind is why a request was refused; a closed set from which the API derives
// status and code.
type Kind string

// The kinds of refusal.
const (
	// NoCredential: neither a token nor a signature came with the request.
	NoCredential Kind = "no_credential" //nolint:gosec // G101: the name of a refusal
	// BadToken: the token is unknown, malformed or revoked.
	BadToken Kind = "bad_token"
	// TokenExpired: the token, or a temporary access key, is past its end.
	TokenExpired Kind = "token_expired"
	// BadSignature: the signature is wrong, malformed, or made for another
	// request.
	BadSignature Kind = "bad_signature"
	// UnknownKey: the access key is not known. Answer it as BadSignature, or
	// callers learn which access keys exist.
	UnknownKey Kind = "unknown_key"
	// ClockSkew: the request was signed too long ago, or in the future.
	ClockSkew Kind = "clock_skew"
	// ProjectMismatch: the credential is good, for another project.
	ProjectMismatch Kind = "project_mismatch"
	// NoRoles: the token is good and carries no role.
	NoRoles Kind = "no_roles"
	// Unavailable: the identity service cannot be asked; nothing is known
	// about the credential.
	Unavailable Kind = "unavailable"
)

// Error is the only error type that Verify returns. Its text holds no part of
// a credential, of a signature or of what was signed; Reason is fit for the
// caller, the wrapped cause (of Unavailable only) for our log.
type Error struct {
	Kind   Kind
	Reason string
	cause  error
}

// Error gives kind, reason and cause.
func (e *Error) Error() string {
	text := "authenticate: " + string(e.Kind) + ": " + e.Reason
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// Unwrap returns the cause of Unavailable.
func (e *Error) Unwrap() error { return e.cause }

func refuse(kind Kind, reason string) *Error { return &Error{Kind: kind, Reason: reason} }

// HashToken returns the form in which a token is listed: its SHA-256 in
// lower-case hexadecimal digits.
func HashToken(token secret.Text) string {
	sum := sha256.Sum256([]byte(token.Reveal()))
	return hex.EncodeToString(sum[:])
}
