package storetest

import (
	"slices"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
)

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
