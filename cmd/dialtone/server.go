package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"dialtone/internal/api/client"
	"dialtone/internal/probe"
)

// serverTimeout bounds one batch: a server answers within 120 s, or its
// callers have gone.
const serverTimeout = 125 * time.Second

// server is a running dialtone.
type server struct {
	client   *client.ClientWithResponses
	project  string
	language probe.Language
	host     string
	// close ends connections that nothing uses any more.
	close func()
}

// openServer makes the client of --server. It connects to nothing.
func (t *testCommand) openServer(c console) (*server, error) {
	u, err := url.Parse(t.Server)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("--server must be http://HOST:PORT or https://HOST:PORT") // the parser's text repeats it
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	if t.ServerCA != "" {
		pem, err := os.ReadFile(t.ServerCA)
		if err != nil {
			return nil, fmt.Errorf("--server-ca-file: %w", nameless(err))
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, errors.New("--server-ca-file: there is no PEM certificate in it")
		}
		transport.TLSClientConfig.RootCAs = roots
	}
	if c.stderr != nil && u.Scheme == "http" && !local(u.Hostname()) {
		c.note("dialtone: the token and the passwords travel unencrypted: use https for a server on another machine")
	}
	calls, err := client.NewClientWithResponses(u.String(),
		client.WithHTTPClient(&http.Client{
			Transport: transport,
			// A redirect would carry the token and the passwords elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}),
		client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
			if t.Token.IsSet() {
				r.Header.Set("X-Auth-Token", t.Token.Reveal())
			}
			return nil
		}))
	if err != nil {
		return nil, errors.New("--server is not a URL that can be called")
	}
	return &server{client: calls, project: t.Project, language: probe.Language(t.Language), host: u.Host, close: transport.CloseIdleConnections}, nil
}

// local says whether a host is this machine.
func local(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// unreachable is a call that got no answer. The URL in the library's error
// names project and batch, which says nothing to the user.
func (s *server) unreachable(err error) error {
	if at, ok := errors.AsType[*url.Error](err); ok {
		err = at.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("server %s: no answer within %s", s.host, serverTimeout)
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("server %s cannot be reached: %w", s.host, err)
	}
	return fmt.Errorf("server %s: %w", s.host, err)
}

// refused is an answer other than the one hoped for, as the server explains
// it. source names the entry of an index.
func (s *server) refused(answer *http.Response, body []byte, source func(int) string) error {
	var told client.Error
	if json.Unmarshal(body, &told) != nil || told.ErrorCode == "" {
		return fmt.Errorf("server %s answered %s, which is no answer of a dialtone", s.host, printable(answer.Status))
	}
	text := fmt.Sprintf("server %s answered %s: %s %s", s.host, printable(answer.Status), printable(told.ErrorCode), printable(told.ErrorMsg))
	if len(told.Problems) > 0 {
		text = fmt.Sprintf("server %s answered %s: %s", s.host, printable(answer.Status), printable(told.ErrorCode))
	}
	lines := []string{text}
	for _, p := range told.Problems {
		lines = append(lines, "  "+place(p.Path, source)+printable(p.ErrorMsg))
	}
	if told.RequestID != "" {
		lines = append(lines, "  request "+printable(told.RequestID))
	}
	if hint := s.hint(answer.StatusCode); hint != "" {
		lines = append(lines, "  "+hint)
	}
	err := errors.New(strings.Join(lines, "\n"))
	switch answer.StatusCode {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge:
		return usageError{err}
	default:
		return err
	}
}

// hint says what to do about a status.
func (s *server) hint(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "give its token with DIALTONE_TOKEN, DIALTONE_TOKEN_FILE or --token"
	case http.StatusForbidden, http.StatusNotFound:
		return "see whether --project is one that the token may use"
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return "try again later"
	default:
		return ""
	}
}

// place puts the name of an entry before what is said of its path.
func place(path string, source func(int) string) string {
	var i int
	if source == nil {
		return ""
	}
	if _, err := fmt.Sscanf(path, "jobs[%d]", &i); err != nil || source(i) == "" {
		return ""
	}
	return source(i) + ": "
}
