package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

func guarding() []contract {
	return []contract{
		{"guard/one login at a time for an account", guardOneLogin},
		{"guard/another account, endpoint or network has its own slot", guardOthers},
		{"guard/every address of a list is taken", guardLists},
		{"guard/so many probes at an endpoint", guardEndpoint},
		{"guard/a finish wakes who waits", guardWakes},
		{"guard/a held test counts its wait and no probe", guardHeld},
		{"guard/a lease that ran out before the login frees the slot", guardLapsed},
		{"guard/a refused credential is not sent again for a while", guardSameCredential},
		{"guard/so many refusals of an account in a window", guardRefusals},
		{"guard/over all projects", guardProjects},
		{"guard/what passed is no refusal", guardPassed},
		{"guard/force goes against the ledger, but not beside another login", guardForce},
		{"guard/no credentials, no ledger", guardNoCredentials},
		{"guard/an interrupted login is unknown and counts", guardInterrupted},
		{"guard/a late report reaches the ledger", guardLate},
		{"guard/a login that may be under way keeps its slot after its test", guardCancelled},
		{"guard/a full endpoint rests", guardRests},
		{"guard/forgets", guardForgets},
		{"guard/holds no credential", guardNoSecret},
		{"race/a thousand claims of one account never overlap", raceSlot},
		{"race/an endpoint never has more probes than it may", raceEndpoint},
	}
}

func sharing() []contract {
	return []contract{
		{"share/a failure to connect ends who waits for the endpoint", shareFailure},
		{"share/not what came after the connection", shareLater},
		{"share/not with what runs, or asks elsewhere", shareNotOthers},
		{"same/is made once and ends with the other", sameOnce},
		{"same/ends with the other however that ends", sameInterrupted},
		{"same/follows a shared failure", sameShared},
		{"wait/a test that must wait for its share is not due before", waitShare},
	}
}

// limits are those of production.
func limits() batch.Limits {
	return batch.Limits{EndpointProbes: 2, Refusals: 3, RefusalWindow: 10 * time.Minute, RepeatAfter: 30 * time.Second}
}

// try claims under limits; without a grant it is the zero Claimed.
func (e env) try(testID string, l batch.Limits, lease time.Duration) batch.Claimed {
	e.Helper()
	got, err := e.Claim(e.Context(), []batch.Claim{{TestID: testID, LeaseID: batch.NewID(), Worker: "w", Lease: lease, Limits: l}})
	e.ok(err)
	if len(got) == 0 {
		return batch.Claimed{}
	}
	return got[0]
}

// runs claims under limits, and fails unless the test may run and log in.
func (e env) runs(testID string, l batch.Limits) batch.Claimed {
	e.Helper()
	c := e.try(testID, l, long)
	if c.LeaseID == "" || c.Suppressed != nil {
		e.Fatalf("not admitted: lease %q, suppressed %+v", c.LeaseID, c.Suppressed)
	}
	return c
}

// held claims under limits, and fails unless the test must wait.
func (e env) held(testID string, l batch.Limits) {
	e.Helper()
	if c := e.try(testID, l, long); c.LeaseID != "" {
		e.Fatalf("admitted, suppressed %+v", c.Suppressed)
	}
}

// refused logs in with the test and has the server refuse it.
func (e env) refused(testID string, l batch.Limits) {
	e.Helper()
	e.logsIn(testID, l, probe.CodeAuthFailed)
}

// logsIn makes a probe whose login ends with the code.
func (e env) logsIn(testID string, l batch.Limits, code probe.Code) {
	e.Helper()
	c := e.runs(testID, l)
	e.marks(c)
	e.record(c.ID, c.LeaseID, loggedIn(code))
}

func (e env) marks(c batch.Claimed) {
	e.Helper()
	marked, err := e.MarkLogin(e.Context(), c.ID, c.LeaseID)
	e.ok(err)
	if !marked {
		e.Fatal("login mark refused")
	}
}

func loggedIn(code probe.Code) probe.Report {
	r := newReport(code)
	r.LoginSent = true
	return r
}

// target changes what tests are about.
func target(change func(i int, t *probe.Target)) func(*batch.Batch, []batch.Test) {
	return func(_ *batch.Batch, tests []batch.Test) {
		for i := range tests {
			change(i, &tests[i].Target)
		}
	}
}

// otherPasswords gives each test a password of its own.
func otherPasswords() func(*batch.Batch, []batch.Test) {
	return target(func(_ int, t *probe.Target) { t.Password = secret.New(marker + batch.NewID()) })
}

func at(addresses ...string) []probe.Address {
	list := make([]probe.Address, len(addresses))
	for i, a := range addresses {
		list[i] = probe.Address{Host: a, Port: 3306}
	}
	return list
}

func guardOneLogin(e env) {
	_, tests := e.create(2, otherPasswords())
	c := e.runs(tests[0].ID, limits())
	e.held(tests[1].ID, limits())
	e.record(c.ID, c.LeaseID, newReport(probe.CodeOK))
	e.dueAgain(tests[1].ID)
	e.runs(tests[1].ID, limits())
}

// dueAgain waits until a held test is due, whoever is in its way.
func (e env) dueAgain(testID string) {
	e.Helper()
	e.eventually("the held test is due", func() bool {
		c, granted := e.claim(testID, long)
		if granted {
			e.handBack(c)
		}
		return granted
	})
}

// handBack releases a claim as if it had not been made.
func (e env) handBack(c batch.Claimed) {
	e.Helper()
	tasks, err := e.Release(e.Context(), []batch.Release{{TestID: c.ID, LeaseID: c.LeaseID, HandBack: true}})
	e.ok(err)
	if len(tasks) != 1 {
		e.Fatal("not handed back")
	}
}

func guardOthers(e env) {
	_, tests := e.create(5, func(_ *batch.Batch, tests []batch.Test) {
		tests[1].Target.User = "another"
		tests[2].Target.Addresses = at("other.example.com")
		tests[3].Network = "vpc"
		tests[4].Target.Addresses[0].Port = 3307
	})
	l := limits()
	for _, t := range tests {
		e.runs(t.ID, l)
	}
	_, same := e.create(2, func(_ *batch.Batch, tests []batch.Test) {
		tests[0].Target.Addresses = at("OTHER.example.com.")
		tests[1].Target.Addresses, tests[1].Target.User = at("other.example.com"), "USER\x00with a zero"
	})
	for _, t := range same { // other spellings
		e.held(t.ID, l)
	}
}

func guardLists(e env) {
	_, tests := e.create(4, func(_ *batch.Batch, tests []batch.Test) {
		tests[0].Target.Addresses = at("a", "b", "c")
		tests[1].Target.Addresses = at("b")
		tests[2].Target.Addresses = at("d", "c")
		tests[3].Target.Addresses = at("d")
	})
	first := e.runs(tests[0].ID, limits())
	e.held(tests[1].ID, limits())
	e.held(tests[2].ID, limits())
	alone := e.runs(tests[3].ID, limits())
	e.marks(first)
	e.record(first.ID, first.LeaseID, loggedIn(probe.CodeAuthFailed))
	e.dueAgain(tests[2].ID)
	e.suppressed(tests[2].ID, limits(), batch.SameCredential) // refused at c, whichever address it was
	e.record(alone.ID, alone.LeaseID, newReport(probe.CodeOK))
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

func guardEndpoint(e env) {
	_, tests := e.create(4, target(func(i int, t *probe.Target) { t.User = fmt.Sprint("user", i) }))
	e.runs(tests[0].ID, limits())
	second := e.runs(tests[1].ID, limits())
	e.held(tests[2].ID, limits())
	e.record(second.ID, second.LeaseID, newReport(probe.CodeOK))
	e.runs(tests[3].ID, limits())
}

func guardWakes(e env) {
	b, tests := e.create(3, target(func(i int, t *probe.Target) { t.User = fmt.Sprint("user", i%2) }))
	first := e.runs(tests[0].ID, limits())
	e.runs(tests[1].ID, limits())
	e.held(tests[2].ID, limits())
	if got := e.readTest(b, tests[2].ID); got.Attempt != 2 || got.NotBefore == nil || got.State() != batch.Queued {
		e.Errorf("held: attempt %d, not before %v, %s", got.Attempt, got.NotBefore, got.State())
	}
	got := e.record(first.ID, first.LeaseID, newReport(probe.CodeOK))
	e.same("woken", got.Woken, []batch.Task{{TestID: tests[2].ID, Attempt: 3, Lane: batch.Interactive, Network: "eip"}})
	e.runs(tests[2].ID, limits())
}

func guardHeld(e env) {
	_, tests := e.create(2)
	first := e.runs(tests[0].ID, limits())
	e.held(tests[1].ID, limits())
	time.Sleep(20 * time.Millisecond) // the wait that is measured
	e.record(first.ID, first.LeaseID, newReport(probe.CodeOK))
	c := e.runs(tests[1].ID, limits())
	if c.Probes != 1 || c.SlotWait < 20*time.Millisecond || c.SlotWait > long || c.Waited >= c.SlotWait {
		e.Errorf("probes %d, slot wait %v, waited %v", c.Probes, c.SlotWait, c.Waited)
	}
	if first.SlotWait != 0 {
		e.Errorf("slot wait of the first = %v", first.SlotWait)
	}
}

func guardLapsed(e env) {
	_, tests := e.create(2)
	first := e.try(tests[0].ID, limits(), brief)
	e.passes(*first.StartedAt)
	e.runs(tests[1].ID, limits())
	if marked, err := e.MarkLogin(e.Context(), first.ID, first.LeaseID); err != nil || marked {
		e.Errorf("MarkLogin(lapsed) = %v, %v", marked, err)
	}
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

func guardCancelled(e env) {
	l := limits()
	_, tests := e.create(1)
	c := e.runs(tests[0].ID, l)
	e.marks(c)
	_, _, err := e.Cancel(e.Context(), e.project, tests[0].BatchID)
	e.ok(err)
	_, next := e.create(1)
	e.held(next[0].ID, l) // the other worker may not know yet
	e.record(c.ID, c.LeaseID, loggedIn(probe.CodeOK))
	e.dueAgain(next[0].ID)
	e.runs(next[0].ID, l)
}

func guardRests(e env) {
	const pause = 200 * time.Millisecond
	_, tests := e.create(3, target(func(i int, t *probe.Target) { t.User = fmt.Sprint("user", i) }))
	c := e.runs(tests[0].ID, limits())
	_, err := e.Release(e.Context(), []batch.Release{{TestID: c.ID, LeaseID: c.LeaseID, Rest: pause}})
	e.ok(err)
	released := time.Now()
	e.held(tests[1].ID, limits())
	_, elsewhere := e.create(1, target(func(_ int, t *probe.Target) { t.Addresses = at("other.example.com") }))
	e.runs(elsewhere[0].ID, limits())
	var next batch.Claimed
	e.eventually("the endpoint has rested", func() bool {
		next = e.try(tests[1].ID, limits(), long)
		return next.LeaseID != ""
	})
	if slept := time.Since(released); slept < pause-50*time.Millisecond {
		e.Errorf("rested for %v", slept)
	}
	_, err = e.Finish(e.Context(), []batch.Finish{{TestID: next.ID, LeaseID: next.LeaseID, Report: newReport(probe.CodeTooManyConnections), Rest: long}})
	e.ok(err)
	e.held(tests[2].ID, limits())
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

// peak counts, and remembers the most.
type peak struct {
	mu        sync.Mutex
	now, most int
}

func (p *peak) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now += n
	p.most = max(p.most, p.now)
}

// raceSlot lets workers race for the one slot of an account.
func raceSlot(e env) {
	const workers, rounds = 4, 250
	var logins atomic.Int32
	var running peak
	l := limits()
	l.EndpointProbes = 0
	e.together(workers, func(ctx context.Context, _ int) error {
		for range rounds {
			b := e.newBatch(1)
			t := e.newTest(b, 0)
			if _, err := e.Create(ctx, b, []batch.Test{t}); err != nil {
				return err
			}
			got, err := e.Claim(ctx, []batch.Claim{{TestID: t.ID, LeaseID: batch.NewID(), Worker: "w", Lease: long, Limits: l}})
			if err != nil {
				return err
			}
			if len(got) == 0 {
				continue
			}
			running.add(1)
			marked, err := e.MarkLogin(ctx, t.ID, got[0].LeaseID)
			if err != nil {
				return err
			}
			if marked {
				logins.Add(1)
			}
			running.add(-1)
			if _, err := e.Finish(ctx, []batch.Finish{{TestID: t.ID, LeaseID: got[0].LeaseID, Report: loggedIn(probe.CodeOK)}}); err != nil {
				return err
			}
		}
		return nil
	})
	if running.most != 1 || logins.Load() == 0 {
		e.Errorf("%d logins, up to %d at once", logins.Load(), running.most)
	}
}

// raceEndpoint claims in groups, as workers do.
func raceEndpoint(e env) {
	const workers, rounds, size = 4, 20, 6
	var claimed atomic.Int32
	var running peak
	e.together(workers, func(ctx context.Context, _ int) error {
		for range rounds {
			b := e.newBatch(size)
			var tests []batch.Test
			var claims []batch.Claim
			for i := range size {
				t := e.newTest(b, i)
				t.Target.User = batch.NewID()
				t.Target.Addresses = at(fmt.Sprint("host", i%3), fmt.Sprint("host", (i+1)%3))[:1+i%2]
				tests = append(tests, t)
				claims = append(claims, batch.Claim{TestID: t.ID, LeaseID: batch.NewID(), Worker: "w", Lease: long, Limits: limits()})
			}
			if _, err := e.Create(ctx, b, tests); err != nil {
				return err
			}
			got, err := e.Claim(ctx, claims)
			if err != nil {
				return err
			}
			claimed.Add(int32(len(got)))
			there := 0
			for _, c := range got {
				if slices.Contains(c.Target.Addresses, at("host0")[0]) {
					there++
				}
			}
			running.add(there)
			running.add(-there)
			var reports []batch.Finish
			for _, c := range got {
				reports = append(reports, batch.Finish{TestID: c.ID, LeaseID: c.LeaseID, Report: newReport(probe.CodeOK)})
			}
			if _, err := e.Finish(ctx, reports); err != nil {
				return err
			}
		}
		return nil
	})
	if running.most > 2 || claimed.Load() == 0 {
		e.Errorf("%d claimed, up to %d at once at one endpoint", claimed.Load(), running.most)
	}
}

func shareFailure(e env) {
	b, tests := e.create(4, otherPasswords())
	c := e.mustClaim(tests[2].ID, long)
	got := e.record(c.ID, c.LeaseID, newReport(probe.CodeConnectionRefused))
	e.same("done", got.Done, []batch.Completion{{BatchID: b.ID, Project: b.Project, ReplyTo: "api-1"}})
	read, all := e.read(b)
	if read.Open != 0 || read.State() != batch.Done {
		e.Errorf("batch: %d open, %s", read.Open, read.State())
	}
	var numbers []int
	for i, t := range all {
		want := newReport(probe.CodeConnectionRefused)
		if i != 2 {
			want.SharedFrom = c.ID
		}
		e.same("report", t.Report, &want)
		if e.hasSecrets(t.ID) {
			e.Errorf("test %d keeps its secrets", i)
		}
		numbers = append(numbers, t.Seq)
	}
	slices.Sort(numbers)
	e.same("numbers", numbers, []int{1, 2, 3, 4})
}

func shareLater(e env) {
	b, tests := e.create(2)
	c := e.mustClaim(tests[0].ID, long)
	e.record(c.ID, c.LeaseID, newReport(probe.CodeTLSRequired))
	if got := e.readTest(b, tests[1].ID); got.State() != batch.Queued {
		e.Errorf("the other is %s", got.State())
	}
}

func shareNotOthers(e env) {
	b, tests := e.create(7, func(_ *batch.Batch, tests []batch.Test) {
		tests[2].Target.Addresses = at("other.example.com")
		tests[3].Network = "vpc"
		tests[4].Target.DNS = tests[4].Target.DNS.Next()
		tests[5].Target.Addresses = append(tests[5].Target.Addresses, at("more")...)
		tests[6].Target.Network = "vpc-1" // policy may judge it otherwise
	})
	_, elsewhere := e.create(1)
	c, running := e.mustClaim(tests[0].ID, long), e.mustClaim(tests[1].ID, long)
	e.record(c.ID, c.LeaseID, newReport(probe.CodeDNSNotFound))
	if got, _ := e.read(b); got.Open != 6 {
		e.Errorf("%d open, want 6", got.Open)
	}
	e.mustClaim(elsewhere[0].ID, long)
	if accepted, _ := e.finish(running.ID, running.LeaseID, probe.CodeOK); !accepted {
		e.Error("the one that ran was not accepted")
	}
}

// follow makes all tests but the first the same as that.
func follow(_ *batch.Batch, tests []batch.Test) {
	for i := range tests[1:] {
		tests[i+1].SameAs = tests[0].ID
	}
}

func sameOnce(e env) {
	b, tests := e.create(3, follow)
	e.refusesClaim(tests[1].ID)
	e.passes(b.CreatedAt)
	strays, err := e.Strays(e.Context(), time.Millisecond, 10)
	e.ok(err)
	e.same("strays", taskIDs(strays), []string{tests[0].ID})
	c := e.mustClaim(tests[0].ID, long)
	if !c.Followed {
		e.Error("the claim does not say that others follow")
	}
	got, err := e.Finish(e.Context(), []batch.Finish{{TestID: c.ID, LeaseID: c.LeaseID, Report: newReport(probe.CodeAuthFailed), Followed: c.Followed}})
	e.ok(err)
	e.same("done", got.Done, []batch.Completion{{BatchID: b.ID, Project: b.Project, ReplyTo: "api-1"}})
	_, all := e.read(b)
	want := newReport(probe.CodeAuthFailed)
	e.same("first", all[0].Report, &want)
	want.SameAs = tests[0].ID
	for i, t := range all[1:] {
		e.same("same", t.Report, &want)
		if t.SameAs != tests[0].ID || t.Seq != i+2 || t.Probes != 0 || t.LoginAt != nil || e.hasSecrets(t.ID) {
			e.Errorf("test %d: %+v", i+1, t)
		}
	}
}

func sameInterrupted(e env) {
	b, tests := e.create(2, follow)
	e.lapsedAfterLogin(tests[0].ID)
	done, _, err := e.Interrupt(e.Context(), 3, 10)
	e.ok(err)
	e.same("done", done, []batch.Completion{{BatchID: b.ID, Project: b.Project, ReplyTo: "api-1"}})
	if got := e.readTest(b, tests[1].ID); got.Report == nil || got.Report.Code != probe.CodeInterrupted || got.Report.SameAs != tests[0].ID {
		e.Errorf("report %+v", got.Report)
	}
}

func sameShared(e env) {
	b, tests := e.create(3, otherPasswords(), func(_ *batch.Batch, tests []batch.Test) { tests[2].SameAs = tests[1].ID })
	c := e.mustClaim(tests[0].ID, long)
	e.record(c.ID, c.LeaseID, newReport(probe.CodeTimeoutConnect))
	got := e.readTest(b, tests[2].ID)
	if got.Report == nil || got.Report.Code != probe.CodeTimeoutConnect || got.Report.SameAs != tests[1].ID {
		e.Errorf("report %+v", got.Report)
	}
	if whole, _ := e.read(b); whole.State() != batch.Done {
		e.Errorf("batch is %s, %d open", whole.State(), whole.Open)
	}
}

func waitShare(e env) {
	const wait = 200 * time.Millisecond
	b, tests := e.create(2, func(_ *batch.Batch, tests []batch.Test) { tests[1].ShareWait = wait })
	e.mustClaim(tests[0].ID, long)
	e.refusesClaim(tests[1].ID)
	strays, err := e.Strays(e.Context(), 0, 10)
	e.ok(err)
	if len(strays) != 0 && time.Since(b.CreatedAt) < wait {
		e.Errorf("listed as stray: %v", taskIDs(strays))
	}
	var c batch.Claimed
	e.eventually("the test is due", func() (granted bool) {
		c, granted = e.claim(tests[1].ID, long)
		return granted
	})
	if c.ShareWait != wait || c.StartedAt.Before(b.CreatedAt.Add(wait)) {
		e.Errorf("share wait %v, started %v after creation", c.ShareWait, c.StartedAt.Sub(b.CreatedAt))
	}
}
