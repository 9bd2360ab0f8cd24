package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"dialtone/internal/auth"
	"dialtone/internal/batch"
	"dialtone/internal/sabotage"
)

// The audit lines of requests. Their fields are listed in docs/operations.md and
// stay; the verdicts are written where batches end. Nothing here is of a body
// but the addresses that were asked for, and nothing of a header but the id.

// who begins an audit line: its kind, the request and who made it.
func (x *exchange) who(kind string) []slog.Attr {
	return []slog.Attr{
		slog.String("audit", kind), slog.String("request", x.id), slog.String("client", x.client), slog.String("project", x.caller.Project),
		slog.String("caller", x.caller.Subject), slog.String("method", string(x.caller.Method)),
	}
}

// note writes an audit line.
func (s *Server) note(ctx context.Context, kind, msg string, attrs ...slog.Attr) {
	s.audit.LogAttrs(ctx, slog.LevelInfo, msg, append(exchangeOf(ctx).who(kind), attrs...)...) //nolint:sloglint // every caller's is a constant
}

// auditRequest notes who asked to test what.
func (s *Server) auditRequest(ctx context.Context, b batch.Batch, entries []batch.RequestEntry) {
	force := exchangeOf(ctx).caller.Has(roleForce)
	for i, entry := range entries {
		for k, e := range entry.Endpoints {
			s.note(ctx, "request", "test requested", slog.String("batch", b.ID), slog.String("lane", string(b.Lane)), slog.Bool("force", force),
				slog.Int("entry", i), slog.Int("object", k), slog.String("job", entry.JobID), slog.String("engine", e.DBType),
				slog.String("address", e.IP), slog.Int("port", e.DBPort), slog.String("network", e.NetType))
			if sabotage.On(sabotage.LogSecret) {
				s.log.DebugContext(ctx, "endpoint", "password", e.Password.Reveal())
			}
		}
	}
}

// auditRepeat notes that somebody was given what became of an earlier request.
func (s *Server) auditRepeat(ctx context.Context, batchID string) {
	s.note(ctx, "repeat", "request repeated", slog.String("batch", batchID))
}

// auditRefusal notes a request that was refused, and why: by whose credential,
// as far as that was found good, and for which project it asked.
func (s *Server) auditRefusal(c echo.Context, x *exchange, f *fault, err error) {
	asked := c.Param("project_id")
	if asked == "" || f.status < http.StatusBadRequest || f.status >= http.StatusInternalServerError || f.status == statusClientGone {
		return
	}
	attrs := append(x.who("refused"), slog.String("verb", knownMethod(c.Request().Method)), slog.String("route", c.Path()),
		slog.Int("status", f.status), slog.String("error_code", f.code), slog.String("asked_project", idOnly(asked)))
	if refusal, ok := errors.AsType[*auth.Error](err); ok {
		attrs = append(attrs, slog.String("reason", string(refusal.Kind)))
	}
	if id := c.Param("batch_id"); id != "" {
		attrs = append(attrs, slog.String("asked_batch", idOnly(id)))
	}
	s.audit.LogAttrs(c.Request().Context(), slog.LevelInfo, "request refused", attrs...)
}

// idOnly gives a part of a path that looks like an id: hexadecimal digits and
// hyphens. What does not may be anything that a client put there, a token too.
func idOnly(part string) string {
	const longest = 36
	if len(part) > longest || strings.Trim(part, "0123456789abcdefABCDEF-") != "" {
		return "malformed"
	}
	return part
}
