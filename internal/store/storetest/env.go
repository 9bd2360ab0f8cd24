package storetest

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

// marker is in every secret that the contract hands to a store.
const marker = "M4rker-of-a-secret"

// A lease that is over at once, and one that is not over during a test.
const (
	brief = time.Microsecond
	long  = time.Minute
)

// env is a running case: the test, its store, and a project.
type env struct {
	*testing.T
	Store
	project string
}

func (e env) ok(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// same fails unless got equals want, secrets compared by value.
func (e env) same(what string, got, want any) {
	e.Helper()
	if diff := cmp.Diff(want, got, comparers()); diff != "" {
		e.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

func comparers() cmp.Option {
	return cmp.Options{
		cmp.Comparer(func(a, b secret.Text) bool { return a.Equal(b) }),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	}
}

// eventually polls until done, which time alone must bring about.
func (e env) eventually(what string, done func() bool) {
	e.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			e.Fatalf("never happened: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// passes waits until a moment of the store's clock, which is this machine's,
// is over.
func (e env) passes(moment time.Time) {
	e.Helper()
	e.eventually("moment passes", func() bool { return time.Since(moment) > 5*time.Millisecond })
}

// newBatch makes an interactive batch that this process waits for.
func (e env) newBatch(entries int) batch.Batch {
	return batch.Batch{
		ID: batch.NewID(), Project: e.project, Call: job.Connection, Lane: batch.Interactive, Entries: entries,
		Caller: "somebody", ReplyTo: "api-1", Trace: "00-trace-01", Timeout: long,
	}
}

// newTest makes the test of an entry, with a secret in every field there is.
func (e env) newTest(b batch.Batch, entry int) batch.Test {
	return batch.Test{
		ID: batch.NewID(), BatchID: b.ID, Project: b.Project, Entry: entry, JobID: "job-1", EndPointType: "so",
		Network: "eip", Attempt: 1, Target: newTarget(b.Project),
	}
}

func newTarget(project string) probe.Target {
	return probe.Target{
		Project: project, Network: "eip", Engine: probe.MySQL,
		Addresses: []probe.Address{{Host: "db.example.com", Port: 3306}},
		User:      "user\x00with a zero", Password: secret.New(marker + "-password"), Database: "orders",
		TLS: &probe.TLS{
			Verify: probe.VerifyCA, Name: "ca.pem", Certificate: secret.New(marker + "-certificate"),
			Password: secret.New(marker + "-tls-password"),
		},
		DNS: netip.MustParseAddr("192.0.2.53"),
	}
}

// create stores a batch of n tests; change may alter each before.
func (e env) create(n int, change ...func(*batch.Batch, []batch.Test)) (batch.Batch, []batch.Test) {
	e.Helper()
	b := e.newBatch(n)
	tests := make([]batch.Test, n)
	for i := range tests {
		tests[i] = e.newTest(b, i)
	}
	for _, c := range change {
		c(&b, tests)
	}
	stored, err := e.Create(e.Context(), b, tests)
	e.ok(err)
	return stored, tests
}

// timeout is a change for create.
func timeout(d time.Duration) func(*batch.Batch, []batch.Test) {
	return func(b *batch.Batch, _ []batch.Test) { b.Timeout = d }
}

// claim asks for one lease.
func (e env) claim(testID string, lease time.Duration) (batch.Claimed, bool) {
	e.Helper()
	got, err := e.Claim(e.Context(), []batch.Claim{{TestID: testID, LeaseID: batch.NewID(), Worker: "worker-1", Lease: lease}})
	e.ok(err)
	if len(got) == 0 {
		return batch.Claimed{}, false
	}
	return got[0], true
}

// mustClaim is claim for a test that is free.
func (e env) mustClaim(testID string, lease time.Duration) batch.Claimed {
	e.Helper()
	c, ok := e.claim(testID, lease)
	if !ok {
		e.Fatalf("claim of %s was not granted", testID)
	}
	return c
}

// lapsed claims a test and waits until its lease has run out.
func (e env) lapsed(testID string) batch.Claimed {
	e.Helper()
	c := e.mustClaim(testID, brief)
	e.passes(*c.StartedAt)
	return c
}

// lapsedAfterLogin is lapsed with the login marked in time.
func (e env) lapsedAfterLogin(testID string) batch.Claimed {
	e.Helper()
	for lease := 50 * time.Millisecond; ; lease *= 2 {
		c, granted := e.claim(testID, lease)
		if !granted {
			e.Fatal("claim was not granted")
		}
		marked, err := e.MarkLogin(e.Context(), c.ID, c.LeaseID)
		e.ok(err)
		e.passes(c.StartedAt.Add(lease))
		if marked {
			return c
		}
	}
}

// finish records a report and says whether it was taken.
func (e env) finish(testID, leaseID string, code probe.Code) (accepted bool, done []batch.Completion) {
	e.Helper()
	got := e.record(testID, leaseID, newReport(code))
	return slices.Contains(got.Accepted, testID), got.Done
}

// record is Finish of one report.
func (e env) record(testID, leaseID string, report probe.Report) batch.Recorded {
	e.Helper()
	got, err := e.Finish(e.Context(), []batch.Finish{{TestID: testID, LeaseID: leaseID, Report: report}})
	e.ok(err)
	return got
}

func newReport(code probe.Code) probe.Report {
	r := probe.Refused(code, time.Date(2026, 11, 24, 1, 2, 3, 456789000, time.UTC))
	r.Attempts = 1
	r.Evidence = probe.Evidence{Address: "192.0.2.1:3306", ServerText: "says \u4e0d \"so\"", Facts: map[string]string{"k": "v"}}
	return r
}

// read gives a batch's tests.
func (e env) read(b batch.Batch) (batch.Batch, []batch.Test) {
	e.Helper()
	got, tests, err := e.Batch(e.Context(), b.Project, b.ID)
	e.ok(err)
	return got, tests
}

// readTest gives one of a batch's tests.
func (e env) readTest(b batch.Batch, testID string) batch.Test {
	e.Helper()
	_, tests := e.read(b)
	for _, t := range tests {
		if t.ID == testID {
			return t
		}
	}
	e.Fatalf("test %s is not in its batch", testID)
	return batch.Test{}
}

// hasSecrets says whether the test still has sealed secrets.
func (e env) hasSecrets(testID string) bool {
	e.Helper()
	raw, err := e.Sealed(e.Context(), testID)
	e.ok(err)
	return len(raw) > 0
}

// taskIDs lists the tests of tasks, sorted.
func taskIDs(tasks []batch.Task) []string {
	ids := make([]string, len(tasks))
	for i, t := range tasks {
		ids[i] = t.TestID
	}
	slices.Sort(ids)
	return ids
}

// ids lists the tests' ids in their order.
func ids(tests []batch.Test) []string {
	all := make([]string, len(tests))
	for i, t := range tests {
		all[i] = t.ID
	}
	return all
}

func sorted(ids []string) []string { return slices.Sorted(slices.Values(ids)) }

func label(format string, args ...any) string { return fmt.Sprintf(format, args...) }
