package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"dialtone/internal/api/wire"
	"dialtone/internal/batch"
)

// eventsRoute is the route of the event streams.
const eventsRoute = "/v3/:project_id/batch-connections/:batch_id/events"

// StreamBatchEvents follows a batch. What does not exist is answered before
// the stream begins.
func (s operations) StreamBatchEvents(ctx context.Context, r wire.StreamBatchEventsRequestObject) (wire.StreamBatchEventsResponseObject, error) {
	x := exchangeOf(ctx)
	f := follower{Server: s.Server, ctx: ctx, exchange: x, batch: r.BatchID, seen: r.Params.LastEventID}
	var err error
	if f.first, f.tests, err = f.news(ctx); err != nil {
		return nil, err
	}
	return &f, nil
}

// news reads what has happened since.
func (f *follower) news(ctx context.Context) (batch.Batch, []batch.Test, error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.EventTimeout)
	defer cancel()
	b, tests, err := f.parts.Batches.Events(ctx, f.exchange.caller.Project, f.batch, f.seen)
	return b, tests, late(ctx, err)
}

// follower is one event stream.
type follower struct {
	*Server
	ctx      context.Context //nolint:containedctx // the generated interface hands a response no context
	exchange *exchange
	batch    string
	// seen is the number of the last event sent.
	seen  int
	first batch.Batch
	tests []batch.Test

	w       http.ResponseWriter
	control *http.ResponseController
}

// writeTimeout is how long a client may take to take an event. It replaces the
// http.Server's, which would end a long stream.
const writeTimeout = 30 * time.Second

// VisitStreamBatchEventsResponse sends events until the batch is done, the
// client goes or the server shuts down.
func (f *follower) VisitStreamBatchEventsResponse(w http.ResponseWriter) error {
	f.parts.Observer.Streams(1)
	defer f.parts.Observer.Streams(-1)
	f.w, f.control = w, http.NewResponseController(w)
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // or a proxy collects what should arrive
	w.WriteHeader(http.StatusOK)

	if err := f.send("retry: 1000\n\n"); err != nil {
		return nil
	}
	poll, heartbeat := time.NewTicker(f.cfg.EventPoll), time.NewTicker(f.cfg.Heartbeat)
	defer poll.Stop()
	defer heartbeat.Stop()
	b, tests := f.first, f.tests
	for {
		if ended := f.deliver(b, tests); ended {
			return nil
		}
		for waiting := true; waiting; {
			select {
			case <-poll.C:
				waiting = false
			case <-heartbeat.C:
				if f.send(": alive\n\n") != nil {
					return nil
				}
			case <-f.ctx.Done():
				return nil
			case <-f.draining.Done():
				return nil
			}
		}
		var err error
		if b, tests, err = f.news(f.ctx); err != nil {
			if f.ctx.Err() != nil || errors.Is(err, batch.ErrNotFound) { // it was cleaned away
				return nil
			}
			// The stream has begun, so there is no status to say it with. The
			// client comes back with the last id.
			f.log.WarnContext(f.ctx, "event stream broken off", "batch", f.batch, "error", err)
			return nil
		}
	}
}

// deliver sends what is new. It says whether that was the end.
func (f *follower) deliver(b batch.Batch, tests []batch.Test) (ended bool) {
	for _, t := range tests {
		if f.event("test", strconv.Itoa(t.Seq), testView(t, f.exchange.language)) != nil {
			return true
		}
		f.seen = t.Seq
	}
	if b.State() != batch.Done {
		return false
	}
	// No id: who comes back after it gets it again.
	_ = f.event("done", "", batchView(b))
	return true
}

func (f *follower) event(name, id string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	var event bytes.Buffer
	event.WriteString("event: " + name + "\n")
	if id != "" {
		event.WriteString("id: " + id + "\n")
	}
	event.WriteString("data: ")
	event.Write(text)
	event.WriteString("\n\n")
	return f.send(event.String())
}

// send writes and flushes. An error means that the client is gone.
func (f *follower) send(text string) error {
	if err := f.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := f.w.Write([]byte(text)); err != nil {
		return err
	}
	return f.control.Flush()
}
