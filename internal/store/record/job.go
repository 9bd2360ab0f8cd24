package record

import (
	"strings"

	"dialtone/internal/batch"
	"dialtone/internal/job"
)

// NameKey is what names of jobs are compared by. The program folds them,
// because a database does so by its locale.
func NameKey(name string) string { return strings.ToLower(name) }

// InOrder gives the jobs found in the order of ids, as often as each is named.
func InOrder(found []job.Record, ids []string) []job.Record {
	byID := make(map[string]job.Record, len(found))
	for _, r := range found {
		byID[r.ID] = r
	}
	records := make([]job.Record, 0, len(found))
	for _, id := range ids {
		if r, ok := byID[id]; ok {
			records = append(records, r)
		}
	}
	return records
}

// TestableByID makes a map of jobs.
func TestableByID(found []batch.TestableJob) map[string]batch.TestableJob {
	jobs := make(map[string]batch.TestableJob, len(found))
	for _, t := range found {
		jobs[t.ID] = t
	}
	return jobs
}

// Alter lets change alter a job; its identity and its children stay.
func Alter(before job.Record, change func(*job.Record) error) (job.Record, error) {
	r := before
	if err := change(&r); err != nil {
		return job.Record{}, err
	}
	r.Project, r.ID, r.CreatedAt, r.ChildIDs = before.Project, before.ID, before.CreatedAt, before.ChildIDs
	return r, nil
}
