package job_test

import (
	"testing"

	"dialtone/internal/job"
)

func TestTestable(t *testing.T) {
	t.Parallel()
	of := func(status job.Status, role job.Role) *job.Job { return &job.Job{Status: status, Role: role} }
	cases := map[string]struct {
		job     *job.Job
		forward job.Status
		call    job.Call
		want    job.Refusal
	}{
		"a job in configuration":             {of(job.Configuration, job.Standalone), "", job.Connection, job.Fine},
		"the same in the cluster call":       {of(job.Configuration, job.Standalone), "", job.Cluster, job.Fine},
		"an unknown job":                     {nil, "", job.Connection, job.Unknown},
		"a deleted job":                      {of(job.Deleted, job.Standalone), "", job.Connection, job.Gone},
		"a deleted parent is deleted first":  {of(job.Deleted, job.Parent), "", job.Connection, job.Gone},
		"a job that has started":             {of(job.StartJobing, job.Standalone), "", job.Connection, job.WrongStatus},
		"a parent":                           {of(job.Configuration, job.Parent), "", job.Connection, job.IsParent},
		"a parent in the cluster call":       {of(job.Configuration, job.Parent), "", job.Cluster, job.Fine},
		"a child in the cluster call":        {of(job.Configuration, job.Forward), "", job.Cluster, job.IsChild},
		"a backward child there":             {of(job.Configuration, job.Backward), job.IncreTransferStarted, job.Cluster, job.IsChild},
		"a forward child":                    {of(job.Configuration, job.Forward), "", job.Connection, job.Fine},
		"backward before forward replicates": {of(job.Configuration, job.Backward), job.FullTransferStarted, job.Connection, job.ForwardNotReady},
		"backward once forward replicates":   {of(job.Configuration, job.Backward), job.IncreTransferStarted, job.Connection, job.Fine},
		"backward with no forward known":     {of(job.Configuration, job.Backward), "", job.Connection, job.ForwardNotReady},
		"backward in a wrong status":         {of(job.Creating, job.Backward), job.IncreTransferStarted, job.Connection, job.WrongStatus},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := job.Testable(c.job, c.forward, c.call); got != c.want {
				t.Errorf("Testable() = %q, want %q", got, c.want)
			}
		})
	}
}

func TestOnlyConfigurationIsTestable(t *testing.T) {
	t.Parallel()
	for _, status := range job.Statuses() {
		got := job.Testable(&job.Job{Status: status, Role: job.Standalone}, "", job.Connection)
		if (got == job.Fine) != (status == job.Configuration) {
			t.Errorf("a job in %s: %q", status, got)
		}
		if !status.Valid() {
			t.Errorf("%s is listed and not valid", status)
		}
	}
	if job.Status("PAUSEING").Valid() || job.Role("child").Valid() {
		t.Error("a misspelt status or role is valid")
	}
}

func TestDeletable(t *testing.T) {
	t.Parallel()
	want := map[job.Status]bool{job.CreateFailed: true, job.ReleaseResourceComplete: true, job.ReleaseChildTransferComplete: true}
	for _, status := range job.Statuses() {
		if status.Deletable() != want[status] {
			t.Errorf("%s: Deletable() = %v", status, status.Deletable())
		}
	}
}
