package storetest

import (
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
