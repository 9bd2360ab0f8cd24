package storetest

import (
	"slices"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/probe"
)

func creating() []contract {
	return []contract{
		{"create/reads back without secrets", createReadsBack},
		{"create/tests with a report are finished", createFinished},
		{"create/all tests with a report is a batch done", createDone},
		{"create/no tests is a batch done", createEmpty},
		{"create/all or nothing", createAllOrNothing},
		{"create/a target without secrets", createWithoutSecrets},
		{"announce/networks within an age", announceNetworks},
	}
}

func createReadsBack(e env) {
	stored, tests := e.create(2, func(b *batch.Batch, tests []batch.Test) {
		b.Call, b.Lane = job.Cluster, batch.Bulk
		tests[1].Entry, tests[1].Object, tests[1].EndPointType = 0, 1, "ta"
		slices.Reverse(tests) // read in order of entry and object, not of storing
	})
	slices.Reverse(tests)
	if stored.Total != 2 || stored.Open != 2 || stored.FinishedAt != nil {
		e.Errorf("Create() = total %d, open %d, finished %v; want 2, 2, nil", stored.Total, stored.Open, stored.FinishedAt)
	}
	if got := stored.Deadline.Sub(stored.CreatedAt); got != long {
		e.Errorf("deadline is %v after creation, want %v", got, long)
	}
	if age := time.Since(stored.CreatedAt); age < -time.Minute || age > time.Minute {
		e.Errorf("CreatedAt is %v ago", age)
	}
	got, gotTests := e.read(stored)
	e.same("batch", got, stored)
	for i := range tests {
		tests[i].Target, _ = tests[i].Target.Split()
		tests[i].SecretsSet = []string{"password", "tls.certificate", "tls.password"}
		tests[i].CreatedAt, tests[i].Deadline = stored.CreatedAt, stored.Deadline
	}
	e.same("tests", gotTests, tests)
	if s := gotTests[0].State(); s != batch.Queued {
		e.Errorf("State() = %s, want queued", s)
	}
}

func createFinished(e env) {
	report := newReport(probe.CodeJobUnknown)
	b, tests := e.create(4, func(_ *batch.Batch, tests []batch.Test) { tests[1].Report, tests[3].Report = &report, &report })
	if b.Total != 4 || b.Open != 2 || b.FinishedAt != nil {
		e.Errorf("Create() = total %d, open %d, finished %v; want 4, 2, nil", b.Total, b.Open, b.FinishedAt)
	}
	_, got := e.read(b)
	for i, wantSeq := range []int{0, 1, 0, 2} {
		if got[i].Seq != wantSeq || (got[i].FinishedAt != nil) != (wantSeq > 0) {
			e.Errorf("test %d: seq %d, finished %v; want seq %d", i, got[i].Seq, got[i].FinishedAt, wantSeq)
		}
		if has := e.hasSecrets(tests[i].ID); has != (wantSeq == 0) {
			e.Errorf("test %d: sealed secrets kept: %v", i, has)
		}
	}
	e.same("report", got[1].Report, &report)
	e.same("names of secrets", got[1].SecretsSet, got[0].SecretsSet)
	// The numbers go on where creation stopped.
	first := e.mustClaim(tests[0].ID, long)
	if _, done := e.finish(first.ID, first.LeaseID, probe.CodeOK); len(done) != 0 {
		e.Errorf("completion with a test open: %v", done)
	}
	last := e.mustClaim(tests[2].ID, long)
	_, done := e.finish(last.ID, last.LeaseID, probe.CodeOK)
	e.same("completion", done, []batch.Completion{{BatchID: b.ID, Project: b.Project, ReplyTo: "api-1"}})
	if seq := e.readTest(b, tests[2].ID).Seq; seq != 4 {
		e.Errorf("last Seq = %d, want 4", seq)
	}
}

func createDone(e env) {
	report := newReport(probe.CodeJobDeleted)
	b, _ := e.create(1, func(_ *batch.Batch, tests []batch.Test) { tests[0].Report = &report })
	if b.State() != batch.Done || b.Open != 0 {
		e.Errorf("Create() = %s with %d open, want done with 0", b.State(), b.Open)
	}
	got, _ := e.read(b)
	e.same("batch", got, b)
}

func createEmpty(e env) {
	b, _ := e.create(0)
	if b.State() != batch.Done {
		e.Errorf("State() = %s, want done", b.State())
	}
}

func createAllOrNothing(e env) {
	_, tests := e.create(1)
	again := e.newBatch(2)
	other := e.newTest(again, 0)
	clash := e.newTest(again, 1)
	clash.ID = tests[0].ID
	if _, err := e.Create(e.Context(), again, []batch.Test{other, clash}); err == nil {
		e.Fatal("Create() with the id of another test: no error")
	}
	if _, _, err := e.Batch(e.Context(), e.project, again.ID); err == nil {
		e.Error("the refused batch is there")
	}
	if _, granted := e.claim(other.ID, long); granted {
		e.Error("a test of the refused batch is there")
	}
}

func createWithoutSecrets(e env) {
	b, tests := e.create(1, func(_ *batch.Batch, tests []batch.Test) { tests[0].Target, _ = tests[0].Target.Split() })
	c := e.mustClaim(tests[0].ID, long)
	e.same("target", c.Target, tests[0].Target)
	if got := e.readTest(b, c.ID).SecretsSet; len(got) != 0 {
		e.Errorf("SecretsSet = %v, want none", got)
	}
}

func announceNetworks(e env) {
	none, err := e.Networks(e.Context(), time.Hour)
	e.ok(err)
	if len(none) != 0 {
		e.Errorf("Networks() = %v before any worker", none)
	}
	e.ok(e.Announce(e.Context(), "worker-1", []string{"vpn", "eip"}))
	e.ok(e.Announce(e.Context(), "worker-2", []string{"vpc-1", "eip"}))
	e.ok(e.Announce(e.Context(), "worker-2", []string{"vpc-2", "eip"}))
	e.ok(e.Announce(e.Context(), "worker-3", nil))
	got, err := e.Networks(e.Context(), time.Hour)
	e.ok(err)
	e.same("networks", sorted(got), []string{"eip", "vpc-2", "vpn"})
	e.eventually("announcements grow old", func() bool {
		got, err := e.Networks(e.Context(), time.Millisecond)
		e.ok(err)
		return len(got) == 0
	})
}
