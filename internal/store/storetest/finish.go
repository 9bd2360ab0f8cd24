package storetest

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
)

func finishing() []contract {
	return []contract{
		{"finish/records the report and wipes the secrets", finishRecords},
		{"finish/the first report wins", finishFirstWins},
		{"finish/after the lease ran out, if nobody took it", finishLapsed},
		{"finish/several batches in one call", finishSeveral},
		{"finish/says which are finished", finishedSays},
	}
}

func racing() []contract {
	return []contract{
		{"race/one claim of many is granted", raceClaim},
		{"race/the last two finishes complete a batch once", raceLastTwo},
		{"race/tests are numbered without gaps", raceNumbers},
		{"race/finish and cancel complete a batch once", raceCancel},
		{"race/claims and finishes of overlapping groups do not lock up", raceGroups},
	}
}

func finishRecords(e env) {
	b, tests := e.create(2)
	c := e.mustClaim(tests[1].ID, long)
	if !e.hasSecrets(c.ID) {
		e.Error("no sealed secrets while running")
	}
	accepted, done := e.finish(c.ID, c.LeaseID, probe.CodeAuthFailed)
	if !accepted || len(done) != 0 {
		e.Errorf("Finish() = %v, %v", accepted, done)
	}
	if e.hasSecrets(c.ID) {
		e.Error("sealed secrets are kept after the finish")
	}
	got, all := e.read(b)
	if got.Open != 1 || got.FinishedAt != nil {
		e.Errorf("batch has %d open, finished %v", got.Open, got.FinishedAt)
	}
	want := newReport(probe.CodeAuthFailed)
	e.same("report", all[1].Report, &want)
	if all[1].Seq != 1 || all[1].FinishedAt == nil || all[1].Worker != "worker-1" || all[1].StartedAt == nil {
		e.Errorf("finished test: %+v", all[1])
	}
	if len(all[1].SecretsSet) != 3 {
		e.Errorf("SecretsSet = %v, want the names still", all[1].SecretsSet)
	}
	last := e.mustClaim(tests[0].ID, long)
	_, done = e.finish(last.ID, last.LeaseID, probe.CodeOK)
	e.same("completion", done, []batch.Completion{{BatchID: b.ID, Project: b.Project, ReplyTo: "api-1"}})
	got, all = e.read(b)
	if got.Open != 0 || got.State() != batch.Done || all[0].Seq != 2 {
		e.Errorf("batch: %d open, %s; last seq %d", got.Open, got.State(), all[0].Seq)
	}
}

func finishFirstWins(e env) {
	b, tests := e.create(1)
	c := e.mustClaim(tests[0].ID, long)
	if accepted, _ := e.finish(c.ID, batch.NewID(), probe.CodeOK); accepted {
		e.Error("a report without the lease was accepted")
	}
	if accepted, _ := e.finish(c.ID, "", probe.CodeOK); accepted {
		e.Error("a report with no lease was accepted")
	}
	e.finish(c.ID, c.LeaseID, probe.CodeAuthFailed)
	accepted, done := e.finish(c.ID, c.LeaseID, probe.CodeOK)
	if accepted || len(done) != 0 {
		e.Errorf("second Finish() = %v, %v", accepted, done)
	}
	if got := e.readTest(b, c.ID); got.Report.Code != probe.CodeAuthFailed || got.Seq != 1 {
		e.Errorf("report %s, seq %d", got.Report.Code, got.Seq)
	}
}

func finishLapsed(e env) {
	_, tests := e.create(1)
	c := e.lapsed(tests[0].ID)
	if accepted, done := e.finish(c.ID, c.LeaseID, probe.CodeOK); !accepted || len(done) != 1 {
		e.Errorf("Finish() = %v, %v", accepted, done)
	}
}

func finishSeveral(e env) {
	var reports []batch.Finish
	var batches []batch.Batch
	for range 3 {
		b, tests := e.create(3)
		batches = append(batches, b)
		for _, t := range tests {
			c := e.mustClaim(t.ID, long)
			reports = append(reports, batch.Finish{TestID: c.ID, LeaseID: c.LeaseID, Report: newReport(probe.CodeOK)})
		}
	}
	last := reports[len(reports)-1]
	reports[len(reports)-1] = batch.Finish{TestID: last.TestID, LeaseID: batch.NewID(), Report: last.Report}
	slices.Reverse(reports)
	recorded, err := e.Finish(e.Context(), reports)
	e.ok(err)
	accepted, done := recorded.Accepted, recorded.Done
	if len(accepted) != 8 || slices.Contains(accepted, last.TestID) {
		e.Errorf("accepted %d, with the stale one: %v", len(accepted), slices.Contains(accepted, last.TestID))
	}
	var complete []string
	for _, c := range done {
		complete = append(complete, c.BatchID)
	}
	e.same("completions", sorted(complete), sorted([]string{batches[0].ID, batches[1].ID}))
	for _, b := range batches[:2] {
		_, tests := e.read(b)
		var seqs []int
		for _, t := range tests {
			seqs = append(seqs, t.Seq)
		}
		e.same("seqs", slices.Sorted(slices.Values(seqs)), []int{1, 2, 3})
	}
}

func finishedSays(e env) {
	_, tests := e.create(3)
	c := e.mustClaim(tests[1].ID, long)
	e.finish(c.ID, c.LeaseID, probe.CodeOK)
	got, err := e.Finished(e.Context(), append(ids(tests), "no-uuid", batch.NewID()))
	e.ok(err)
	e.same("finished", got, []string{tests[1].ID})
}

func raceClaim(e env) {
	_, tests := e.create(1)
	for range 20 {
		var granted atomic.Int32
		var winner atomic.Value
		e.together(8, func(ctx context.Context, _ int) error {
			got, err := e.Claim(ctx, []batch.Claim{{TestID: tests[0].ID, LeaseID: batch.NewID(), Worker: "w", Lease: long}})
			if len(got) == 1 {
				granted.Add(1)
				winner.Store(got[0])
			}
			return err
		})
		if granted.Load() != 1 {
			e.Fatalf("%d claims of one test were granted", granted.Load())
		}
		c, _ := winner.Load().(batch.Claimed)
		_, err := e.Release(e.Context(), []batch.Release{{TestID: c.ID, LeaseID: c.LeaseID}})
		e.ok(err)
	}
}

// together calls do n times at once and fails on any error.
func (e env) together(n int, do func(ctx context.Context, i int) error) {
	e.Helper()
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-start
			if err := do(e.Context(), i); err != nil {
				e.Errorf("call %d: %v", i, err)
			}
		})
	}
	close(start)
	all.Wait()
	if e.Failed() {
		e.FailNow()
	}
}

// raceLastTwo finishes the last two tests of a batch at once, a thousand times,
// or a hundred times where the run is to be short.
func raceLastTwo(e env) {
	const lanes = 4
	rounds := 1000
	if testing.Short() {
		rounds = 100
	}
	e.together(lanes, func(ctx context.Context, _ int) error {
		for range rounds / lanes {
			b := e.newBatch(2)
			tests := []batch.Test{e.newTest(b, 0), e.newTest(b, 1)}
			if _, err := e.Create(ctx, b, tests); err != nil {
				return err
			}
			var claims []batch.Claim
			for _, t := range tests {
				claims = append(claims, batch.Claim{TestID: t.ID, LeaseID: batch.NewID(), Worker: "w", Lease: long})
			}
			claimed, err := e.Claim(ctx, claims)
			if err != nil {
				return err
			}
			if len(claimed) != 2 {
				e.Errorf("Claim() granted %d of 2", len(claimed))
				return nil
			}
			var done, accepted atomic.Int32
			var two sync.WaitGroup
			for _, c := range claimed {
				two.Go(func() {
					recorded, err := e.Finish(ctx, []batch.Finish{{TestID: c.ID, LeaseID: c.LeaseID, Report: newReport(probe.CodeOK)}})
					if err != nil {
						e.Errorf("Finish(): %v", err)
					}
					accepted.Add(int32(len(recorded.Accepted)))
					done.Add(int32(len(recorded.Done)))
				})
			}
			two.Wait()
			if done.Load() != 1 || accepted.Load() != 2 {
				e.Errorf("%d completions and %d reports of one batch, want 1 and 2", done.Load(), accepted.Load())
				return nil
			}
		}
		return nil
	})
}

func raceNumbers(e env) {
	const n = 24
	b, tests := e.create(n)
	var done atomic.Int32
	e.together(n/2, func(ctx context.Context, i int) error {
		for _, t := range tests[2*i : 2*i+2] {
			claimed, err := e.Claim(ctx, []batch.Claim{{TestID: t.ID, LeaseID: batch.NewID(), Worker: "w", Lease: long}})
			if err != nil {
				return err
			}
			recorded, err := e.Finish(ctx, []batch.Finish{
				{TestID: t.ID, LeaseID: claimed[0].LeaseID, Report: newReport(probe.CodeOK)},
			})
			if err != nil {
				return err
			}
			done.Add(int32(len(recorded.Done)))
		}
		return nil
	})
	if done.Load() != 1 {
		e.Errorf("%d completions, want 1", done.Load())
	}
	_, events, err := e.Events(e.Context(), e.project, b.ID, 0)
	e.ok(err)
	for i, t := range events {
		if t.Seq != i+1 {
			e.Fatalf("event %d has seq %d", i, t.Seq)
		}
	}
	if len(events) != n {
		e.Errorf("%d events, want %d", len(events), n)
	}
}

func raceCancel(e env) {
	for range 100 {
		b, tests := e.create(3)
		first, second := e.mustClaim(tests[0].ID, long), e.mustClaim(tests[1].ID, long)
		var done atomic.Int32
		e.together(3, func(ctx context.Context, i int) error {
			var complete []batch.Completion
			var err error
			if i == 0 {
				complete, _, err = e.Cancel(ctx, e.project, b.ID)
			} else {
				c := []batch.Claimed{first, second}[i-1]
				var recorded batch.Recorded
				recorded, err = e.Finish(ctx, []batch.Finish{{TestID: c.ID, LeaseID: c.LeaseID, Report: newReport(probe.CodeOK)}})
				complete = recorded.Done
			}
			done.Add(int32(len(complete)))
			return err
		})
		got, _ := e.read(b)
		if done.Load() != 1 || got.State() != batch.Done || got.Open != 0 {
			e.Fatalf("%d completions; batch %s with %d open", done.Load(), got.State(), got.Open)
		}
	}
}

// raceGroups finishes, claims and sweeps tests of many batches in groups that
// overlap in every order.
func raceGroups(e env) {
	const batches, each = 6, 6
	var all []batch.Test
	for range batches {
		_, tests := e.create(each)
		all = append(all, tests...)
	}
	var completions atomic.Int32
	e.together(8, func(ctx context.Context, i int) error {
		order := slices.Clone(all)
		if i%2 == 1 {
			slices.Reverse(order)
		}
		for group := range slices.Chunk(order, 5+i) {
			var claims []batch.Claim
			for _, t := range group {
				claims = append(claims, batch.Claim{TestID: t.ID, LeaseID: batch.NewID(), Worker: "w", Lease: 30 * time.Millisecond})
			}
			claimed, err := e.Claim(ctx, claims)
			if err != nil {
				return err
			}
			var reports []batch.Finish
			for _, c := range claimed {
				reports = append(reports, batch.Finish{TestID: c.ID, LeaseID: c.LeaseID, Report: newReport(probe.CodeOK)})
			}
			if _, err := e.Reclaim(ctx, 1000, 10); err != nil {
				return err
			}
			if _, err := e.Strays(ctx, time.Millisecond, 10); err != nil {
				return err
			}
			if _, err := e.Raise(ctx, ids(group)); err != nil {
				return err
			}
			recorded, err := e.Finish(ctx, reports)
			if err != nil {
				return err
			}
			completions.Add(int32(len(recorded.Done)))
		}
		return nil
	})
	// What lost its lease on the way is still open: end it.
	for _, t := range all {
		if done, _, err := e.Cancel(e.Context(), e.project, t.BatchID); err == nil {
			completions.Add(int32(len(done)))
		}
	}
	if completions.Load() != batches {
		e.Errorf("%d completions of %d batches", completions.Load(), batches)
	}
}
