package storetest

import (
	"errors"
	"slices"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
)

func ending() []contract {
	return []contract{
		{"end/expire a batch", expireOne},
		{"end/cancel", cancelOne},
		{"end/cancel what is done or not ours", cancelNothing},
	}
}

func reading() []contract {
	return []contract{
		{"read/unknown batches", readUnknown},
		{"read/another project's", readIsolated},
		{"list/pages, newest first", listPages},
		{"list/filters", listFilters},
		{"list/bad cursors", listBadCursor},
		{"events/after a number", eventsAfter},
		{"completed/says which", completedSays},
	}
}

func expireOne(e env) {
	b, tests := e.create(3)
	other, _ := e.create(1)
	c := e.mustClaim(tests[0].ID, long)
	running := e.mustClaim(tests[1].ID, long)
	e.finish(c.ID, c.LeaseID, probe.CodeOK)
	done, err := e.ExpireBatch(e.Context(), b.ID)
	e.ok(err)
	e.same("completion", done, []batch.Completion{{BatchID: b.ID, Project: b.Project, ReplyTo: "api-1"}})
	got, all := e.read(b)
	if got.State() != batch.Done || got.Open != 0 {
		e.Errorf("batch is %s with %d open", got.State(), got.Open)
	}
	for i, want := range []struct {
		code probe.Code
		was  string
	}{{probe.CodeOK, ""}, {probe.CodeDeadlineExceeded, "running"}, {probe.CodeDeadlineExceeded, "queued"}} {
		if r := all[i].Report; r.Code != want.code || r.Evidence.Facts["was"] != want.was {
			e.Errorf("test %d: %s while %q, want %s while %q", i, r.Code, r.Evidence.Facts["was"], want.code, want.was)
		}
	}
	if accepted, _ := e.finish(running.ID, running.LeaseID, probe.CodeOK); accepted {
		e.Error("a late report was accepted")
	}
	if o, _ := e.read(other); o.Open != 1 {
		e.Error("another batch was ended too")
	}
	for _, id := range []string{b.ID, batch.NewID(), "no-uuid"} {
		if done, err := e.ExpireBatch(e.Context(), id); err != nil || len(done) > 0 {
			e.Errorf("nothing to expire: %v, %v", done, err)
		}
	}
}

func cancelOne(e env) {
	b, tests := e.create(2)
	c := e.mustClaim(tests[0].ID, long)
	done, n, err := e.Cancel(e.Context(), e.project, b.ID)
	e.ok(err)
	e.same("completion", done, []batch.Completion{{BatchID: b.ID, Project: b.Project, ReplyTo: "api-1"}})
	e.same("tests ended", n, 2)
	_, all := e.read(b)
	for i, t := range all {
		if t.Report == nil || t.Report.Code != probe.CodeCancelled || e.hasSecrets(t.ID) {
			e.Errorf("test %d: %+v", i, t.Report)
		}
	}
	ended, err := e.Finished(e.Context(), []string{c.ID})
	e.ok(err)
	e.same("what a worker sees", ended, []string{c.ID})
	if marked, err := e.MarkLogin(e.Context(), c.ID, c.LeaseID); err != nil || marked {
		e.Errorf("MarkLogin() after the cancel = %v, %v", marked, err)
	}
}

func cancelNothing(e env) {
	b, _ := e.create(1)
	for _, try := range []struct{ project, id string }{
		{"another", b.ID}, {e.project, batch.NewID()}, {e.project, "no-uuid"}, {"\xff\x00", b.ID},
	} {
		if _, _, err := e.Cancel(e.Context(), try.project, try.id); !errors.Is(err, batch.ErrNotFound) {
			e.Errorf("Cancel(%q, %q): %v, want ErrNotFound", try.project, try.id, err)
		}
	}
	if got, _ := e.read(b); got.Open != 1 {
		e.Error("another project cancelled the batch")
	}
	_, _, err := e.Cancel(e.Context(), e.project, b.ID)
	e.ok(err)
	done, n, err := e.Cancel(e.Context(), e.project, b.ID)
	if err != nil || len(done) != 0 || n != 0 {
		e.Errorf("second Cancel() = %v, %v; want nothing", done, err)
	}
}

func readUnknown(e env) {
	for _, id := range []string{batch.NewID(), "", "no-uuid", "\x00", "\xff"} {
		if _, _, err := e.Batch(e.Context(), e.project, id); !errors.Is(err, batch.ErrNotFound) {
			e.Errorf("Batch(%q): %v, want ErrNotFound", id, err)
		}
		if _, _, err := e.Events(e.Context(), e.project, id, 0); !errors.Is(err, batch.ErrNotFound) {
			e.Errorf("Events(%q): %v, want ErrNotFound", id, err)
		}
	}
}

func readIsolated(e env) {
	b, _ := e.create(1)
	for _, project := range []string{"another", "", "\xff", "\x00"} {
		if _, _, err := e.Batch(e.Context(), project, b.ID); !errors.Is(err, batch.ErrNotFound) {
			e.Errorf("Batch() for project %q: %v, want ErrNotFound", project, err)
		}
		if _, _, err := e.Events(e.Context(), project, b.ID, 0); !errors.Is(err, batch.ErrNotFound) {
			e.Errorf("Events() for project %q: %v, want ErrNotFound", project, err)
		}
		page, err := e.List(e.Context(), batch.Query{Project: project, JobID: "job-1", Limit: 10})
		if err != nil || len(page.Batches) != 0 {
			e.Errorf("List() for project %q: %d batches, %v", project, len(page.Batches), err)
		}
	}
}

// listed reads every page and gives the ids in order.
func (e env) listed(q batch.Query) []string {
	e.Helper()
	all := []string{}
	for {
		page, err := e.List(e.Context(), q)
		e.ok(err)
		if len(page.Batches) > q.Limit {
			e.Fatalf("page of %d, limit %d", len(page.Batches), q.Limit)
		}
		for _, b := range page.Batches {
			all = append(all, b.ID)
		}
		if page.Next == "" {
			return all
		}
		q.After = page.Next
	}
}

func listPages(e env) {
	var want []string
	for range 7 {
		b, _ := e.create(1)
		want = append([]string{b.ID}, want...)
	}
	for _, limit := range []int{1, 2, 3, 6, 7, 8} {
		e.same(label("pages of %d", limit), e.listed(batch.Query{Project: e.project, Limit: limit}), want)
		e.same(label("a job's pages of %d", limit), e.listed(batch.Query{Project: e.project, JobID: "job-1", Limit: limit}), want)
	}
	// A batch that comes in between is not on the pages that follow.
	first, err := e.List(e.Context(), batch.Query{Project: e.project, Limit: 3})
	e.ok(err)
	e.create(1)
	e.same("rest", e.listed(batch.Query{Project: e.project, Limit: 3, After: first.Next}), want[3:])
	page, err := e.List(e.Context(), batch.Query{Project: e.project, Limit: 1, After: first.Next})
	e.ok(err)
	whole, _ := e.read(page.Batches[0])
	e.same("listed batch", page.Batches[0], whole)
}

func listFilters(e env) {
	open, _ := e.create(1)
	done, _ := e.create(2, func(_ *batch.Batch, tests []batch.Test) {
		report := newReport(probe.CodeJobUnknown)
		tests[0].JobID, tests[0].Report, tests[1].Report = "job-2", &report, &report
	})
	late, _ := e.create(2, func(_ *batch.Batch, tests []batch.Test) { tests[0].JobID, tests[1].JobID = "job-3", "job-3" })
	for _, c := range []struct {
		name string
		q    batch.Query
		want []string
	}{
		{"all", batch.Query{}, []string{late.ID, done.ID, open.ID}},
		{"running", batch.Query{State: batch.Running}, []string{late.ID, open.ID}},
		{"done", batch.Query{State: batch.Done}, []string{done.ID}},
		{"queued", batch.Query{State: batch.Queued}, []string{}},
		{"job", batch.Query{JobID: "job-1"}, []string{done.ID, open.ID}},
		{"job, once per batch", batch.Query{JobID: "job-3"}, []string{late.ID}},
		{"job and state", batch.Query{JobID: "job-1", State: batch.Running}, []string{open.ID}},
		{"unknown job", batch.Query{JobID: "job-4"}, []string{}},
		{"since, inclusive", batch.Query{Since: done.CreatedAt}, []string{late.ID, done.ID}},
		{"until, exclusive", batch.Query{Until: done.CreatedAt}, []string{open.ID}},
		{"between", batch.Query{Since: done.CreatedAt, Until: late.CreatedAt}, []string{done.ID}},
		{"job between", batch.Query{JobID: "job-1", Since: done.CreatedAt, Until: late.CreatedAt}, []string{done.ID}},
		{"before all", batch.Query{Until: open.CreatedAt.Add(-time.Hour)}, []string{}},
	} {
		c.q.Project, c.q.Limit = e.project, 2
		e.same(c.name, e.listed(c.q), c.want)
	}
}

func listBadCursor(e env) {
	e.create(1)
	for _, after := range []string{"x", "!!!", "MTIz", "OTk5OTk5OTk5OTk5OTk5OTk5OTkuMDE5MDAwMDAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAw", "\x00"} {
		if _, err := e.List(e.Context(), batch.Query{Project: e.project, Limit: 1, After: after}); !errors.Is(err, batch.ErrBadCursor) {
			e.Errorf("List(after %q): %v, want ErrBadCursor", after, err)
		}
	}
}

func eventsAfter(e env) {
	b, tests := e.create(4)
	order := []int{2, 0, 3}
	for _, i := range order {
		c := e.mustClaim(tests[i].ID, long)
		e.finish(c.ID, c.LeaseID, probe.CodeOK)
	}
	for after := range 5 {
		got, events, err := e.Events(e.Context(), e.project, b.ID, after)
		e.ok(err)
		if got.ID != b.ID || got.Open != 1 {
			e.Errorf("Events() = batch %s with %d open", got.ID, got.Open)
		}
		var want []string
		for _, i := range order[min(after, len(order)):] {
			want = append(want, tests[i].ID)
		}
		if !slices.Equal(ids(events), want) {
			e.Errorf("Events(after %d) = %v, want %v", after, ids(events), want)
		}
		for i, t := range events {
			if t.Seq != after+i+1 || t.Report == nil || t.Target.Password.IsSet() {
				e.Errorf("event %d after %d: seq %d, report %v", i, after, t.Seq, t.Report)
			}
		}
	}
}

func completedSays(e env) {
	b, tests := e.create(1)
	open, _ := e.create(1)
	c := e.mustClaim(tests[0].ID, long)
	e.finish(c.ID, c.LeaseID, probe.CodeOK)
	got, err := e.Completed(e.Context(), []string{open.ID, b.ID, batch.NewID(), "no-uuid"})
	e.ok(err)
	e.same("completed", got, []string{b.ID})
	got, err = e.Completed(e.Context(), nil)
	e.ok(err)
	if len(got) != 0 {
		e.Errorf("Completed(nil) = %v", got)
	}
}
