package api_test

import (
	"net/http"
	"testing"

	"dialtone/internal/api"
	"dialtone/internal/job"
)

// What a state does not say of a known job stays as it is.
func TestStateWithoutRole(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, before, body string
		status             int
		want               job.Job
	}{
		{
			name: "forward child", before: `{"status":"CONFIGURATION","role":"forward","parent_id":"p-1","name":"one"}`, body: `{"status":"INCRE_TRANSFER_STARTED"}`,
			status: 200, want: job.Job{Status: job.IncreTransferStarted, Role: job.Forward, ParentID: "p-1", Name: "one"},
		},
		{
			name: "backward child with a new name and parent", before: `{"status":"CONFIGURATION","role":"backward","parent_id":"p-1","name":"one"}`,
			body: `{"status":"CREATING","name":"two","parent_id":"p-2"}`, status: 200, want: job.Job{Status: job.Creating, Role: job.Backward, ParentID: "p-2", Name: "two"},
		},
		{
			name: "parent", before: `{"status":"CONFIGURATION","role":"parent"}`, body: `{"status":"DELETED"}`,
			status: 200, want: job.Job{Status: job.Deleted, Role: job.Parent},
		},
		{
			name: "parent of a parent", before: `{"status":"CONFIGURATION","role":"parent"}`, body: `{"status":"DELETED","parent_id":"p-1"}`,
			status: 400, want: job.Job{Status: job.Configuration, Role: job.Parent},
		},
		{
			name: "own parent", before: `{"status":"CONFIGURATION","role":"forward","parent_id":"p-1"}`, body: `{"status":"DELETED","parent_id":"j"}`,
			status: 400, want: job.Job{Status: job.Configuration, Role: job.Forward, ParentID: "p-1"},
		},
		{
			name: "role given", before: `{"status":"CONFIGURATION","role":"forward","parent_id":"p-1"}`, body: `{"status":"CONFIGURATION","role":"standalone"}`,
			status: 200, want: job.Job{Status: job.Configuration, Role: job.Standalone},
		},
		{name: "new", body: `{"status":"CONFIGURATION"}`, status: 201, want: job.Job{Status: job.Configuration, Role: job.Standalone}},
		{name: "new with a parent", body: `{"status":"CONFIGURATION","parent_id":"p-1"}`, status: 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := start(t, api.Config{})
			put := ask{method: http.MethodPut, path: "{project}/jobs/j/state", body: tt.before}
			if tt.before != "" {
				if r := b.do(t, put); r.status != http.StatusCreated {
					t.Fatalf("%d %s", r.status, r.body)
				}
			}
			put.body = tt.body
			if r := b.do(t, put); r.status != tt.status {
				t.Errorf("%d %s, want %d", r.status, r.body, tt.status)
			}
			got := b.jobs["j"].Job
			if got.Status != tt.want.Status || got.Role != tt.want.Role || got.ParentID != tt.want.ParentID || got.Name != tt.want.Name {
				t.Errorf("stored %+v, want %+v", got, tt.want)
			}
		})
	}
}
