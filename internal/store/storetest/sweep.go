package storetest

import (
	"context"
	"sync"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
)

func sweeping() []contract {
	return []contract{
		{"expire/queued and running", expireBoth},
		{"expire/pages, oldest deadline first", expirePages},
		{"expire/in every process at once", expireTogether},
		{"interrupt/after a login", interruptAfterLogin},
		{"interrupt/on the last probe", interruptLastProbe},
		{"interrupt/not a lease in force", interruptNotInForce},
		{"reclaim/before a login", reclaimBeforeLogin},
		{"reclaim/not after a login", reclaimNotAfterLogin},
		{"strays/once in each age", straysOnce},
		{"strays/only what nobody has", straysOnlyIdle},
		{"strays/oldest deadline first, up to the limit", straysPages},
		{"strays/each to one process", straysTogether},
		{"raise/what is open and free", raiseFree},
	}
}

func (e env) overdue(b batch.Batch) {
	e.Helper()
	e.passes(b.Deadline)
}

func expireBoth(e env) {
	const soon = 150 * time.Millisecond
	b, tests := e.create(2, timeout(soon))
	e.create(1) // whose time has not come
	running := e.mustClaim(tests[1].ID, long)
	if done, n, err := e.Expire(e.Context(), 100); err != nil || n != 0 || len(done) != 0 {
		e.Fatalf("Expire() before the deadline = %v, %d, %v", done, n, err)
	}
	e.overdue(b)
	done, n, err := e.Expire(e.Context(), 100)
	e.ok(err)
	if n != 2 {
		e.Errorf("Expire() ended %d, want 2", n)
	}
	e.same("completion", done, []batch.Completion{{BatchID: b.ID, Project: b.Project, ReplyTo: "api-1"}})
	got, all := e.read(b)
	if got.State() != batch.Done || got.Open != 0 {
		e.Errorf("batch is %s with %d open", got.State(), got.Open)
	}
	for i, was := range []string{"queued", "running"} {
		r := all[i].Report
		if r == nil || r.Code != probe.CodeDeadlineExceeded || r.Evidence.Facts["was"] != was || r.LoginSent || r.Attempts != i {
			e.Errorf("test %d: report %+v, want deadline_exceeded while %s", i, r, was)
		}
		if e.hasSecrets(all[i].ID) {
			e.Errorf("test %d kept its secrets", i)
		}
	}
	if accepted, _ := e.finish(running.ID, running.LeaseID, probe.CodeOK); accepted {
		e.Error("a report after the deadline was accepted")
	}
	if done, n, err := e.Expire(e.Context(), 100); err != nil || n != 0 || len(done) != 0 {
		e.Errorf("second Expire() = %v, %d, %v", done, n, err)
	}
}

func expirePages(e env) {
	late, lateTests := e.create(2, timeout(60*time.Millisecond))
	early, earlyTests := e.create(2, timeout(20*time.Millisecond))
	e.overdue(late)
	e.overdue(early)
	_, n, err := e.Expire(e.Context(), 2)
	e.ok(err)
	gone, err := e.Finished(e.Context(), append(ids(lateTests), ids(earlyTests)...))
	e.ok(err)
	if n != 2 {
		e.Errorf("Expire(2) ended %d", n)
	}
	e.same("ended first", sorted(gone), sorted(ids(earlyTests)))
	if _, n, err := e.Expire(e.Context(), 5); err != nil || n != 2 {
		e.Errorf("second Expire() = %d, %v; want 2", n, err)
	}
}

func expireTogether(e env) {
	var last batch.Batch
	const batches, each = 10, 4
	for range batches {
		last, _ = e.create(each, timeout(time.Millisecond))
	}
	e.overdue(last)
	var mu sync.Mutex
	ended, completions := 0, 0
	e.together(4, func(ctx context.Context, _ int) error {
		done, n, err := e.Expire(ctx, 100)
		mu.Lock()
		defer mu.Unlock()
		ended, completions = ended+n, completions+len(done)
		return err
	})
	// What was skipped because another was at it was ended by that one, or is
	// left to the next sweep.
	done, n, err := e.Expire(e.Context(), 100)
	e.ok(err)
	if ended+n != batches*each || completions+len(done) != batches {
		e.Errorf("%d tests and %d batches ended, want %d and %d", ended+n, completions+len(done), batches*each, batches)
	}
}

func interruptAfterLogin(e env) {
	b, tests := e.create(1)
	c := e.lapsedAfterLogin(tests[0].ID)
	if tasks, err := e.Reclaim(e.Context(), 3, 10); err != nil || len(tasks) != 0 {
		e.Errorf("Reclaim() after a login = %v, %v", tasks, err)
	}
	done, n, err := e.Interrupt(e.Context(), 3, 10)
	if err != nil || n != 1 || len(done) != 1 {
		e.Fatalf("Interrupt() = %v, %d, %v", done, n, err)
	}
	r := e.readTest(b, c.ID).Report
	if r.Code != probe.CodeInterrupted || !r.LoginSent || r.Attempts != c.Probes {
		e.Errorf("report %+v", r)
	}
	if e.hasSecrets(c.ID) {
		e.Error("sealed secrets are kept")
	}
	if accepted, _ := e.finish(c.ID, c.LeaseID, probe.CodeOK); accepted {
		e.Error("a late report was accepted")
	}
}

func interruptLastProbe(e env) {
	b, tests := e.create(1)
	e.lapsed(tests[0].ID)
	if _, n, err := e.Interrupt(e.Context(), 2, 10); err != nil || n != 0 {
		e.Fatalf("Interrupt() on the first of 2 probes = %d, %v", n, err)
	}
	if tasks, err := e.Reclaim(e.Context(), 3, 10); err != nil || len(tasks) != 1 {
		e.Fatalf("Reclaim() = %v, %v", tasks, err)
	}
	e.lapsed(tests[0].ID)
	if tasks, err := e.Reclaim(e.Context(), 2, 10); err != nil || len(tasks) != 0 {
		e.Errorf("Reclaim() on the last of 2 probes = %v, %v; want none", tasks, err)
	}
	if _, n, err := e.Interrupt(e.Context(), 2, 10); err != nil || n != 1 {
		e.Fatalf("Interrupt() on the last of 2 probes = %d, %v", n, err)
	}
	if r := e.readTest(b, tests[0].ID).Report; r.Code != probe.CodeWorkerLost || r.LoginSent || r.Attempts != 2 {
		e.Errorf("report %+v", r)
	}
}

func interruptNotInForce(e env) {
	_, tests := e.create(2)
	c := e.mustClaim(tests[0].ID, long)
	if marked, err := e.MarkLogin(e.Context(), c.ID, c.LeaseID); err != nil || !marked {
		e.Fatalf("MarkLogin() = %v, %v", marked, err)
	}
	if _, n, err := e.Interrupt(e.Context(), 1, 10); err != nil || n != 0 {
		e.Errorf("Interrupt() = %d, %v; want none", n, err)
	}
	if tasks, err := e.Reclaim(e.Context(), 3, 10); err != nil || len(tasks) != 0 {
		e.Errorf("Reclaim() = %v, %v; want none", tasks, err)
	}
}

func reclaimBeforeLogin(e env) {
	b, tests := e.create(2)
	c := e.lapsed(tests[0].ID)
	tasks, err := e.Reclaim(e.Context(), 3, 10)
	e.ok(err)
	e.same("tasks", tasks, []batch.Task{{TestID: c.ID, Attempt: 2, Lane: batch.Interactive, Network: "eip"}})
	if got := e.readTest(b, c.ID); got.State() != batch.Queued || got.Attempt != 2 || got.Probes != 1 {
		e.Errorf("reclaimed: %s, attempt %d, probes %d", got.State(), got.Attempt, got.Probes)
	}
	if accepted, _ := e.finish(c.ID, c.LeaseID, probe.CodeOK); accepted {
		e.Error("a report of the reclaimed lease was accepted")
	}
	if marked, err := e.MarkLogin(e.Context(), c.ID, c.LeaseID); err != nil || marked {
		e.Errorf("MarkLogin() of the reclaimed lease = %v, %v", marked, err)
	}
	e.mustClaim(c.ID, long)
}

func reclaimNotAfterLogin(e env) {
	b, tests := e.create(1)
	c := e.lapsedAfterLogin(tests[0].ID)
	if tasks, err := e.Reclaim(e.Context(), 3, 10); err != nil || len(tasks) != 0 {
		e.Errorf("Reclaim() after a login = %v, %v; want none", tasks, err)
	}
	if got := e.readTest(b, c.ID); got.State() != batch.Running || got.Attempt != 1 {
		e.Errorf("a test whose login is out is %s, attempt %d", got.State(), got.Attempt)
	}
}

func straysOnce(e env) {
	const age = 150 * time.Millisecond
	created := time.Now() // before the store's, so that a slow commit counts
	_, tests := e.create(1)
	var listed []batch.Task
	e.eventually("test is a stray", func() bool {
		var err error
		listed, err = e.Strays(e.Context(), age, 10)
		e.ok(err)
		return len(listed) > 0
	})
	first := time.Now()
	if first.Sub(created) < age-50*time.Millisecond {
		e.Errorf("listed after %v, want at least %v", first.Sub(created), age)
	}
	e.same("tasks", listed, []batch.Task{{TestID: tests[0].ID, Attempt: 1, Lane: batch.Interactive, Network: "eip"}})
	again, err := e.Strays(e.Context(), long, 10)
	e.ok(err)
	if len(again) != 0 {
		e.Error("listed twice in one age")
	}
	e.eventually("stray is listed in the next age", func() bool {
		got, err := e.Strays(e.Context(), age, 10)
		e.ok(err)
		return len(got) == 1
	})
	if time.Since(first) < age-50*time.Millisecond {
		e.Errorf("listed again after %v, want at least %v", time.Since(first), age)
	}
}

func straysOnlyIdle(e env) {
	_, tests := e.create(5)
	e.mustClaim(tests[0].ID, long)
	done := e.mustClaim(tests[1].ID, long)
	e.finish(done.ID, done.LeaseID, probe.CodeOK)
	waiting := e.mustClaim(tests[2].ID, long)
	_, err := e.Release(e.Context(), []batch.Release{{TestID: waiting.ID, LeaseID: waiting.LeaseID, After: long}})
	e.ok(err)
	overdue, _ := e.create(1, timeout(time.Millisecond))
	e.overdue(overdue)
	var got []batch.Task
	e.eventually("strays appear", func() bool {
		got, err = e.Strays(e.Context(), 5*time.Millisecond, 10)
		e.ok(err)
		return len(got) > 0
	})
	e.same("strays", taskIDs(got), sorted(ids(tests[3:])))
}

func straysPages(e env) {
	const age = 200 * time.Millisecond
	_, late := e.create(2)
	b, early := e.create(2, timeout(long/2))
	e.passes(b.CreatedAt.Add(age))
	for _, want := range [][]batch.Test{early, late} {
		got, err := e.Strays(e.Context(), age, 2)
		e.ok(err)
		e.same("page", taskIDs(got), sorted(ids(want)))
	}
}

func straysTogether(e env) {
	const age = 500 * time.Millisecond
	b, tests := e.create(40)
	e.passes(b.CreatedAt.Add(age))
	var mu sync.Mutex
	times := map[string]int{}
	e.together(4, func(ctx context.Context, _ int) error {
		got, err := e.Strays(ctx, age, 40)
		mu.Lock()
		defer mu.Unlock()
		for _, t := range got {
			times[t.TestID]++
		}
		return err
	})
	for _, t := range tests {
		if times[t.ID] > 1 {
			e.Fatalf("stray listed %d times at once", times[t.ID])
		}
	}
	if len(times) == 0 {
		e.Error("no strays listed")
	}
}

func raiseFree(e env) {
	b, tests := e.create(4)
	e.mustClaim(tests[0].ID, long)
	done := e.mustClaim(tests[1].ID, long)
	e.finish(done.ID, done.LeaseID, probe.CodeOK)
	tasks, err := e.Raise(e.Context(), append(ids(tests[:3]), "no-uuid", batch.NewID()))
	e.ok(err)
	e.same("tasks", tasks, []batch.Task{{TestID: tests[2].ID, Attempt: 2, Lane: batch.Interactive, Network: "eip"}})
	if got := e.readTest(b, tests[2].ID); got.Attempt != 2 || got.Probes != 0 {
		e.Errorf("attempt %d, probes %d; want 2, 0", got.Attempt, got.Probes)
	}
	if got := e.readTest(b, tests[3].ID); got.Attempt != 1 {
		e.Errorf("attempt of another test = %d", got.Attempt)
	}
}
