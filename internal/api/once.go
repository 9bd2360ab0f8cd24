package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

// What became of a request whose key was in use; see Observer.
const (
	repeatStored   = "stored"
	repeatJoined   = "joined"
	repeatInFlight = "in_flight"
	repeatMismatch = "mismatch"
)

// testOnce carries a request with a key out, unless that was done already: then
// it gives the answer of the first time, or goes on where an api left off that
// is gone or whose caller is.
func (s *Server) testOnce(ctx context.Context, call job.Call, entries []batch.RequestEntry, render render) (answer, error) {
	x := exchangeOf(ctx)
	once, err := s.once(x, call)
	x.tree = nil
	if err != nil {
		return nil, err
	}
	project := x.caller.Project
	until := time.Now().Add(s.cfg.Wait)
	accepting, cancel := s.accepting(ctx)
	defer cancel()
	// Where the key is taken between the look and the submission, a second look
	// finds it.
	for range 2 {
		asking, cancel := context.WithTimeout(accepting, s.cfg.EndTimeout)
		known, err := s.parts.Keys.Recall(asking, project, once)
		err = late(asking, err)
		cancel()
		if err != nil {
			return nil, err
		}
		x.batch = known.BatchID
		switch known.State {
		case batch.KeyOther:
			s.parts.Observer.Repeated(repeatMismatch)
			return nil, errOtherRequest()
		case batch.KeyHeld:
			s.parts.Observer.Repeated(repeatInFlight)
			return nil, errInFlight()
		case batch.KeyAnswered:
			s.parts.Observer.Repeated(repeatStored)
			s.auditRepeat(ctx, known.BatchID)
			return replay(known.Answer)
		case batch.KeyYours:
			s.parts.Observer.Repeated(repeatJoined)
			s.auditRepeat(ctx, known.BatchID)
			once.Request = secret.Text{} // the wait is long
			// Of the batch's time some is gone already.
			if end := time.Now().Add(known.Remaining); end.Before(until) {
				until = end
			}
			return s.join(ctx, once.Key, known.BatchID, until, entries, render)
		case batch.KeyFree:
		}
		b, err := s.submit(accepting, call, entries, &once)
		if errors.Is(err, batch.ErrKeyTaken) {
			continue
		}
		if err != nil {
			return nil, err
		}
		once.Request = secret.Text{} // as above
		first, err := s.hold(ctx, once.Key, b, until, entries, s.parts.Waiter.Wait, render)
		return first.write, err
	}
	return nil, errInFlight()
}

// once is the key and what it stands for: the call and the checked body, in
// which neither the order of keys nor white space counts.
func (s *Server) once(x *exchange, call job.Call) (batch.Once, error) {
	request, err := json.Marshal(struct {
		Call  job.Call `json:"call"`
		Async bool     `json:"async"`
		Body  any      `json:"body"`
	}{call, x.async, x.tree})
	if err != nil {
		return batch.Once{}, errors.New("encode the checked body")
	}
	return s.parts.Keys.Once(x.key, secret.New(string(request))), nil
}

// join answers for a batch that somebody else accepted.
func (s *Server) join(ctx context.Context, key, id string, until time.Time, entries []batch.RequestEntry, render render) (answer, error) {
	reading, cancel := context.WithTimeout(ctx, s.cfg.EndTimeout)
	b, _, err := s.parts.Batches.Batch(reading, exchangeOf(ctx).caller.Project, id)
	err = late(reading, err)
	cancel()
	if err != nil {
		s.parts.Keys.Hold(exchangeOf(ctx).caller.Project, key, id)(ctx, nil)
		return nil, err
	}
	kept, err := s.hold(ctx, key, b, until, entries, s.parts.Waiter.Join, render)
	if err != nil {
		return nil, err
	}
	return kept.again, nil
}

// hold waits for a batch while it keeps others from answering for its key, and
// keeps the answer. Without one, be it that the caller hung up or that the store
// is away, the next who asks goes on.
func (s *Server) hold(
	ctx context.Context, key string, b batch.Batch, until time.Time, entries []batch.RequestEntry, done func(context.Context, string) error, render render,
) (given stored, err error) {
	end := s.parts.Keys.Hold(b.Project, key, b.ID)
	var keep []byte
	defer func() { end(ctx, keep) }()
	results, known, err := s.wait(ctx, b, until, entries, done)
	if err != nil {
		return stored{}, err
	}
	if given, err = record(render(b, results)); err != nil {
		return stored{}, err
	}
	if known {
		if keep, err = json.Marshal(given); err != nil {
			return stored{}, errors.New("encode an answer")
		}
	}
	return given, nil
}

// stored is an answer as it is kept.
type stored struct {
	Status int         `json:"status"`
	Header http.Header `json:"header"`
	Body   []byte      `json:"body"`
}

// record gets an answer down.
func record(a answer) (stored, error) {
	r := recorder{stored: stored{Header: http.Header{}}}
	if err := a(&r); err != nil {
		return stored{}, fmt.Errorf("render an answer: %w", err)
	}
	r.stored.Body = r.body.Bytes()
	return r.stored, nil
}

// recorder is a ResponseWriter that only takes notes.
type recorder struct {
	stored stored
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.stored.Header }
func (r *recorder) WriteHeader(status int)      { r.stored.Status = status }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

// replay gives a kept answer again.
func replay(kept []byte) (answer, error) {
	var s stored
	if err := json.Unmarshal(kept, &s); err != nil {
		return nil, errors.New("a kept answer cannot be read")
	}
	return s.again, nil
}

func (s stored) write(w http.ResponseWriter) error {
	maps.Copy(w.Header(), s.Header)
	w.WriteHeader(s.Status)
	_, err := w.Write(s.Body)
	return err
}

// again says that nothing was done for the answer this time.
func (s stored) again(w http.ResponseWriter) error {
	w.Header().Set("Idempotent-Replayed", "true")
	return s.write(w)
}

func errInFlight() error {
	return &fault{status: http.StatusConflict, code: codeThrottled, after: time.Second, words: probe.Words{
		English: "A request with this Idempotency-Key is being answered. Try again later.", Chinese: "具有相同 Idempotency-Key 的请求正在处理中，请稍后重试",
	}}
}

func errOtherRequest() error {
	problems := []problem{{path: "Idempotency-Key", code: codeInvalid, why: probe.Words{
		English: "it was used for another request", Chinese: "该值已用于其他请求",
	}}}
	return &fault{status: http.StatusUnprocessableEntity, code: codeInvalid, problems: problems}
}
