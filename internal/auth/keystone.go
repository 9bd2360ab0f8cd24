package auth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"dialtone/internal/secret"
)

// KeystoneConfig says where Keystone v3 is and as whom we ask it.
type KeystoneConfig struct {
	// URL is its address, with or without /v3 at the end.
	URL string
	// Token is our own service token. It may be left out if User and
	// Password are given, with which we then get one and renew it in time.
	Token secret.Text
	// User, Password, the user's Domain and the Project to which our token is
	// scoped, all by name. Domain has the default "Default"; Project may be
	// empty.
	User     string
	Password secret.Text
	Domain   string
	Project  string
	// CacheFor is how long a token that Keystone confirmed is believed, never
	// beyond its end: the longest time for which a revoked token still works.
	// Default 60 seconds.
	CacheFor time.Duration
	// RefuseFor is how long an unknown token is refused without asking again.
	// Default 5 seconds.
	RefuseFor time.Duration
	// CacheSize bounds how many tokens are remembered, confirmed and refused
	// ones each. Default 10000.
	CacheSize int
	// Timeout bounds one answer, with everything that it takes. Default 5
	// seconds.
	Timeout time.Duration
	// Transport carries the requests. Default: one of its own with at most 32
	// connections, the bound on what we ask at once.
	Transport http.RoundTripper
}

// subject is what Keystone says of a token.
type subject struct {
	user string
	grant
}

// answer is a remembered subject or refusal.
type answer struct {
	subject subject
	refusal *Error
}

// keystone asks about tokens, each once at a time, and remembers.
type keystone struct {
	config   KeystoneConfig
	client   *http.Client
	now      func() time.Time
	good     *cache
	bad      *cache
	inFlight singleflight.Group

	own serviceToken
}

// serviceToken is our own token; the lock is held while it is renewed, so that
// one renewal serves all.
type serviceToken struct {
	sync.Mutex
	text    secret.Text
	renewAt time.Time
}

func newKeystone(c KeystoneConfig, now func() time.Time) (*keystone, error) {
	var errs []error
	base, err := url.Parse(c.URL)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		errs = append(errs, errors.New("auth: the Keystone URL must be http(s)://host[:port][/path], without user or query"))
	}
	switch {
	case c.Token.IsSet() && (c.User != "" || c.Password.IsSet()):
		errs = append(errs, errors.New("auth: Keystone takes either a service token or user and password"))
	case !c.Token.IsSet() && (c.User == "" || !c.Password.IsSet()):
		errs = append(errs, errors.New("auth: Keystone needs a service token, or user and password"))
	}
	if c.CacheFor < 0 || c.RefuseFor < 0 || c.Timeout < 0 || c.CacheSize < 0 {
		errs = append(errs, errors.New("auth: a Keystone time or size is negative"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c.URL = strings.TrimSuffix(strings.TrimSuffix(c.URL, "/"), "/v3")
	c.Domain = cmp.Or(c.Domain, "Default")
	c.CacheFor = cmp.Or(c.CacheFor, time.Minute)
	c.RefuseFor = cmp.Or(c.RefuseFor, 5*time.Second)
	c.CacheSize = cmp.Or(c.CacheSize, 10_000)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	if c.Transport == nil {
		c.Transport = &http.Transport{
			MaxConnsPerHost:       32,
			MaxIdleConnsPerHost:   8,
			IdleConnTimeout:       time.Minute,
			ResponseHeaderTimeout: c.Timeout,
		}
	}
	return &keystone{
		config: c,
		now:    now,
		good:   newCache(c.CacheSize),
		bad:    newCache(c.CacheSize),
		client: &http.Client{
			Transport: c.Transport,
			// A redirect would carry tokens to an address that nobody set.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		own: serviceToken{text: c.Token},
	}, nil
}

// lookup says whose the token is. The subject it returns may have expired
// since; the caller checks, as for tokens of the file.
func (k *keystone) lookup(ctx context.Context, hash [sha256.Size]byte, token secret.Text) (subject, *Error) {
	if a, ok := k.remembered(hash); ok {
		return a.subject, a.refusal
	}
	// The question outlives the request that put it, because others wait for
	// the same answer; its own deadline bounds it.
	shared := context.WithoutCancel(ctx)
	result := k.inFlight.DoChan(string(hash[:]), func() (any, error) {
		if a, ok := k.remembered(hash); ok {
			return a, nil
		}
		ctx, cancel := context.WithTimeout(shared, k.config.Timeout)
		defer cancel()
		return k.ask(ctx, hash, token), nil
	})
	select {
	case r := <-result:
		a, ok := r.Val.(answer)
		if !ok {
			return subject{}, refuse(Unavailable, "the identity service gave no answer")
		}
		return a.subject, a.refusal
	case <-ctx.Done():
		return subject{}, &Error{Kind: Unavailable, Reason: "the request ended before the identity service answered", cause: ctx.Err()}
	}
}

func (k *keystone) remembered(hash [sha256.Size]byte) (answer, bool) {
	now := k.now()
	if a, ok := k.good.get(hash, now); ok {
		return a, true
	}
	return k.bad.get(hash, now)
}

// ask puts the question and remembers what it learned; that Keystone could
// not be asked is nothing to remember.
func (k *keystone) ask(ctx context.Context, hash [sha256.Size]byte, token secret.Text) answer {
	s, refusal := k.validate(ctx, token)
	now := k.now()
	switch {
	case refusal == nil:
		until := now.Add(k.config.CacheFor)
		if s.expires.Before(until) {
			until = s.expires
		}
		k.good.put(hash, answer{subject: s}, until, now)
	case refusal.Kind != Unavailable:
		k.bad.put(hash, answer{refusal: refusal}, now.Add(k.config.RefuseFor), now)
	}
	return answer{s, refusal}
}
