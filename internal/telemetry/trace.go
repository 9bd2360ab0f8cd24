package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/sabotage"
	"dialtone/internal/secret"
)

// TraceConfig says where traces go.
type TraceConfig struct {
	// Endpoint is the URL of an OTLP/HTTP collector; without a path
	// /v1/traces is meant. Empty: no traces.
	Endpoint string
	// Headers go with every export: name=value, separated by commas, values
	// percent-encoded.
	Headers secret.Text
	// Ratio is the share of requests that are traced. A request that comes
	// with a trace is traced if that one is. Zero: none but those.
	Ratio float64
	Build Build
}

// Tracer makes traces: one from a request over the tasks that it became to the
// phases of their probes. Spans say engine, verdict and times, never an
// endpoint, a statement or what was sent.
type Tracer struct {
	provider *sdktrace.TracerProvider // nil: off
	tracer   trace.Tracer
	text     propagation.TraceContext
}

// NewTracer makes a Tracer. It does not connect: a collector that is not there
// costs a line in the log and nothing else.
func NewTracer(ctx context.Context, log *slog.Logger, cfg TraceConfig) (*Tracer, error) {
	if cfg.Endpoint == "" {
		return &Tracer{tracer: noop.NewTracerProvider().Tracer("")}, nil
	}
	endpoint, err := url.Parse(cfg.Endpoint)
	if err != nil || endpoint.Host == "" {
		return nil, errors.New("the OTLP endpoint is not a URL")
	}
	if strings.Trim(endpoint.Path, "/") == "" {
		endpoint.Path = "/v1/traces"
	}
	headers, err := parseHeaders(cfg.Headers)
	if err != nil {
		return nil, err
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint.String()), otlptracehttp.WithHeaders(headers))
	if err != nil {
		return nil, fmt.Errorf("make the trace exporter: %w", err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(loggedExporter{exporter, log}),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(cfg.Ratio))),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "dialtone-"+cfg.Build.Process),
			attribute.String("service.version", cfg.Build.Version),
		)),
	)
	return &Tracer{provider: provider, tracer: provider.Tracer("dialtone")}, nil
}

// parseHeaders reads name=value pairs; its errors do not repeat them.
func parseHeaders(text secret.Text) (map[string]string, error) {
	headers := map[string]string{}
	if !text.IsSet() {
		return headers, nil
	}
	for i, pair := range strings.Split(text.Reveal(), ",") {
		name, value, found := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if name = strings.TrimSpace(name); !found || name == "" || err != nil {
			return nil, fmt.Errorf("OTLP header %d is not name=value, with the value percent-encoded", i+1)
		}
		headers[name] = value
	}
	return headers, nil
}

// loggedExporter sends failures to our log: OpenTelemetry's own goes to
// standard error, for the whole process.
type loggedExporter struct {
	sdktrace.SpanExporter

	log *slog.Logger
}

// ExportSpans exports, and takes a failure for done: the spans are lost.
func (e loggedExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := e.SpanExporter.ExportSpans(ctx, spans); err != nil {
		e.log.WarnContext(ctx, "traces lost", "spans", len(spans), "error", err)
	}
	return nil
}

// Shutdown sends what is left, until ctx ends.
func (t *Tracer) Shutdown(ctx context.Context) error {
	if t.provider == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Middleware makes a span of each request, within the caller's trace if it
// sent one. It is named after the route that the handlers leave in the
// request's Pattern.
func (t *Tracer) Middleware(next http.Handler) http.Handler {
	if t.provider == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := t.text.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		verb := method(r.Method)
		ctx, span := t.tracer.Start(ctx, verb, trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(attribute.String("http.request.method", verb)))
		defer span.End()
		r = r.WithContext(ctx)
		answer := &answered{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answer, r)
		if strings.HasPrefix(r.Pattern, "/") {
			span.SetName(verb + " " + r.Pattern)
			span.SetAttributes(attribute.String("http.route", r.Pattern))
		}
		span.SetAttributes(attribute.Int("http.response.status_code", answer.status))
		if answer.status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
	})
}

// answered remembers the status. What else a ResponseWriter can do is reached
// through Unwrap, as http.ResponseController does.
type answered struct {
	http.ResponseWriter

	status  int
	written bool
}

// WriteHeader notes the first final status.
func (a *answered) WriteHeader(status int) {
	if !a.written && status >= http.StatusOK {
		a.status, a.written = status, true
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write writes, after which the status is settled.
func (a *answered) Write(b []byte) (int, error) {
	a.written = true
	return a.ResponseWriter.Write(b)
}

// Unwrap gives the writer below.
func (a *answered) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// carried is the one header of a trace that goes through the store.
const carried = "traceparent"

// Carry gives the trace of ctx as text, "" if there is none.
func (t *Tracer) Carry(ctx context.Context) string {
	if t.provider == nil {
		return ""
	}
	carrier := propagation.MapCarrier{}
	t.text.Inject(ctx, carrier)
	return carrier[carried]
}

// Join gives ctx the trace that was carried as text. Text that is no trace is
// ignored.
func (t *Tracer) Join(ctx context.Context, text string) context.Context {
	if t.provider == nil || text == "" {
		return ctx
	}
	return t.text.Extract(ctx, propagation.MapCarrier{carried: text})
}

// Probe adds a finished probe to the trace of ctx: a span for the test from
// the moment that it was due, and below it one for its wait and one for each
// phase that was run.
func (t *Tracer) Probe(ctx context.Context, c batch.Claimed, r probe.Report) {
	if t.provider == nil || !trace.SpanContextFromContext(ctx).IsSampled() {
		return
	}
	begin := r.StartedAt
	at := func(ms float64) time.Time { return begin.Add(time.Duration(ms * float64(time.Millisecond))) }
	ctx, span := t.tracer.Start(ctx, "test "+engine(c.Target.Engine), trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithTimestamp(begin.Add(-max(c.Waited, 0))), trace.WithAttributes(
			attribute.String("dialtone.batch", c.BatchID),
			attribute.String("dialtone.test", c.ID),
			attribute.String("dialtone.engine", engine(c.Target.Engine)),
			attribute.String("dialtone.lane", string(c.Lane)),
			attribute.String("dialtone.code", string(r.Code)),
			attribute.String("dialtone.owner", string(r.Code.Verdict().Owner)),
			attribute.Int("dialtone.attempts", r.Attempts),
		))
	if sabotage.On(sabotage.TraceSecret) {
		span.SetAttributes(attribute.String("dialtone.password", c.Target.Password.Reveal()))
	}
	if r.Code.Verdict().Owner == probe.OwnerService {
		// A database that refuses is a good answer; trouble of ours is not.
		span.SetStatus(codes.Error, "")
	}
	t.child(ctx, "queue", begin.Add(-max(c.Waited, 0)), begin)
	for _, row := range r.Phases {
		if ran(row) || row.State == probe.Failed { // which may take no time at all
			t.child(ctx, string(row.Phase), at(row.StartMS), at(row.StartMS+row.DurationMS),
				attribute.String("dialtone.state", string(row.State)), attribute.String("dialtone.code", string(row.Code)))
		}
	}
	span.End(trace.WithTimestamp(at(r.DurationMS)))
}

func (t *Tracer) child(ctx context.Context, name string, from, to time.Time, attributes ...attribute.KeyValue) {
	_, span := t.tracer.Start(ctx, name, trace.WithTimestamp(from), trace.WithAttributes(attributes...))
	span.End(trace.WithTimestamp(to))
}
