package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"dialtone/internal/auth"
	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

const (
	project = "054ba152d480d55b2f5dc0069e7ddef0"
	token   = "MIIgood"
	jobID   = "140b5236-88ad-43c8-811c-1268453jb101"
)

// gate is an Authenticator with one token for each role.
type gate struct {
	mu sync.Mutex
	// err, if set, is what everybody gets.
	err  error
	body []byte
}

func (g *gate) Verify(_ context.Context, r *http.Request, body []byte, project string) (auth.Caller, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.body = slices.Clone(body)
	if g.err != nil {
		return auth.Caller{}, g.err
	}
	roles := []string{"drs_adm"}
	switch r.Header.Get("X-Auth-Token") {
	case "":
		return auth.Caller{}, &auth.Error{Kind: auth.NoCredential, Reason: "none"}
	case token:
	case "reader":
		roles = []string{"reader"}
	default:
		return auth.Caller{}, &auth.Error{Kind: auth.BadToken, Reason: "unknown"}
	}
	return auth.Caller{Project: project, Roles: roles, Subject: "ci", Method: auth.MethodToken}, nil
}

// world is the rest of the service in memory: it tests an endpoint by looking
// up what verdict it shall have.
type world struct {
	mu      sync.Mutex
	batches map[string]batch.Batch
	tests   map[string][]batch.Test
	waits   map[string]chan struct{}
	jobs    map[string]job.Record
	// requests are what was submitted.
	requests []batch.Request
	// verdict gives the report of an endpoint, nil for one that stays open.
	verdict func(e batch.Endpoint) *probe.Report
	// broken makes a part fail: "submit", "read", "end", "jobs".
	broken map[string]bool
	page   batch.Query
	// keys are what requests with an Idempotency-Key became, by project and key.
	keys map[string]*keyRow
	// full is what a project gets that has too many open tests.
	full *batch.FullError
	// listed counts the jobs that lists have read.
	listed  int
	expired []string
	// remaining is how much of its time a batch has left that somebody joins.
	remaining time.Duration
}

func newWorld() *world {
	return &world{
		batches: map[string]batch.Batch{}, tests: map[string][]batch.Test{}, waits: map[string]chan struct{}{}, jobs: map[string]job.Record{},
		keys:    map[string]*keyRow{},
		broken:  map[string]bool{},
		verdict: func(batch.Endpoint) *probe.Report { return passed() }, remaining: time.Minute,
	}
}

var errBroken = fmt.Errorf("the store is on fire: %w", batch.ErrUnavailable)

func at(second int) time.Time { return time.Date(2026, 11, 24, 12, 0, second, 0, time.UTC) }

func passed() *probe.Report {
	r := probe.Report{Code: probe.CodeOK, Strict: true, LoginSent: true, StartedAt: at(1), DurationMS: 12.5, Attempts: 1}
	for _, p := range probe.Phases() {
		r.Phases = append(r.Phases, probe.PhaseResult{Phase: p, State: probe.Passed, DurationMS: 1})
	}
	r.Evidence = probe.Evidence{Address: "192.168.0.27:3306", Product: "MySQL", Version: "8.4.3", BytesIn: 300, BytesOut: 200}
	return &r
}

func failed(code probe.Code) *probe.Report {
	r := probe.Refused(code, at(1))
	return &r
}

func (w *world) Submit(_ context.Context, r batch.Request) (batch.Batch, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken["submit"] {
		return batch.Batch{}, errBroken
	}
	if w.full != nil {
		return batch.Batch{}, w.full
	}
	if r.Once != nil && w.keys[r.Project+"/"+r.Once.Key] != nil {
		return batch.Batch{}, fmt.Errorf("store batch: %w", batch.ErrKeyTaken)
	}
	w.requests = append(w.requests, r)
	b := batch.Batch{
		ID: fmt.Sprintf("01930000-0000-7000-8000-%012d", len(w.requests)), Project: r.Project, Call: r.Call, Lane: r.Lane,
		Entries: len(r.Entries), Caller: r.Caller, Trace: r.Trace, CreatedAt: at(0), Deadline: at(59),
	}
	for i, entry := range r.Entries {
		for k, e := range entry.Endpoints {
			open, secrets := e.Target(r.Project, probe.VerifyCA).Split()
			t := batch.Test{
				ID: fmt.Sprintf("%s-%d-%d", b.ID, i, k), BatchID: b.ID, Project: b.Project, Entry: i, Object: k, JobID: entry.JobID,
				EndPointType: "so", Target: open, Network: "eip", Attempt: 1, Probes: 1, Worker: "worker-1", CreatedAt: at(0), Deadline: at(59),
			}
			if e.EndPointType != "" {
				t.EndPointType = e.EndPointType
			}
			for name := range secrets {
				t.SecretsSet = append(t.SecretsSet, name)
			}
			b.Total++
			b.Open++
			w.tests[b.ID] = append(w.tests[b.ID], t)
		}
	}
	if r.Once != nil {
		w.keys[r.Project+"/"+r.Once.Key] = &keyRow{request: r.Once.Request.Reveal(), batch: b.ID, held: true}
	}
	w.batches[b.ID] = b
	w.waits[b.ID] = make(chan struct{})
	n := 0
	for _, entry := range r.Entries {
		for _, e := range entry.Endpoints {
			if report := w.verdict(e); report != nil {
				w.finish(b.ID, n, *report)
			}
			n++
		}
	}
	return w.batches[b.ID], nil
}

// finish ends a test. The lock is held.
func (w *world) finish(id string, n int, report probe.Report) {
	b, tests := w.batches[id], w.tests[id]
	if tests[n].Report != nil {
		return
	}
	began, ended, login := at(1), at(2), at(1)
	tests[n].Report, tests[n].StartedAt, tests[n].FinishedAt, tests[n].LoginAt = &report, &began, &ended, &login
	tests[n].Seq = b.Total - b.Open + 1
	if b.Open--; b.Open == 0 {
		b.FinishedAt = &ended
		close(w.waits[id])
	}
	w.batches[id] = b
}

// end finishes one test of the first batch later.
func (w *world) end(n int, report *probe.Report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.finish(firstBatch, n, *report)
}

func (w *world) last() batch.Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.requests) == 0 {
		return batch.Request{}
	}
	return w.requests[len(w.requests)-1]
}

func (w *world) Wait(ctx context.Context, id string) error {
	w.mu.Lock()
	done := w.waits[id]
	w.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *world) Join(ctx context.Context, id string) error { return w.Wait(ctx, id) }

// keyRow is what is known of a key.
type keyRow struct {
	request, batch string
	held           bool
	answer         []byte
}

func (w *world) Once(key string, request secret.Text) batch.Once {
	return batch.Once{Key: key, Request: request}
}

func (w *world) Recall(_ context.Context, project string, o batch.Once) (batch.Recalled, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	row := w.keys[project+"/"+o.Key]
	switch {
	case w.broken["keys"]:
		return batch.Recalled{}, errBroken
	case row == nil:
		return batch.Recalled{State: batch.KeyFree}, nil
	case row.request != o.Request.Reveal():
		return batch.Recalled{State: batch.KeyOther}, nil
	case row.answer != nil:
		return batch.Recalled{State: batch.KeyAnswered, BatchID: row.batch, Answer: row.answer}, nil
	case row.held:
		return batch.Recalled{State: batch.KeyHeld, BatchID: row.batch}, nil
	}
	row.held = true
	return batch.Recalled{State: batch.KeyYours, BatchID: row.batch, Remaining: w.remaining}, nil
}

func (w *world) Hold(project, key, _ string) func(context.Context, []byte) {
	return func(_ context.Context, answer []byte) {
		w.mu.Lock()
		defer w.mu.Unlock()
		row := w.keys[project+"/"+key]
		row.held = false
		if row.answer == nil {
			row.answer = answer
		}
	}
}

// held says whether somebody is at work on the answer of the key "k".
func (w *world) held() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	row := w.keys[project+"/k"]
	return row != nil && row.held
}

func (w *world) find(project, id string) (batch.Batch, []batch.Test, error) {
	b, ok := w.batches[id]
	switch {
	case w.broken["read"]:
		return batch.Batch{}, nil, errBroken
	case !ok || b.Project != project:
		return batch.Batch{}, nil, batch.ErrNotFound
	}
	return b, slices.Clone(w.tests[id]), nil
}

func (w *world) Batch(_ context.Context, project, id string) (batch.Batch, []batch.Test, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.find(project, id)
}

func (w *world) List(_ context.Context, q batch.Query) (batch.Page, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.page = q
	if q.After == "bad" {
		return batch.Page{}, batch.ErrBadCursor
	}
	var page batch.Page
	for _, b := range w.batches {
		page.Batches = append(page.Batches, b)
	}
	slices.SortFunc(page.Batches, func(a, b batch.Batch) int { return strings.Compare(b.ID, a.ID) })
	if len(page.Batches) > q.Limit {
		page.Batches, page.Next = page.Batches[:q.Limit], "next-page"
	}
	return page, nil
}

func (w *world) Events(_ context.Context, project, id string, after int) (batch.Batch, []batch.Test, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b, tests, err := w.find(project, id)
	tests = slices.DeleteFunc(tests, func(t batch.Test) bool { return t.Seq <= after })
	slices.SortFunc(tests, func(a, b batch.Test) int { return a.Seq - b.Seq })
	return b, tests, err
}

func (w *world) finishAll(id string, code probe.Code) {
	for n := range w.tests[id] {
		w.finish(id, n, *failed(code))
	}
}

func (w *world) ExpireBatch(_ context.Context, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken["end"] {
		return errBroken
	}
	w.expired = append(w.expired, id)
	w.finishAll(id, probe.CodeDeadlineExceeded)
	return nil
}

func (w *world) Cancel(_ context.Context, project, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, _, err := w.find(project, id); err != nil {
		return err
	}
	w.finishAll(id, probe.CodeCancelled)
	return nil
}

// The jobs.

func (w *world) CreateJobs(_ context.Context, records []job.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken["jobs"] {
		return errBroken
	}
	for _, r := range records {
		for _, known := range w.jobs {
			if known.Project == r.Project && strings.EqualFold(known.Name, r.Name) && known.Status != job.Deleted {
				return job.ErrNameTaken
			}
		}
	}
	for i, r := range records {
		r.CreatedAt = at(len(w.jobs))
		r.UpdatedAt = r.CreatedAt
		if i > 0 && r.ChildIDs != nil {
			return errors.New("a child with children")
		}
		w.jobs[r.ID] = r
	}
	return nil
}

func (w *world) Jobs(_ context.Context, project string, ids []string) ([]job.Record, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken["jobs"] {
		return nil, errBroken
	}
	var found []job.Record
	for _, id := range ids {
		if r, ok := w.jobs[id]; ok && r.Project == project {
			r.Endpoints = nil
			found = append(found, r)
		}
	}
	return found, nil
}

func (w *world) ListJobs(_ context.Context, f job.Filter) ([]job.Record, int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken["jobs"] {
		return nil, 0, errBroken
	}
	var found []job.Record
	for _, r := range w.jobs {
		if r.Project == f.Project && r.DBUseType == f.DBUseType && (f.Name == "" || strings.Contains(strings.ToLower(r.Name), strings.ToLower(f.Name))) &&
			(f.Status == "" || r.Status == f.Status) && (len(f.IDs) == 0 || slices.Contains(f.IDs, r.ID)) &&
			(!f.TopLevel || r.ParentID == "") && (!f.Live || r.Status != job.Deleted) {
			r.Endpoints = nil
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b job.Record) int { return b.CreatedAt.Compare(a.CreatedAt) })
	total := len(found)
	found = found[min(f.Offset, total):]
	if f.Limit > 0 {
		found = found[:min(f.Limit, len(found))]
	}
	w.listed += len(found)
	return found, total, nil
}

func (w *world) UpdateJob(_ context.Context, project, id string, change func(*job.Record) error) (job.Record, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, ok := w.jobs[id]
	if !ok || r.Project != project {
		return job.Record{}, job.ErrNotFound
	}
	if w.broken["jobs"] {
		return job.Record{}, errBroken
	}
	if err := change(&r); err != nil {
		return job.Record{}, err
	}
	w.jobs[id] = r
	r.Endpoints = nil
	return r, nil
}

func (w *world) PutJobState(_ context.Context, j job.Job) (job.Job, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, known := w.jobs[j.ID]
	mirrored := !known || r.Mirrored
	r.Job = j
	r.Mirrored, r.CreatedAt, r.UpdatedAt = mirrored, at(0), at(1)
	w.jobs[j.ID] = r
	return r.Job, !known, nil
}

// setStatus moves a job on, as the service behind the store does.
func (w *world) setStatus(id string, s job.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.jobs[id]
	r.Status = s
	w.jobs[id] = r
}
