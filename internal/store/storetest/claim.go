package storetest

import (
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
)

func claiming() []contract {
	return []contract{
		{"claim/gives the test with its secrets", claimGives},
		{"claim/many at once", claimMany},
		{"claim/not what is leased", claimNotLeased},
		{"claim/not what is finished", claimNotFinished},
		{"claim/not what is past its deadline", claimNotOverdue},
		{"claim/not before not_before", claimNotBefore},
		{"claim/not what has sent a login", claimNotAfterLogin},
		{"claim/not what does not exist", claimUnknown},
		{"claim/takes over a lease that ran out", claimTakesOver},
		{"mark/once, under a lease in force", markLogin},
		{"mark/not after the lease ran out", markLapsed},
		{"release/raises the attempt and waits", releaseWaits},
		{"release/handed back does not count", releaseHandBack},
		{"release/not after a login", releaseAfterLogin},
		{"release/not without the lease", releaseStale},
	}
}

func claimGives(e env) {
	b, tests := e.create(1)
	lease := batch.NewID()
	got, err := e.Claim(e.Context(), []batch.Claim{{TestID: tests[0].ID, LeaseID: lease, Worker: "worker-7", Lease: long}})
	e.ok(err)
	if len(got) != 1 {
		e.Fatalf("Claim() granted %d, want 1", len(got))
	}
	c := got[0]
	e.same("target", c.Target, tests[0].Target)
	if c.LeaseID != lease || c.Lane != batch.Interactive || c.Trace != b.Trace {
		e.Errorf("Claim() = lease %s, lane %s, trace %q", c.LeaseID, c.Lane, c.Trace)
	}
	if c.ID != tests[0].ID || c.BatchID != b.ID || c.Project != e.project || c.Worker != "worker-7" || c.Probes != 1 || c.Attempt != 1 {
		e.Errorf("Claim() = %+v", c)
	}
	if c.Remaining <= 0 || c.Remaining > long || c.Waited < 0 || c.Waited > long {
		e.Errorf("Remaining = %v, Waited = %v", c.Remaining, c.Waited)
	}
	if took := b.Deadline.Sub(*c.StartedAt) - c.Remaining; took.Abs() > time.Second { // two looks at a clock
		e.Errorf("Remaining is %v away from deadline - now", took)
	}
	read := e.readTest(b, c.ID)
	if read.State() != batch.Running || read.Target.Password.IsSet() {
		e.Errorf("read back: %s, password shown: %v", read.State(), read.Target.Password.IsSet())
	}
}

func claimMany(e env) {
	_, tests := e.create(64)
	var claims []batch.Claim
	for _, t := range tests {
		claims = append(claims, batch.Claim{TestID: t.ID, LeaseID: batch.NewID(), Worker: "w", Lease: long})
	}
	got, err := e.Claim(e.Context(), claims)
	e.ok(err)
	byTest := map[string]string{}
	for _, c := range got {
		byTest[c.ID] = c.LeaseID
	}
	for _, c := range claims {
		if byTest[c.TestID] != c.LeaseID {
			e.Fatalf("test %s has lease %q, want %q", c.TestID, byTest[c.TestID], c.LeaseID)
		}
	}
	none, err := e.Claim(e.Context(), nil)
	e.ok(err)
	if len(none) != 0 {
		e.Errorf("Claim(nil) granted %d", len(none))
	}
}

func claimNotLeased(e env) {
	_, tests := e.create(1)
	e.mustClaim(tests[0].ID, long)
	e.refusesClaim(tests[0].ID)
}

func (e env) refusesClaim(testID string) {
	e.Helper()
	if _, granted := e.claim(testID, long); granted {
		e.Error("Claim() was granted")
	}
}

func claimNotFinished(e env) {
	_, tests := e.create(1)
	c := e.mustClaim(tests[0].ID, long)
	e.finish(c.ID, c.LeaseID, probe.CodeOK)
	e.refusesClaim(c.ID)
}

func claimNotOverdue(e env) {
	b, tests := e.create(1, timeout(time.Millisecond))
	e.passes(b.Deadline)
	e.refusesClaim(tests[0].ID)
}

func claimNotBefore(e env) {
	b, tests := e.create(1)
	c := e.mustClaim(tests[0].ID, long)
	const after = 200 * time.Millisecond
	tasks, err := e.Release(e.Context(), []batch.Release{{TestID: c.ID, LeaseID: c.LeaseID, After: after}})
	e.ok(err)
	if len(tasks) != 1 {
		e.Fatal("Release() gave no task")
	}
	due := *e.readTest(b, c.ID).NotBefore
	var again batch.Claimed
	e.eventually("not_before passes", func() (granted bool) {
		again, granted = e.claim(c.ID, long)
		return granted
	})
	if again.StartedAt.Before(due) {
		e.Errorf("granted %v before not_before", due.Sub(*again.StartedAt))
	}
	if again.Waited >= after {
		e.Errorf("Waited = %v, want what passed since not_before only", again.Waited)
	}
}

func claimNotAfterLogin(e env) {
	_, tests := e.create(1)
	e.lapsedAfterLogin(tests[0].ID)
	e.refusesClaim(tests[0].ID)
}

func claimUnknown(e env) {
	for _, id := range []string{batch.NewID(), "", "no-uuid", "01900000-0000-7000-8000-00000000000g", "\x00", "\xff"} {
		got, err := e.Claim(e.Context(), []batch.Claim{{TestID: id, LeaseID: batch.NewID(), Worker: "w", Lease: long}})
		if err != nil || len(got) != 0 {
			e.Errorf("Claim(%q) = %d granted, %v", id, len(got), err)
		}
	}
}

// claimTakesOver is the worker that was paused: it comes back with a lease
// that somebody else has taken.
func claimTakesOver(e env) {
	b, tests := e.create(1)
	old := e.lapsed(tests[0].ID)
	now := e.mustClaim(tests[0].ID, long)
	if now.Probes != 2 || now.LeaseID == old.LeaseID {
		e.Errorf("second claim: probes %d, lease %s", now.Probes, now.LeaseID)
	}
	if marked, err := e.MarkLogin(e.Context(), old.ID, old.LeaseID); err != nil || marked {
		e.Errorf("MarkLogin(stale) = %v, %v", marked, err)
	}
	tasks, err := e.Release(e.Context(), []batch.Release{{TestID: old.ID, LeaseID: old.LeaseID}})
	if err != nil || len(tasks) != 0 {
		e.Errorf("Release(stale) = %v, %v", tasks, err)
	}
	if accepted, done := e.finish(old.ID, old.LeaseID, probe.CodeAuthFailed); accepted || len(done) != 0 {
		e.Errorf("Finish(stale) = %v, %v", accepted, done)
	}
	got := e.readTest(b, old.ID)
	if got.State() != batch.Running || got.LoginAt != nil || got.Attempt != 1 || got.Report != nil {
		e.Errorf("after stale calls: %+v", got)
	}
	if accepted, _ := e.finish(now.ID, now.LeaseID, probe.CodeOK); !accepted {
		e.Error("Finish() of the lease in force was not accepted")
	}
}

func markLogin(e env) {
	b, tests := e.create(2)
	c := e.mustClaim(tests[0].ID, long)
	for _, m := range []struct {
		name, test, lease string
		want              bool
	}{
		{"another's lease", c.ID, batch.NewID(), false},
		{"another test", tests[1].ID, c.LeaseID, false},
		{"no ids", "", "", false},
		{"ours", c.ID, c.LeaseID, true},
		{"ours again", c.ID, c.LeaseID, false},
	} {
		got, err := e.MarkLogin(e.Context(), m.test, m.lease)
		if err != nil || got != m.want {
			e.Errorf("%s: MarkLogin() = %v, %v; want %v", m.name, got, err, m.want)
		}
	}
	if e.readTest(b, c.ID).LoginAt == nil {
		e.Error("LoginAt is not set")
	}
	other := e.mustClaim(tests[1].ID, long)
	e.finish(other.ID, other.LeaseID, probe.CodeOK)
	if marked, err := e.MarkLogin(e.Context(), other.ID, other.LeaseID); err != nil || marked {
		e.Errorf("finished: MarkLogin() = %v, %v; want false", marked, err)
	}
}

func markLapsed(e env) {
	b, tests := e.create(1)
	c := e.lapsed(tests[0].ID)
	if marked, err := e.MarkLogin(e.Context(), c.ID, c.LeaseID); err != nil || marked {
		e.Errorf("MarkLogin() = %v, %v; want false", marked, err)
	}
	if e.readTest(b, c.ID).LoginAt != nil {
		e.Error("LoginAt is set")
	}
}

func releaseWaits(e env) {
	b, tests := e.create(1)
	c := e.mustClaim(tests[0].ID, long)
	tasks, err := e.Release(e.Context(), []batch.Release{{TestID: c.ID, LeaseID: c.LeaseID, After: long}})
	e.ok(err)
	e.same("tasks", tasks, []batch.Task{{TestID: c.ID, Attempt: 2, Lane: batch.Interactive, Network: "eip"}})
	got := e.readTest(b, c.ID)
	if got.State() != batch.Queued || got.Attempt != 2 || got.Probes != 1 || got.NotBefore == nil {
		e.Errorf("released test: %s, attempt %d, probes %d, not before %v", got.State(), got.Attempt, got.Probes, got.NotBefore)
	}
	if away := got.NotBefore.Sub(*c.StartedAt); away < long {
		e.Errorf("not_before is %v after the claim, want at least %v", away, long)
	}
	e.refusesClaim(c.ID)
	tasks, err = e.Release(e.Context(), []batch.Release{{TestID: c.ID, LeaseID: c.LeaseID}})
	if err != nil || len(tasks) != 0 {
		e.Errorf("second Release() = %v, %v", tasks, err)
	}
}

func releaseHandBack(e env) {
	_, tests := e.create(2)
	first, second := e.mustClaim(tests[0].ID, long), e.mustClaim(tests[1].ID, long)
	tasks, err := e.Release(e.Context(), []batch.Release{
		{TestID: first.ID, LeaseID: first.LeaseID, HandBack: true}, {TestID: second.ID, LeaseID: second.LeaseID, HandBack: true},
	})
	e.ok(err)
	e.same("tasks", taskIDs(tasks), sorted(ids(tests)))
	again := e.mustClaim(first.ID, long)
	if again.Probes != 1 || again.Attempt != 2 {
		e.Errorf("after a hand-back: probes %d, attempt %d; want 1, 2", again.Probes, again.Attempt)
	}
}

func releaseAfterLogin(e env) {
	_, tests := e.create(1)
	c := e.mustClaim(tests[0].ID, long)
	if marked, err := e.MarkLogin(e.Context(), c.ID, c.LeaseID); err != nil || !marked {
		e.Fatalf("MarkLogin() = %v, %v", marked, err)
	}
	tasks, err := e.Release(e.Context(), []batch.Release{{TestID: c.ID, LeaseID: c.LeaseID}})
	if err != nil || len(tasks) != 0 {
		e.Errorf("Release() = %v, %v; want nothing", tasks, err)
	}
}

func releaseStale(e env) {
	b, tests := e.create(2)
	c := e.mustClaim(tests[0].ID, long)
	done := e.mustClaim(tests[1].ID, long)
	e.finish(done.ID, done.LeaseID, probe.CodeOK)
	tasks, err := e.Release(e.Context(), []batch.Release{
		{TestID: c.ID, LeaseID: batch.NewID()}, {TestID: done.ID, LeaseID: done.LeaseID}, {TestID: "x", LeaseID: "y"},
	})
	if err != nil || len(tasks) != 0 {
		e.Errorf("Release() = %v, %v; want nothing", tasks, err)
	}
	if got := e.readTest(b, c.ID); got.State() != batch.Running || got.Attempt != 1 {
		e.Errorf("state %s, attempt %d", got.State(), got.Attempt)
	}
}
