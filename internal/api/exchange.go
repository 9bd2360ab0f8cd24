package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"dialtone/internal/api/wire"
	"dialtone/internal/auth"
	"dialtone/internal/batch"
	"dialtone/internal/probe"
)

// exchange is what is known of a request and its answer.
type exchange struct {
	id       string
	language probe.Language
	caller   auth.Caller
	// client is the address that it came from.
	client string
	// async is set by Prefer: respond-async.
	async bool
	// key is the Idempotency-Key, empty without one.
	key string
	// tree is the checked body, problems what was wrong with it. body is as
	// received, and gone once the tree is there. Both hold secrets in the
	// clear, so whoever waits lets go of the tree.
	body     []byte
	tree     any
	problems []problem
	began    time.Time
	// batch is the batch that the request became, for the access log.
	batch string
}

type exchangeKey struct{}

// exchangeOf gives the exchange of a request's context.
func exchangeOf(ctx context.Context) *exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return &exchange{language: probe.English}
}

// observe is the outermost middleware: it starts the exchange, turns panics
// into errors, renders errors, and writes the access log. Neither the URI nor
// a header nor a body is logged.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		r.Pattern = c.Path() // for the middleware around us, which holds this request
		x := &exchange{id: requestID(r.Header), language: language(r.Header), async: prefersAsync(r.Header), key: r.Header.Get("Idempotency-Key"), client: clientOf(r, s.cfg.Proxies), began: time.Now()}
		c.SetRequest(r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)))
		c.Response().Header().Set("X-Request-Id", x.id)
		c.Response().Header().Set("X-Content-Type-Options", "nosniff")

		if err := s.guarded(next, c); err != nil {
			s.fail(err, c)
		}
		took, status := time.Since(x.began), c.Response().Status
		route := c.Path()
		if status == http.StatusNotFound && !strings.HasPrefix(route, "/") {
			route = ""
		}
		method := knownMethod(r.Method)
		s.parts.Observer.Request(method, route, status, took)
		attrs := []slog.Attr{
			slog.String("request", x.id), slog.String("method", method), slog.String("route", route), slog.Int("status", status),
			slog.Float64("took_ms", float64(took.Microseconds())/1000), slog.String("project", x.caller.Project), slog.String("caller", x.caller.Subject),
			slog.String("client", x.client),
		}
		if x.batch != "" {
			attrs = append(attrs, slog.String("batch", x.batch))
		}
		s.log.LogAttrs(c.Request().Context(), slog.LevelInfo, "request", attrs...)
		return nil
	}
}

// knownMethod keeps metrics from having a series for each word that somebody
// sends as a method.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	default:
		return "OTHER"
	}
}

// guarded runs a handler and turns its panic into an error. The value of a
// panic may hold anything, so only that of the runtime's own is kept.
func (s *Server) guarded(next echo.HandlerFunc, c echo.Context) (err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler { //nolint:errorlint // the sentinel itself is what is thrown
			panic(p)
		}
		what := "panic"
		if e, ok := p.(interface {
			error
			RuntimeError()
		}); ok {
			what = e.Error()
		}
		s.log.LogAttrs(c.Request().Context(), slog.LevelError, "panic in a handler", slog.String("what", what), slog.String("stack", string(debug.Stack())))
		err = errors.New("a handler panicked")
	}()
	return next(c)
}

// requestID takes the caller's id if it is harmless, and makes one otherwise.
func requestID(h http.Header) string {
	id := h.Get("X-Request-Id")
	if id == "" || len(id) > 64 || strings.Trim(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.") != "" {
		return batch.NewID()
	}
	return id
}

// language reads X-Language; what is neither of the two counts as English.
func language(h http.Header) probe.Language {
	if strings.EqualFold(strings.TrimSpace(h.Get("X-Language")), string(probe.Chinese)) {
		return probe.Chinese
	}
	return probe.English
}

// prefersAsync reads Prefer (RFC 7240).
func prefersAsync(h http.Header) bool {
	for _, line := range h.Values("Prefer") {
		for preference := range strings.SplitSeq(line, ",") {
			token, _, _ := strings.Cut(preference, ";")
			if strings.EqualFold(strings.TrimSpace(token), "respond-async") {
				return true
			}
		}
	}
	return false
}

// open says whether a route needs no credentials: the document, and requests
// that no route takes.
func open(c echo.Context) bool { return c.Param("project_id") == "" }

// authenticate says who calls, and whether that caller may do this.
func (s *Server) authenticate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if open(c) {
			return next(c)
		}
		r := c.Request()
		x := exchangeOf(r.Context())
		caller, err := s.parts.Auth.Verify(r.Context(), r, x.body, c.Param("project_id"))
		if err != nil {
			return err
		}
		x.caller = caller
		if !reads(r.Method, c.Path()) && !slices.ContainsFunc(caller.Roles, func(role string) bool { return !slices.Contains(s.cfg.Readers, role) }) {
			return &fault{status: http.StatusForbidden, code: codeNoRight}
		}
		return next(c)
	}
}

// reads says whether a route changes and tests nothing. DRS queries jobs by
// POST.
func reads(method, route string) bool {
	switch {
	case method == http.MethodGet || method == http.MethodHead:
		return true
	case method != http.MethodPost:
		return false
	default:
		return strings.HasSuffix(route, "/jobs") || strings.HasSuffix(route, "/batch-status") || strings.HasSuffix(route, "/batch-detail")
	}
}

// limit slows down projects that ask too much.
func (s *Server) limit(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if open(c) {
			return next(c)
		}
		if after := s.limits.take(exchangeOf(c.Request().Context()).caller.Project, time.Now()); after > 0 {
			return &fault{status: http.StatusTooManyRequests, code: codeThrottled, after: after}
		}
		return next(c)
	}
}

// limitStreams refuses an event stream to a project that has enough.
func (s *Server) limitStreams(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if c.Path() != eventsRoute {
			return next(c)
		}
		project := exchangeOf(c.Request().Context()).caller.Project
		if !s.streams.open(project) {
			return &fault{status: http.StatusTooManyRequests, code: codeThrottled, after: time.Second}
		}
		defer s.streams.end(project)
		return next(c)
	}
}

// read checks parameters and body against the document. What is wrong with the
// body is not answered yet where the handler has rules of its own to add.
func (s *Server) check(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		x := exchangeOf(r.Context())
		operation, ok := s.shapes[r.Method+" "+c.Path()]
		if !ok {
			return next(c)
		}
		if err := refused(operation.checkParameters(c)); err != nil {
			return err
		}
		if operation.body == nil {
			x.body = nil
			return next(c)
		}
		if !isJSON(r.Header) {
			return unsupported(probe.Words{English: "The Content-Type must be application/json.", Chinese: "Content-Type 必须为 application/json"})
		}
		tree, problems, bad := parseTree(x.body, "", s.names)
		empty := strings.TrimSpace(string(x.body)) == ""
		x.body = nil
		if empty {
			tree, bad = map[string]any{}, nil // so that the answer names what is missing
		}
		if bad != nil {
			return malformed(bad.why)
		}
		if _, is := tree.(map[string]any); !is {
			return malformed(probe.Words{English: "it must be a JSON object", Chinese: "必须为 JSON 对象"})
		}
		check := checker{problems: problems}
		x.tree, _ = check.check(operation.body, "", tree)
		x.problems = check.problems
		return next(c)
	}
}

// bound limits the time of a handler. Those that wait on purpose have limits of
// their own for each step.
func (s *Server) bound(next wire.StrictHandlerFunc, operation string) wire.StrictHandlerFunc {
	switch operation {
	case "TestConnections", "TestClusterConnections", "StreamBatchEvents":
		return next
	}
	return func(c echo.Context, request any) (any, error) {
		whole := c.Request()
		ctx, cancel := context.WithTimeout(whole.Context(), s.cfg.CallTimeout)
		defer cancel()
		c.SetRequest(whole.WithContext(ctx))
		defer c.SetRequest(whole)
		answer, err := next(c, request)
		return answer, late(ctx, err)
	}
}

// late names an error after the time that ran out, whatever a driver calls it.
func late(ctx context.Context, err error) error {
	if err == nil || !errors.Is(ctx.Err(), context.DeadlineExceeded) || !errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
}

func malformed(why probe.Words) error {
	return &fault{status: http.StatusBadRequest, code: codeMalformed, words: probe.Words{
		English: "Invalid request parameter: the body: " + why.English, Chinese: "请求参数非法：请求体" + why.Chinese,
	}}
}

// isJSON says whether the body is JSON by its header; without one it is taken
// for it.
func isJSON(h http.Header) bool {
	given := h.Get("Content-Type")
	if given == "" {
		return true
	}
	media, parameters, err := mime.ParseMediaType(given)
	charset := strings.ToLower(parameters["charset"])
	return err == nil && media == "application/json" && (charset == "" || charset == "utf-8" || charset == "utf8")
}

// treeBinder hands the checked body to the generated code: keys of the right
// case only, integers that are integers.
type treeBinder struct{}

// Bind implements echo.Binder.
func (treeBinder) Bind(into any, c echo.Context) error {
	text, err := json.Marshal(exchangeOf(c.Request().Context()).tree)
	if err != nil {
		return errors.New("encode the checked body")
	}
	if err := json.Unmarshal(text, into); err != nil {
		// The text of a json error quotes values.
		return errors.New("decode the checked body: the document and its types disagree")
	}
	return nil
}

// values gives a parameter as the caller sent it.
func values(c echo.Context, in, name string, query url.Values) []string {
	switch in {
	case "path":
		return []string{c.Param(name)}
	case "query":
		return query[name]
	default:
		return c.Request().Header.Values(name)
	}
}
