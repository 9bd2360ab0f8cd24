package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"dialtone/internal/secret"
)

// maxAnswer bounds what is read of Keystone's answers; without the catalog
// they have a few kilobytes.
const maxAnswer = 1 << 20

// renewBefore is how long before its end our own token is replaced.
const renewBefore = 5 * time.Minute

// described is the part of Keystone's description of a token that we read.
type described struct {
	Token struct {
		ExpiresAt time.Time `json:"expires_at"`
		Project   *struct {
			ID string `json:"id"`
		} `json:"project"`
		Roles []struct {
			Name string `json:"name"`
		} `json:"roles"`
		User struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		} `json:"user"`
	} `json:"token"`
}

func unavailable(reason string, cause error) *Error {
	return &Error{Kind: Unavailable, Reason: reason, cause: cause}
}

// validate asks Keystone about the token. If our own token is refused it is
// renewed, once.
func (k *keystone) validate(ctx context.Context, token secret.Text) (subject, *Error) {
	for attempt := 1; ; attempt++ {
		own, err := k.ownToken(ctx)
		if err != nil {
			return subject{}, unavailable("the identity service does not know us", err)
		}
		status, body, err := k.getToken(ctx, own, token)
		switch {
		case err != nil:
			return subject{}, unavailable("the identity service cannot be reached", err)
		case status == http.StatusOK:
			return k.read(body)
		case status == http.StatusNotFound:
			return subject{}, refuse(BadToken, "the token is unknown or has expired")
		case status == http.StatusUnauthorized && attempt == 1 && k.config.Password.IsSet():
			k.own.discard(own)
		default:
			return subject{}, unavailable("the identity service did not answer the question", fmt.Errorf("GET /v3/auth/tokens: status %d", status))
		}
	}
}

// getToken sends the question; a bodyless status other than 200 is an answer.
func (k *keystone) getToken(ctx context.Context, own, token secret.Text) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.config.URL+"/v3/auth/tokens?nocatalog=any", http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("X-Auth-Token", own.Reveal())
	req.Header.Set("X-Subject-Token", token.Reveal())
	status, _, body, err := k.do(req)
	return status, body, err
}

// do sends a request and reads a bounded answer. net/http refuses header
// values with control characters without quoting them.
func (k *keystone) do(req *http.Request) (int, http.Header, []byte, error) {
	req.Header.Set("Accept", "application/json")
	resp, err := k.client.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }() // the answer is already here
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return 0, nil, nil, err
	}
	if len(body) > maxAnswer {
		return 0, nil, nil, errors.New("the answer is too long")
	}
	return resp.StatusCode, resp.Header, body, nil
}

// read turns Keystone's description into a subject. A token that is good for
// no project is bound to none, which fits no path.
func (k *keystone) read(body []byte) (subject, *Error) {
	var d described
	if err := json.Unmarshal(body, &d); err != nil {
		// The decoder's text may quote what it read.
		return subject{}, unavailable("the identity service gave an unreadable answer", errors.New("GET /v3/auth/tokens: not the JSON of a token"))
	}
	t := d.Token
	if t.ExpiresAt.IsZero() {
		return subject{}, unavailable("the identity service gave an unreadable answer", errors.New("GET /v3/auth/tokens: no expires_at"))
	}
	if !k.now().Before(t.ExpiresAt) {
		return subject{}, refuse(TokenExpired, "the token has expired")
	}
	s := subject{user: t.User.ID, grant: grant{expires: t.ExpiresAt}}
	if s.user == "" {
		s.user = t.User.Name
	}
	// AnyProject is ours; no answer from outside may mean it.
	if t.Project != nil && t.Project.ID != "" && t.Project.ID != AnyProject {
		s.projects = []string{t.Project.ID}
	}
	for _, role := range t.Roles {
		if role.Name != "" {
			s.roles = append(s.roles, role.Name)
		}
	}
	return s, nil
}

// ownToken returns our service token, got or renewed where needed.
func (k *keystone) ownToken(ctx context.Context) (secret.Text, error) {
	if k.config.Token.IsSet() {
		return k.config.Token, nil
	}
	k.own.Lock()
	defer k.own.Unlock()
	if k.own.text.IsSet() && k.now().Before(k.own.renewAt) {
		return k.own.text, nil
	}
	if err := ctx.Err(); err != nil {
		return secret.Text{}, err // our time went by in the queue for the lock
	}
	text, expires, err := k.login(ctx)
	if err != nil {
		return secret.Text{}, err
	}
	k.own.text = text
	k.own.renewAt = renewal(k.now(), expires)
	return text, nil
}

// renewal is some minutes before the end, or half-way for short lives.
func renewal(now, expires time.Time) time.Time {
	left := expires.Sub(now)
	return expires.Add(-min(renewBefore, left/2))
}

// discard forgets a token that Keystone refused, unless it is replaced already.
func (s *serviceToken) discard(refused secret.Text) {
	s.Lock()
	defer s.Unlock()
	if s.text.Equal(refused) {
		s.text = secret.Text{}
	}
}

// login gets a token of our own with user and password.
func (k *keystone) login(ctx context.Context) (secret.Text, time.Time, error) {
	body, err := k.loginBody()
	if err != nil {
		return secret.Text{}, time.Time{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.config.URL+"/v3/auth/tokens?nocatalog=any", bytes.NewReader(body))
	if err != nil {
		return secret.Text{}, time.Time{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	status, header, answer, err := k.do(req)
	if err != nil {
		return secret.Text{}, time.Time{}, err
	}
	if status != http.StatusCreated {
		return secret.Text{}, time.Time{}, fmt.Errorf("POST /v3/auth/tokens: status %d", status)
	}
	var d described
	token := secret.New(header.Get("X-Subject-Token"))
	if json.Unmarshal(answer, &d) != nil || !token.IsSet() || !k.now().Before(d.Token.ExpiresAt) {
		return secret.Text{}, time.Time{}, errors.New("POST /v3/auth/tokens: no usable token in the answer")
	}
	return token, d.Token.ExpiresAt, nil
}

func (k *keystone) loginBody() ([]byte, error) {
	type named struct {
		Name string `json:"name"`
	}
	type scopedProject struct {
		Name   string `json:"name"`
		Domain named  `json:"domain"`
	}
	type scope struct {
		Project scopedProject `json:"project"`
	}
	var request struct {
		Auth struct {
			Identity struct {
				Methods  []string `json:"methods"`
				Password struct {
					User struct {
						Name     string `json:"name"`
						Password string `json:"password"`
						Domain   named  `json:"domain"`
					} `json:"user"`
				} `json:"password"`
			} `json:"identity"`
			Scope *scope `json:"scope,omitempty"`
		} `json:"auth"`
	}
	request.Auth.Identity.Methods = []string{"password"}
	user := &request.Auth.Identity.Password.User
	user.Name, user.Domain.Name = k.config.User, k.config.Domain
	user.Password = k.config.Password.Reveal()
	if k.config.Project != "" {
		request.Auth.Scope = &scope{scopedProject{k.config.Project, named{k.config.Domain}}}
	}
	return json.Marshal(request)
}
