package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"dialtone/internal/api"
	"dialtone/internal/batch"
	"dialtone/internal/probe"
)

// A project has so many streams; one that ends makes room.
func TestTooManyStreams(t *testing.T) {
	t.Parallel()
	b := start(t, api.Config{Streams: 2, EventPoll: 5 * time.Millisecond, Heartbeat: 5 * time.Millisecond})
	b.verdict = func(batch.Endpoint) *probe.Report { return nil }
	where := b.submit(t, goodBody)
	events := ask{method: http.MethodGet, path: where + "/events"}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, ctx := range []context.Context{ctx, t.Context()} {
		if e, ok := next(t, b.follow(ctx, t, where, "")); !ok || e.comment != "alive" {
			t.Fatalf("got %+v, want a heartbeat", e)
		}
	}
	r := b.do(t, events)
	if f := r.fault(t); r.status != http.StatusTooManyRequests || f.Code != "DRS.M01503" || r.header.Get("Retry-After") == "" {
		t.Errorf("%d %s, header %v", r.status, r.body, r.header)
	}
	other := ask{method: http.MethodGet, path: strings.Replace(events.path, project, "another", 1)}
	if r := b.do(t, other); r.status != http.StatusNotFound { // let through to where it finds nothing
		t.Errorf("another project: %d %s", r.status, r.body)
	}
	cancel()
	eventually(t, func() bool { // whoever finds nothing holds nothing either
		return b.do(t, ask{method: http.MethodGet, path: "{project}/batch-connections/x/events"}).status == http.StatusNotFound
	})
	if e, ok := next(t, b.follow(t.Context(), t, where, "")); !ok || e.comment != "alive" {
		t.Errorf("got %+v, want a heartbeat", e)
	}
}
