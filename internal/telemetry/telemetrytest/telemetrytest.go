// Package telemetrytest makes metrics in which every series that a process can
// have is there, for tests of what is said about metrics elsewhere: their
// names, the alerts, the dashboard. It is not part of any program.
package telemetrytest

import (
	"context"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
	"dialtone/internal/telemetry"
)

// Canary is in every text of Claimed and Report that must not be shown.
const Canary = "c4nary-of-a-s3cret"

// Metrics gives metrics that have seen everything once.
func Metrics() *telemetry.Metrics {
	m := telemetry.NewMetrics(telemetry.ThisBuild("worker"))
	ctx := context.Background()
	m.StandsIn([]string{"eip", "vpc-1"})
	m.WatchRunning(func() int { return 3 })
	m.WatchConcurrency(256)
	m.WatchWaiting(func() int { return 2 })
	m.WatchQueue(func(context.Context) ([]telemetry.QueueDepth, error) {
		sizes := map[string]int{"pending": 4, "active": 1, "scheduled": 0, "retry": 0, "archived": 0, "completed": 0}
		return []telemetry.QueueDepth{{Queue: "interactive:eip", Sizes: sizes, Processed: 7, Oldest: 1500 * time.Millisecond}}, nil
	})
	m.WatchPostgres(func() telemetry.PostgresPool {
		return telemetry.PostgresPool{Acquired: 1, Idle: 2, Constructing: 0, Max: 16, Acquires: 9, Waits: 1, Cancelled: 0, Waited: time.Second}
	})
	m.WatchRedis(func() telemetry.RedisPool {
		return telemetry.RedisPool{Total: 5, Idle: 3, Hits: 10, Misses: 2, Timeouts: 1, Stale: 1}
	})

	now := time.Now()
	b := batch.Batch{ID: "b", Call: job.Connection, Lane: batch.Interactive, Total: 2}
	m.Accepted(b)
	m.Accepted(batch.Batch{ID: "refused", Call: job.Cluster, Lane: batch.Bulk, Total: 1, FinishedAt: &now})
	m.Request("POST", "/v3/:project_id/jobs/batch-connection", 200, 1500*time.Millisecond)
	m.Request("BREW", "", 404, time.Millisecond)
	m.Answered(b, []batch.Result{{OK: true}, {OK: true}}, time.Second)
	m.Answered(b, []batch.Result{{OK: true}, {}}, time.Second)
	m.Answered(b, []batch.Result{{}}, time.Second)
	m.Streams(1)
	for _, outcome := range []string{"stored", "joined", "in_flight", "mismatch"} {
		m.Repeated(outcome)
	}
	m.Full(batch.Bulk)
	m.Removed("batches", 2)
	m.Removed("tests", 20)
	m.Removed("keys", 1)

	c := Claimed()
	m.Claimed(c)
	m.Probed(ctx, c, Report(probe.CodeAuthFailed), true)
	m.Probed(ctx, c, Report(probe.CodeOK), true)
	m.Probed(ctx, c, Report(probe.CodeDeadlineExceeded), true)
	m.Probed(ctx, c, Report(probe.CodeOK), false)
	suppressed := probe.Refused(probe.CodeLoginSuppressed, time.Now())
	suppressed.Evidence.Facts = map[string]string{"rule": "same_credential"}
	m.Probed(ctx, c, suppressed, true)
	m.Released(c, "retry")
	m.Released(c, "hand_back")
	for _, what := range []string{"expired", "interrupted", "reclaimed", "restored", "cancelled"} {
		m.Swept(what, 1)
	}
	m.Completed([]batch.Completion{{BatchID: "b"}})
	m.Panicked(probe.MySQL)
	m.Denied("p1", "loopback", true)
	return m
}

// Claimed is a claim full of what must not be shown.
func Claimed() batch.Claimed {
	return batch.Claimed{
		Test: batch.Test{
			ID: "0190a000-0000-7000-8000-000000000002", BatchID: "0190a000-0000-7000-8000-000000000001",
			Project: Canary, JobID: Canary,
			Target: probe.Target{
				Project: Canary, Network: Canary, Engine: probe.MySQL,
				Addresses: []probe.Address{{Host: Canary, Port: 3306}},
				User:      Canary, Password: secret.New(Canary), Database: Canary,
			},
		},
		LeaseID: Canary, Lane: batch.Interactive, Waited: 40 * time.Millisecond,
	}
}

// Report is a report of five phases that ends with code, full of what must
// not be shown.
func Report(code probe.Code) probe.Report {
	row := func(p probe.Phase, start, took float64) probe.PhaseResult {
		return probe.PhaseResult{Phase: p, State: probe.Passed, StartMS: start, DurationMS: took}
	}
	last := row(probe.PhaseLogin, 30, 12)
	if code != probe.CodeOK {
		last.State, last.Code = probe.Failed, code
	}
	return probe.Report{
		Code: code, LoginSent: true, Attempts: 2,
		StartedAt: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), DurationMS: 45,
		Phases: []probe.PhaseResult{
			row(probe.PhasePolicy, 0, 1), row(probe.PhaseResolve, 1, 4), row(probe.PhaseConnect, 5, 10),
			{Phase: probe.PhaseTLS, State: probe.Skipped},
			row(probe.PhaseProtocol, 15, 15), last,
			{Phase: probe.PhaseSession, State: probe.NotReached},
		},
		Evidence: probe.Evidence{
			Address: Canary, Local: Canary, Resolver: Canary, Resolved: []string{Canary},
			Product: Canary, Version: Canary, ServerText: Canary, Facts: map[string]string{Canary: Canary},
		},
	}
}
