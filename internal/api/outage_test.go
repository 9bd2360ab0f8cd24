package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dialtone/internal/api"
	"dialtone/internal/batch"
	"dialtone/internal/job"
)

// outage is a store that goes away after some calls.
type outage struct {
	*world
	// good calls come first; then each ends with err, or, if there is none,
	// not before its context does.
	good int64
	err  error

	calls atomic.Int64
}

var errAway = fmt.Errorf("the store is in the cellar: %w", batch.ErrUnavailable)

func (o *outage) fails(ctx context.Context) error {
	switch {
	case o.calls.Add(1) <= o.good:
		return nil
	case o.err != nil:
		return o.err
	}
	<-ctx.Done()
	return context.Canceled // as a driver may say that understands no deadlines
}

func (o *outage) Submit(ctx context.Context, r batch.Request) (batch.Batch, error) {
	if err := o.fails(ctx); err != nil {
		return batch.Batch{}, err
	}
	return o.world.Submit(ctx, r)
}

func (o *outage) Batch(ctx context.Context, project, id string) (batch.Batch, []batch.Test, error) {
	if err := o.fails(ctx); err != nil {
		return batch.Batch{}, nil, err
	}
	return o.world.Batch(ctx, project, id)
}

func (o *outage) List(ctx context.Context, q batch.Query) (batch.Page, error) {
	if err := o.fails(ctx); err != nil {
		return batch.Page{}, err
	}
	return o.world.List(ctx, q)
}

func (o *outage) Events(ctx context.Context, project, id string, after int) (batch.Batch, []batch.Test, error) {
	if err := o.fails(ctx); err != nil {
		return batch.Batch{}, nil, err
	}
	return o.world.Events(ctx, project, id, after)
}

func (o *outage) Recall(ctx context.Context, project string, k batch.Once) (batch.Recalled, error) {
	if err := o.fails(ctx); err != nil {
		return batch.Recalled{}, err
	}
	return o.world.Recall(ctx, project, k)
}

func (o *outage) Cancel(ctx context.Context, project, id string) error {
	if err := o.fails(ctx); err != nil {
		return err
	}
	return o.world.Cancel(ctx, project, id)
}

func (o *outage) Jobs(ctx context.Context, project string, ids []string) ([]job.Record, error) {
	if err := o.fails(ctx); err != nil {
		return nil, err
	}
	return o.world.Jobs(ctx, project, ids)
}

func (o *outage) ListJobs(ctx context.Context, f job.Filter) ([]job.Record, int, error) {
	if err := o.fails(ctx); err != nil {
		return nil, 0, err
	}
	return o.world.ListJobs(ctx, f)
}

func (o *outage) CreateJobs(ctx context.Context, records []job.Record) error {
	if err := o.fails(ctx); err != nil {
		return err
	}
	return o.world.CreateJobs(ctx, records)
}

func (o *outage) UpdateJob(ctx context.Context, project, id string, change func(*job.Record) error) (job.Record, error) {
	if err := o.fails(ctx); err != nil {
		return job.Record{}, err
	}
	return o.world.UpdateJob(ctx, project, id, change)
}

func (o *outage) PutJobState(ctx context.Context, j job.Job) (job.Job, bool, error) {
	if err := o.fails(ctx); err != nil {
		return job.Job{}, false, err
	}
	return o.world.PutJobState(ctx, j)
}

// during gives a bench whose store is o.
func during(t *testing.T, o *outage, cfg api.Config) *bench {
	t.Helper()
	b := &bench{world: newWorld(), gate: &gate{}, log: &logBook{}}
	o.world = b.world
	var err error
	b.api, err = api.New(newLog(b.log), api.Parts{
		Auth: b.gate, Submitter: o, Waiter: b.world, Batches: o, Ender: o, Canceller: o, Keys: o, JobReader: o, JobWriter: o,
	}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(b.api.Handler())
	t.Cleanup(srv.Close)
	b.url = srv.URL
	return b
}

const clusterProperty = `[{\"dbtype\":\"mysql\",\"nettype\":\"eip\",\"ip\":\"192.168.0.27:3306\",\"dbuser\":\"u\",\"dbpassword\":\"p\"}]`

// storeCalls is a request for every route that needs the store.
func storeCalls() []ask {
	return []ask{
		{path: connection, body: goodBody},
		{path: connection, body: goodBody, header: map[string]string{"Prefer": "respond-async"}},
		{path: connection, body: goodBody, header: map[string]string{"Idempotency-Key": "k"}},
		{path: cluster, body: `{"jobs":[{"action":"testConnection","job_id":"` + jobID + `","property":"` + clusterProperty + `"}]}`},
		{method: http.MethodGet, path: "{project}/batch-connections"},
		{method: http.MethodGet, path: "{project}/batch-connections/x"},
		{method: http.MethodGet, path: "{project}/batch-connections/x/events"},
		{path: "{project}/batch-connections/x/cancel"},
		{method: http.MethodPut, path: "{project}/jobs/j/state", body: `{"status":"CONFIGURATION"}`},
		{method: http.MethodPut, path: "{project}/jobs/j/state", body: `{"status":"CONFIGURATION","role":"parent"}`},
		{path: "{project}/jobs/batch-status", body: `{"jobs":["j"]}`},
		{path: "{project}/jobs/batch-detail", body: `{"jobs":["j"]}`},
		{path: "{project}/jobs", body: `{"cur_page":1,"per_page":10,"db_use_type":"sync"}`},
		{path: "{project}/jobs/batch-creation", body: jobs(creationOf("DRS-1"))},
		{method: http.MethodPut, path: "{project}/jobs/batch-modification", body: `{"jobs":[{"job_id":"j","description":"x"}]}`},
		{method: http.MethodDelete, path: "{project}/jobs/batch-jobs", body: `{"jobs":[{"job_id":"j","delete_type":"delete"}]}`},
	}
}

// A store that is away, or that does not answer, is answered in one way.
func TestOutage(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]struct {
		err error
		cfg api.Config
	}{
		"away":  {err: errAway},
		"stuck": {cfg: api.Config{SubmitTimeout: 30 * time.Millisecond, CallTimeout: 30 * time.Millisecond, EventTimeout: 30 * time.Millisecond}},
	} {
		for _, a := range storeCalls() {
			t.Run(name+" "+a.method+" "+a.path, func(t *testing.T) {
				t.Parallel()
				b := during(t, &outage{err: o.err}, o.cfg)
				r := b.do(t, a)
				if f := r.fault(t); r.status != http.StatusServiceUnavailable || f.Code != "DRS.M00004" || r.header.Get("Retry-After") == "" {
					t.Errorf("%d %s, header %v", r.status, r.body, r.header)
				}
				if strings.Contains(string(r.body), "cellar") {
					t.Errorf("the answer tells too much: %s", r.body)
				}
			})
		}
	}
}

// What is wrong with the store's work and not with its being there is ours.
func TestStoreFaultIsOurs(t *testing.T) {
	t.Parallel()
	for _, a := range storeCalls() {
		if strings.Contains(a.path, "batch-creation") || strings.Contains(a.path, "batch-modification") || strings.Contains(a.path, "batch-jobs") {
			continue // each item has its own answer
		}
		b := during(t, &outage{err: errors.New("a column is missing")}, api.Config{})
		if r := b.do(t, a); r.status != http.StatusInternalServerError || r.fault(t).Code != "DRS.M00004" {
			t.Errorf("%s %s: %d %s", a.method, a.path, r.status, r.body)
		}
	}
}

// Once an item was changed, that has to be told.
func TestOutageAmongItems(t *testing.T) {
	t.Parallel()
	for _, a := range []ask{
		{path: "{project}/jobs/batch-creation", body: jobs(creationOf("DRS-1"), creationOf("DRS-2"))},
		{method: http.MethodPut, path: "{project}/jobs/batch-modification", body: `{"jobs":[{"job_id":"one","description":"x"},{"job_id":"two","description":"x"}]}`},
		{method: http.MethodDelete, path: "{project}/jobs/batch-jobs", body: `{"jobs":[{"job_id":"one","delete_type":"delete"},{"job_id":"two","delete_type":"delete"}]}`},
	} {
		o := &outage{err: errAway, good: 1}
		b := during(t, o, api.Config{})
		for _, id := range []string{"one", "two"} {
			b.jobs[id] = job.Record{Job: job.Job{ID: id, Project: project, Name: id, Status: job.CreateFailed, Role: job.Standalone}}
		}
		r := b.do(t, a)
		var answer struct {
			Results []struct {
				Code string `json:"error_code"`
			} `json:"results"`
		}
		r.into(t, &answer)
		if r.status/100 != 2 || len(answer.Results) != 2 || answer.Results[0].Code != "" || answer.Results[1].Code != "DRS.M00004" {
			t.Errorf("%s: %d %s", a.path, r.status, r.body)
		}
	}
}
