package sqlite

import (
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/store/record"
)

// Queries are the statements whose plans must use the index named.
func Queries() map[string][2]string {
	list := func(q batch.Query) string {
		query, _, err := listQuery(q)
		if err != nil {
			panic(err)
		}
		return query
	}
	after := record.Cursor{At: time.Now(), ID: batch.NewID()}.String()
	shown, count, _, err := listJobs(job.Filter{TopLevel: true, Live: true, DBUseType: "sync"})
	if err != nil {
		panic(err)
	}
	return map[string][2]string{
		"claim":            {claimTest, "sqlite_autoindex_tests_1"},
		"mark":             {markLogin, "sqlite_autoindex_tests_1"},
		"release":          {releaseTest, "sqlite_autoindex_tests_1"},
		"finish":           {finishTest, "sqlite_autoindex_tests_1"},
		"count off":        {countOff, "PRIMARY KEY"},
		"finished":         {selectFinished, "sqlite_autoindex_tests_1"},
		"overdue":          {"select " + openColumns + overdue, "tests_deadline"},
		"lost":             {"select " + openColumns + lost, "tests_lease"},
		"open of a batch":  {"select " + openColumns + openOf, "(batch_id=?)"},
		"reclaim":          {reclaimTests, "tests_lease"},
		"strays":           {listStrays, "sqlite_autoindex_tests_1"},
		"raise":            {raiseTests, "sqlite_autoindex_tests_1"},
		"batch":            {selectBatch, "PRIMARY KEY"},
		"tests":            {selectTests, "tests_2 (batch_id=?)"},
		"events":           {selectEvents, "tests_seq"},
		"completed":        {selectCompleted, "PRIMARY KEY"},
		"list":             {list(batch.Query{}), "batches_by_project"},
		"list on":          {list(batch.Query{After: after}), "batches_by_project"},
		"list running":     {list(batch.Query{State: batch.Running}), "batches_running"},
		"list of a job":    {list(batch.Query{JobID: "j", After: after}), "PRIMARY KEY (project=? AND job_id=?"},
		"jobs":             {selectJobs, "sqlite_autoindex_jobs_1"},
		"testable":         {selectTestable, "sqlite_autoindex_jobs_1"},
		"list jobs shown":  {shown, "jobs_shown"},
		"count jobs shown": {count, "jobs_shown"},
		"ready jobs":       {readyJobs, "jobs_creating"},
		"backlog":          {countBacklog, "batches_running"},
		"key":              {selectKey, "PRIMARY KEY"},
		"drop an old key":  {dropOldKey, "PRIMARY KEY"},
		"take a key":       {takeKey, "PRIMARY KEY"},
		"keep an answer":   {keepAnswer, "PRIMARY KEY"},
		"renew keys":       {renewKeys, "request_keys_by_batch"},
		"release a key":    {releaseKey, "PRIMARY KEY"},
		"reseal tests":     {pageOfTests, "tests_deadline"},
		"reseal jobs":      {pageOfJobs, "sqlite_autoindex_jobs_1"},
		"reseal keys":      {pageOfKeys, "PRIMARY KEY"},
		"remove batches":   {removeBatches, "batches_ended"},
		"remove keys":      {removeKeys, "request_keys_age"},
	}
}
