package storetest

import (
	"fmt"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
)

// held claims under limits, and fails unless the test must wait.
func (e env) held(testID string, l batch.Limits) {
	e.Helper()
	if c := e.try(testID, l, long); c.LeaseID != "" {
		e.Fatalf("admitted, suppressed %+v", c.Suppressed)
	}
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
