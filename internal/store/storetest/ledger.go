package storetest

import (
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

// refused logs in with the test and has the server refuse it.
func (e env) refused(testID string, l batch.Limits) {
	e.Helper()
	e.logsIn(testID, l, probe.CodeAuthFailed)
}

// suppressed claims under limits, and fails unless the ledger objects.
func (e env) suppressed(testID string, l batch.Limits, rule batch.SuppressionRule) batch.Claimed {
	e.Helper()
	c := e.try(testID, l, long)
	if c.LeaseID == "" || c.Suppressed == nil || c.Suppressed.Rule != rule {
		e.Fatalf("lease %q, suppressed %+v; want %s", c.LeaseID, c.Suppressed, rule)
	}
	return c
}

func guardSameCredential(e env) {
	_, tests := e.create(4, target(func(i int, t *probe.Target) {
		if i == 2 {
			t.Password = secret.New(marker + "-other")
		}
		if i == 3 {
			t.User = "another"
		}
	}))
	before := time.Now()
	e.refused(tests[0].ID, limits())
	c := e.suppressed(tests[1].ID, limits(), batch.SameCredential)
	if s := c.Suppressed; s.Reason != probe.CodeAuthFailed || s.At.Before(before.Add(-time.Second)) || s.RetryAt.Sub(s.At) != 30*time.Second {
		e.Errorf("suppressed %+v", s)
	}
	e.record(c.ID, c.LeaseID, newReport(probe.CodeLoginSuppressed))
	e.runs(tests[3].ID, limits())
	e.logsIn(tests[2].ID, limits(), probe.CodeOK)
	short := limits()
	short.RepeatAfter = 50 * time.Millisecond
	_, again := e.create(1)
	e.admittedAt(again[0].ID, short)
}

// admittedAt claims until the ledger does not object any more.
func (e env) admittedAt(testID string, l batch.Limits) {
	e.Helper()
	e.eventually("the ledger does not object", func() bool {
		c := e.try(testID, l, long)
		if c.Suppressed != nil {
			e.handBack(c)
		}
		return c.LeaseID != "" && c.Suppressed == nil
	})
}

func guardRefusals(e env) {
	l := limits()
	_, tests := e.create(5, otherPasswords())
	var first time.Time
	for i, t := range tests[:3] {
		if i == 0 {
			first = time.Now()
		}
		e.refused(t.ID, l)
	}
	c := e.suppressed(tests[3].ID, l, batch.TooManyRefused)
	if s := c.Suppressed; s.Reason != probe.CodeAuthFailed || s.RetryAt.Sub(first.Add(l.RefusalWindow)).Abs() > time.Second {
		e.Errorf("suppressed %+v, first refused at %v", s, first)
	}
	l.Refusals = 4
	e.record(c.ID, c.LeaseID, newReport(probe.CodeLoginSuppressed))
	e.logsIn(tests[4].ID, l, probe.CodeOK)
	l.Refusals, l.RefusalWindow = 3, 50*time.Millisecond
	_, later := e.create(1, otherPasswords())
	e.admittedAt(later[0].ID, l)
}

func guardProjects(e env) {
	_, tests := e.create(1)
	e.refused(tests[0].ID, limits())
	other := e
	other.project = "project-" + batch.NewID()
	_, others := other.create(1)
	other.suppressed(others[0].ID, limits(), batch.SameCredential)
}

func guardPassed(e env) {
	_, tests := e.create(6)
	for i, code := range []probe.Code{probe.CodeOK, probe.CodeDatabaseUnknown, probe.CodePasswordExpired, probe.CodeTooManyConnections, probe.CodeOK} {
		e.logsIn(tests[i].ID, limits(), code)
	}
	e.runs(tests[5].ID, limits())
}

func guardForce(e env) {
	_, tests := e.create(1)
	e.refused(tests[0].ID, limits())
	_, forced := e.create(2, func(b *batch.Batch, _ []batch.Test) { b.Force = true })
	e.runs(forced[0].ID, limits())
	e.held(forced[1].ID, limits())
}

func guardNoCredentials(e env) {
	_, tests := e.create(3, target(func(_ int, t *probe.Target) { t.User, t.Password = "", secret.Text{} }))
	e.logsIn(tests[0].ID, limits(), probe.CodeAuthFailed)
	e.runs(tests[1].ID, limits())
	e.runs(tests[2].ID, limits())
}

// guardInterrupted is the worker that dies between mark and report.
func guardInterrupted(e env) {
	l := limits()
	l.Refusals = 1
	b, tests := e.create(3, otherPasswords())
	for lease := 50 * time.Millisecond; ; lease *= 2 {
		c := e.try(tests[0].ID, l, lease)
		marked, err := e.MarkLogin(e.Context(), c.ID, c.LeaseID)
		e.ok(err)
		e.passes(c.StartedAt.Add(lease))
		if marked {
			break
		}
	}
	e.held(tests[1].ID, l) // nobody has ended it, nobody knows
	_, n, err := e.Interrupt(e.Context(), 3, 10)
	e.ok(err)
	if got := e.readTest(b, tests[0].ID); n != 1 || got.Report.Code != probe.CodeInterrupted || got.LoginAt == nil {
		e.Fatalf("%d ended, report %+v", n, got.Report)
	}
	e.refusesClaim(tests[0].ID)
	c := e.suppressed(tests[2].ID, l, batch.TooManyRefused)
	if c.Suppressed.Reason != probe.CodeInterrupted {
		e.Errorf("reason %s", c.Suppressed.Reason)
	}
	l.Refusals = 2
	_, again := e.create(1)
	e.record(c.ID, c.LeaseID, newReport(probe.CodeLoginSuppressed))
	e.runs(again[0].ID, l)
}

// guardLate is the worker that was paused between mark and report.
func guardLate(e env) {
	l := limits()
	l.Refusals = 1
	_, tests := e.create(1)
	c := e.runs(tests[0].ID, l)
	e.marks(c)
	_, _, err := e.Cancel(e.Context(), e.project, tests[0].BatchID)
	e.ok(err)
	_, tests = e.create(1)
	if got := e.record(c.ID, c.LeaseID, loggedIn(probe.CodeOK)); len(got.Accepted) != 0 {
		e.Fatal("a late report was accepted")
	}
	next := e.runs(tests[0].ID, l) // it had passed
	e.marks(next)
	_, _, err = e.Cancel(e.Context(), e.project, tests[0].BatchID)
	e.ok(err)
	e.record(next.ID, next.LeaseID, loggedIn(probe.CodeAuthFailed))
	_, tests = e.create(1)
	if got := e.suppressed(tests[0].ID, limits(), batch.SameCredential); got.Suppressed.Reason != probe.CodeAuthFailed {
		e.Errorf("reason %s", got.Suppressed.Reason)
	}
}

func guardForgets(e env) {
	_, tests := e.create(3)
	e.refused(tests[0].ID, limits())
	e.ok(e.Forget(e.Context(), time.Minute))
	c := e.suppressed(tests[1].ID, limits(), batch.SameCredential)
	e.record(c.ID, c.LeaseID, newReport(probe.CodeLoginSuppressed))
	e.eventually("the login is old", func() bool {
		e.ok(e.Forget(e.Context(), time.Millisecond))
		c := e.try(tests[2].ID, limits(), long)
		if c.Suppressed != nil {
			e.handBack(c)
		}
		return c.LeaseID != "" && c.Suppressed == nil
	})
}

func guardNoSecret(e env) {
	_, tests := e.create(2)
	e.refused(tests[0].ID, limits())
	all, err := e.Dump(e.Context())
	e.ok(err)
	e.withoutSecret(all)
}
