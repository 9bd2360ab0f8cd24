package auth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"dialtone/internal/sabotage"
	"dialtone/internal/secret"
)

// maxToken bounds X-Auth-Token and X-Security-Token: real ones have several
// kilobytes, and what is longer is not worth a hash.
const maxToken = 32 << 10

// Config says what a Verifier checks against.
type Config struct {
	// File lists tokens and access keys. It may be nil if Keystone is set.
	File *File
	// Keystone, if set, is asked about tokens that the file does not list.
	Keystone *KeystoneConfig
	// MaxSkew is how far the time in a signature may be from ours, either
	// way. Default 15 minutes, which is what clients are made for.
	MaxSkew time.Duration
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Verifier authenticates requests. It is safe for concurrent use, also while
// it reloads.
type Verifier struct {
	index    atomic.Pointer[index]
	keystone *keystone
	maxSkew  time.Duration
	now      func() time.Time
}

// New returns a Verifier, or every fault of the configuration at once.
func New(c Config) (*Verifier, error) {
	v := &Verifier{maxSkew: cmp.Or(c.MaxSkew, 15*time.Minute), now: c.Now}
	if v.now == nil {
		v.now = time.Now
	}
	var errs []error
	if c.MaxSkew < 0 {
		errs = append(errs, errors.New("auth: MaxSkew is negative"))
	}
	if c.File == nil && c.Keystone == nil {
		errs = append(errs, errors.New("auth: neither a list of credentials nor a Keystone: nobody could call"))
	}
	file := c.File
	if file == nil {
		file = &File{}
	}
	if err := v.Replace(file); err != nil {
		errs = append(errs, err)
	}
	if c.Keystone != nil {
		k, err := newKeystone(*c.Keystone, v.now)
		if err != nil {
			errs = append(errs, err)
		}
		v.keystone = k
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return v, nil
}

// Replace swaps the list of credentials at once for all requests, or, if the
// new one has faults, keeps the old one and returns a *FileError.
func (v *Verifier) Replace(f *File) error {
	var found problems
	idx := f.build(&found)
	if err := found.err(); err != nil {
		return err
	}
	v.index.Store(idx)
	return nil
}

// Reload replaces the list by the one at path, see Load; on any error the old
// one stays in force.
func (v *Verifier) Reload(path string, box *secret.Box) error {
	f, err := Load(path, box)
	if err != nil {
		return err
	}
	return v.Replace(f)
}

// Close drops idle connections to Keystone.
func (v *Verifier) Close() {
	if v.keystone != nil {
		v.keystone.client.CloseIdleConnections()
	}
}

// Verify says who sent r, whose body, as received, is body, on behalf of the
// project in its path. A refusal is an *Error. Where a signature and a token
// come together the signature decides. A signed request can be sent again by
// whoever has seen it until its time is MaxSkew old: the scheme has no nonce,
// and clients depend on that; TLS is what keeps others from seeing it.
func (v *Verifier) Verify(ctx context.Context, r *http.Request, body []byte, project string) (Caller, error) {
	c, err := credentialOf(r.Header)
	switch {
	case err != nil:
		return Caller{}, err
	case c.signature != "":
		return wrap(v.verifySigned(r, c.signature, body, project))
	default:
		return wrap(v.verifyToken(ctx, c.token, project))
	}
}

// Precheck refuses with an *Error what Verify would refuse whatever the body
// is, so that nobody has to read a stranger's body: all that is wrong with a
// token, and of a signature its form, its time and its access key. It is no
// proof: call Verify as well. How soon a refusal comes tells whether an access
// key exists, as its text does not; access keys are no secrets.
func (v *Verifier) Precheck(ctx context.Context, r *http.Request, project string) error {
	c, err := credentialOf(r.Header)
	if err != nil {
		return err
	}
	if c.signature == "" {
		_, err := wrap(v.verifyToken(ctx, c.token, project))
		return err
	}
	if _, err := v.claimed(r.Header, c.signature); err != nil {
		return err
	}
	return nil
}

// credential is what a request comes with: a signature, which then decides,
// or a token.
type credential struct{ signature, token string }

func credentialOf(h http.Header) (credential, error) {
	if authorizations := h.Values("Authorization"); len(authorizations) > 0 && isSignature(authorizations[0]) {
		if len(authorizations) > 1 {
			return credential{}, refuse(BadSignature, "more than one Authorization header")
		}
		return credential{signature: authorizations[0]}, nil
	}
	tokens := h.Values("X-Auth-Token")
	switch {
	case len(tokens) == 0 || len(tokens) == 1 && tokens[0] == "":
		return credential{}, refuse(NoCredential, "neither X-Auth-Token nor a signature")
	case len(tokens) > 1:
		return credential{}, refuse(BadToken, "more than one X-Auth-Token header")
	}
	return credential{token: tokens[0]}, nil
}

// wrap keeps a nil *Error from becoming an error that is not nil.
func wrap(c Caller, err *Error) (Caller, error) {
	if err != nil {
		return Caller{}, err
	}
	return c, nil
}

func (v *Verifier) verifyToken(ctx context.Context, text, project string) (Caller, *Error) {
	text = strings.TrimSpace(text)
	if len(text) > maxToken {
		return Caller{}, refuse(BadToken, "the token is too long")
	}
	hash := sha256.Sum256([]byte(text))
	// The map is reached by the hash, so what its timing could tell is about
	// the hash, from which nobody gets to a token; the deciding comparison is
	// in constant time none the less.
	t, listed := v.index.Load().tokens[hash]
	if listed && subtle.ConstantTimeCompare(t.hash[:], hash[:]) == 1 {
		return v.admit(t.grant, project, t.name, MethodToken)
	}
	if v.keystone == nil {
		return Caller{}, refuse(BadToken, "the token is not known")
	}
	s, err := v.keystone.lookup(ctx, hash, secret.New(text))
	if err != nil {
		return Caller{}, err
	}
	return v.admit(s.grant, project, s.user, MethodKeystone)
}

// admit turns a proven credential into a caller, if it is good for the project.
func (v *Verifier) admit(g grant, project, subject string, method Method) (Caller, *Error) {
	switch {
	case g.expired(v.now()):
		return Caller{}, refuse(TokenExpired, "the credential has expired")
	case project == "" || !g.admits(project) && !sabotage.On(sabotage.SkipProject):
		return Caller{}, refuse(ProjectMismatch, "the credential is for another project")
	case len(g.roles) == 0:
		return Caller{}, refuse(NoRoles, "the token carries no role")
	}
	return Caller{Project: project, Roles: slices.Clone(g.roles), Subject: subject, Method: method}, nil
}
