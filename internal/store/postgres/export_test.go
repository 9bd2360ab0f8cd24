package postgres

import (
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/store/record"
)

// HotQuery is a statement that runs all the time, with arguments that fit.
type HotQuery struct {
	SQL  string
	Args []any
	// Indexes are those that its plan must use, apart by spaces.
	Indexes string
}

// HotQueries are the statements whose plans must use an index.
func HotQueries(project, batchID, testID, lease string, now time.Time) map[string]HotQuery {
	ids := []string{testID}
	list := func(q batch.Query, indexes string) HotQuery {
		q.Project, q.Limit = project, 20
		sql, args, err := listQuery(q)
		if err != nil {
			panic(err)
		}
		return HotQuery{sql, args, indexes}
	}
	after := record.Cursor{At: now.Add(-time.Hour), ID: batchID}.String()
	jobs := listJobs(job.Filter{Project: project, Limit: 20})
	shown := listJobs(job.Filter{Project: project, TopLevel: true, Live: true, DBUseType: "sync", Offset: 20, Limit: 20})
	return map[string]HotQuery{
		"claim":             {claimTest, []any{testID, lease, time.Second, "w", 3, 10 * time.Minute, 30 * time.Second, 2}, "tests_pkey tests_running tests_running_lists logins_by_account rests_pkey"},
		"claim free":        {claimFree, []any{testID, lease, time.Second, "w"}, "tests_pkey"},
		"suspects":          {noteSuspects, []any{ids}, "tests_pkey tests_running tests_running_lists logins_by_account rests_pkey"},
		"lock peers":        {lockPeers, []any{ids}, "tests_pkey"},
		"note login":        {noteLogin, []any{testID, lease, "refused", "auth_failed"}, "tests_pkey"},
		"note unknown":      {noteUnknown, []any{testID, "interrupted"}, "tests_pkey"},
		"note late":         {noteLate, []any{lease, "passed", "ok"}, "logins_pkey"},
		"rest":              {restPeers, []any{testID, time.Second}, "tests_pkey"},
		"held":              {selectHeld, []any{ids, 20}, "tests_pkey tests_held"},
		"wake held":         {wakeHeld, []any{ids}, "tests_pkey"},
		"share a failure":   {shareFailure, []any{testID, sharedFrom}, "tests_pkey batches_pkey"},
		"end same":          {endSame, []any{ids, sameAs}, "tests_pkey tests_place batches_pkey"},
		"mark":              {markLogin, []any{testID, lease}, "tests_pkey"},
		"release":           {releaseTest, []any{testID, lease, time.Second, 0}, "tests_pkey"},
		"finished":          {selectFinished, []any{ids}, "tests_pkey"},
		"lock batches":      {lockBatches, []any{ids}, "batches_pkey tests_pkey"},
		"lock free batches": {lockFreeBatches, []any{ids}, "batches_pkey tests_pkey"},
		"end":               {endTest, []any{testID, "{}"}, "tests_pkey batches_pkey"},
		"finish":            {finishTest, []any{testID, "{}", lease}, "tests_pkey batches_pkey"},
		"close":             {closeBatches, []any{ids}, "batches_pkey tests_pkey"},
		"overdue":           {selectOverdue, []any{200}, "tests_deadline"},
		"lost":              {selectLost, []any{200, 3}, "tests_lease"},
		"open of a batch":   {selectOpenOf, []any{batchID}, "tests_place"},
		"lock overdue":      {lockOverdue, []any{ids, []string{batchID}}, "tests_pkey"},
		"lock lost":         {lockLost, []any{ids, []string{batchID}, 3}, "tests_pkey"},
		"lock open":         {lockOpen, []any{ids, []string{batchID}}, "tests_pkey"},
		"reclaim":           {reclaimTests, []any{200, 3}, "tests_pkey tests_lease"},
		"strays":            {listStrays, []any{200, 2 * time.Second}, "tests_pkey"},
		"raise":             {raiseTests, []any{ids}, "tests_pkey"},
		"batch":             {selectBatch, []any{project, batchID}, "batches_pkey"},
		"tests":             {selectTests, []any{project, batchID}, "tests_place"},
		"events":            {selectEvents, []any{project, batchID, 3}, "tests_seq"},
		"completed":         {selectCompleted, []any{[]string{batchID}}, "batches_pkey"},
		"list":              list(batch.Query{}, "batches_by_project"),
		"list on":           list(batch.Query{After: after}, "batches_by_project"),
		"list running":      list(batch.Query{State: batch.Running}, "batches_running"),
		"list of a job":     list(batch.Query{JobID: "job-3", After: after}, "batch_jobs_pkey batches_pkey"),
		"jobs":              {selectJobs, []any{project, []string{"job-3"}}, "jobs_pkey jobs_children"},
		"testable":          {selectTestable, []any{project, []string{"job-3"}}, "jobs_pkey jobs_children"},
		"list jobs":         {jobs.page, jobs.pageArgs, "jobs_by_project jobs_children"},
		"count jobs":        {jobs.count, jobs.countArgs, "jobs_"},
		"list jobs shown":   {shown.page, shown.pageArgs, "jobs_shown jobs_children"},
		"count jobs shown":  {shown.count, shown.countArgs, "jobs_shown"},
		"ready jobs":        {readyJobs, []any{time.Second}, "jobs_creating"},
		"backlog":           {countBacklog, []any{project, batch.Interactive, 1000}, "batches_running"},
		"key":               {selectKey, []any{project, "k", time.Hour}, "request_keys_pkey"},
		"drop an old key":   {dropOldKey, []any{project, "k", time.Hour}, "request_keys_pkey"},
		"take a key":        {takeKey, []any{project, "k", "api", time.Second}, "request_keys_pkey"},
		"keep an answer":    {keepAnswer, []any{project, "k", []byte("a")}, "request_keys_pkey"},
		"renew keys":        {renewKeys, []any{"api", ids, time.Second}, "request_keys_by_batch"},
		"release a key":     {releaseKey, []any{project, "k", "api"}, "request_keys_pkey"},
		"reseal tests":      {pageOfTests, []any{"-infinity", batchID, 100}, "tests_deadline"},
		"reseal a test":     {resealTest, []any{[]byte("a"), []byte("b"), batchID, testID}, "tests_pkey"},
		"reseal jobs":       {pageOfJobs, []any{"", project, 100}, "jobs_pkey"},
		"reseal keys":       {pageOfKeys, []any{project, "", 100}, "request_keys_pkey"},
		"remove batches":    {removeBatches, []any{time.Hour, 1000}, "batches_ended batches_pkey"},
		"remove keys":       {removeKeys, []any{24 * time.Hour, 1000}, "request_keys_age"},
	}
}
