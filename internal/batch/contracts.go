package batch

import (
	"context"
	"errors"
	"time"

	"dialtone/internal/job"
	"dialtone/internal/probe"
)

// The interfaces below are what the domain needs of a store and of a queue. A
// store implements all of the first group; storetest is their contract
// executed. All times are the store's own: "now" is its clock.

// Creator accepts batches.
type Creator interface {
	// Create stores the batch and its tests in one transaction, secrets
	// sealed, and fills in CreatedAt, Deadline (now + Timeout), Total and
	// Open. A test that comes with a Report is stored as finished, without
	// secrets; a batch of which every test does is stored as done.
	Create(ctx context.Context, b Batch, tests []Test) (Batch, error)
	// CreateOnce is Create that also makes a key for the batch, which its
	// Holder holds, in the same transaction; or ErrKeyTaken.
	CreateOnce(ctx context.Context, b Batch, tests []Test, o Once) (Batch, error)
	// Backlog counts the open tests of the project's batches in a lane. It need
	// not count on once there are most.
	Backlog(ctx context.Context, project string, lane Lane, most int) (int, error)
	// Networks lists the networks that workers announced within the last age.
	Networks(ctx context.Context, age time.Duration) ([]string, error)
	// TestableJobs gives the project's jobs among ids, with the status of the
	// forward sibling for those that are backward.
	TestableJobs(ctx context.Context, project string, ids []string) (map[string]TestableJob, error)
}

// TestableJob is a job and what its testability depends on.
type TestableJob struct {
	job.Job
	ForwardStatus job.Status
}

// Claim asks for the right to make one probe.
type Claim struct {
	TestID  string
	LeaseID string
	Worker  string
	// Lease is how long the right lasts.
	Lease time.Duration
	// Limits are what the claim must heed.
	Limits Limits
}

// Limits keep probes from doing harm. They bind all workers together, so all
// must be told the same. The zero value limits nothing.
type Limits struct {
	// EndpointProbes is the most probes at once at one endpoint; zero: no limit.
	EndpointProbes int
	// Refusals is the most logins in RefusalWindow that an account of an
	// endpoint may be refused; beyond it no login is sent. While it is set, an
	// account sees one login at a time. Zero: no limit, of either kind.
	Refusals      int
	RefusalWindow time.Duration
	// RepeatAfter is how long a refused credential is not sent again.
	RepeatAfter time.Duration
}

// SuppressionRule is which of the Limits forbids a login.
type SuppressionRule string

// The rules.
const (
	SameCredential SuppressionRule = "same_credential" //nolint:gosec // G101: the name of a rule
	TooManyRefused SuppressionRule = "too_many_refused"
)

// Suppression is why a login must not be sent.
type Suppression struct {
	Rule SuppressionRule
	// Reason is the verdict on the login that is the latest reason, At when
	// that was sent.
	Reason probe.Code
	At     time.Time
	// RetryAt is when a login is possible again, if none is refused meanwhile.
	RetryAt time.Time
}

// Claimed is a granted Claim: the test with its secrets, and how long its
// deadline is away.
type Claimed struct {
	Test
	LeaseID string
	Lane    Lane
	// Trace is the batch's.
	Trace string
	// Remaining is the time until the test's deadline, by the store's clock.
	Remaining time.Duration
	// Waited is how long the test was due before it was claimed, SlotWait how
	// long it waited for its endpoint and account before.
	Waited   time.Duration
	SlotWait time.Duration
	// Followed says that other tests of the batch are the same as this one.
	Followed bool
	// Suppressed is set when the test may not log in; its lease is good for the
	// report that says so, and for nothing else.
	Suppressed *Suppression
}

// Finish is a report to record. The lease must still be the test's.
type Finish struct {
	TestID  string
	LeaseID string
	Report  probe.Report
	// Rest is how long the endpoint is to be left alone; zero: not at all.
	Rest time.Duration
	// Followed is the claim's: other tests get the report, too.
	Followed bool
}

// Recorded is what became of reports.
type Recorded struct {
	// Accepted lists the tests whose report was recorded.
	Accepted []string
	// Done lists the batches with no open test left.
	Done []Completion
	// Woken are tests that waited for an endpoint which is free now.
	Woken []Task
}

// Release gives a claim back without a report.
type Release struct {
	TestID  string
	LeaseID string
	// After is how long the next probe must wait.
	After time.Duration
	// HandBack says that no probe was made of this claim (a worker that
	// stops): it does not count.
	HandBack bool
	// Rest is how long the endpoint is to be left alone; zero: not at all.
	Rest time.Duration
}

// Claims is what a worker does with tests.
type Claims interface {
	// Claim grants each claim whose test is unfinished, has sent no login, is
	// within its deadline and past its not_before, and has no lease in force;
	// it sets the lease, counts the probe and opens the secrets. A test whose
	// endpoint or account has no slot free under the Limits, or whose endpoint
	// rests, is held instead: attempt raised, not_before set; Finish wakes it
	// when a slot is free. A test that waits for another to which it is the
	// same is never granted. Claims that are not granted are missing from the
	// answer. The order is free.
	Claim(ctx context.Context, claims []Claim) ([]Claimed, error)
	// MarkLogin notes that credentials are about to leave. False: the lease is
	// not ours any more, or has run out, or a login was marked before, or the
	// test is finished; then nothing may be sent.
	MarkLogin(ctx context.Context, testID, leaseID string) (bool, error)
	// Release ends leases before any login: it raises the attempt and sets
	// not_before. It returns the tasks to enqueue; a release whose lease was
	// lost, or which had marked a login, is missing from the answer.
	Release(ctx context.Context, releases []Release) ([]Task, error)
	// Finish records reports whose lease is still the test's (it may have run
	// out, as long as nobody else took it) and that are the first for their
	// test, wipes the secrets, numbers the tests within their batch, and closes
	// batches with no open test left. What came of a login reaches the ledger
	// even if the report was not accepted. A failure to connect ends the
	// batch's waiting tests of the same endpoint too, and any report those that
	// are the same as the test.
	Finish(ctx context.Context, reports []Finish) (Recorded, error)
	// Finished says which of these tests are finished: a worker asks for those
	// that it is probing, to stop what was cancelled or overdue.
	Finished(ctx context.Context, testIDs []string) ([]string, error)
}

// LoginMark asks for one test what MarkLogin does.
type LoginMark struct {
	TestID  string
	LeaseID string
}

// LoginMarker is a store that marks several logins in one call; a Worker then
// gathers them, because each mark has to reach the disk before its probe goes
// on. A store need not be one.
type LoginMarker interface {
	// MarkLogins is MarkLogin for each of marks. granted lists the leases of
	// those whose credentials may be sent. On an error none may.
	MarkLogins(ctx context.Context, marks []LoginMark) (granted []string, err error)
}

// Sweeper finds what was lost. Each call handles at most limit tests, oldest
// deadline first, skips what another process is handling, and is safe to run
// in every process at once.
type Sweeper interface {
	// Expire finishes tests past their deadline as deadline_exceeded, with the
	// fact "was" = queued or running. n counts the tests finished.
	Expire(ctx context.Context, limit int) (done []Completion, n int, err error)
	// Interrupt finishes tests whose lease ran out after their login mark as
	// interrupted, and those whose lease ran out before it on the last of
	// maxProbes probes as worker_lost.
	Interrupt(ctx context.Context, maxProbes, limit int) (done []Completion, n int, err error)
	// Reclaim ends leases that ran out before a login, of tests that have had
	// fewer than maxProbes probes: attempt raised.
	Reclaim(ctx context.Context, maxProbes, limit int) ([]Task, error)
	// Strays lists tests that nobody has claimed for age past not_before (or
	// creation). A test is listed once in each age.
	Strays(ctx context.Context, age time.Duration, limit int) ([]Task, error)
	// Raise gives tests a new attempt, so that they can be enqueued under a new
	// task id. Finished and leased tests are missing from the answer.
	Raise(ctx context.Context, testIDs []string) ([]Task, error)
}

// Reader answers questions about batches.
type Reader interface {
	// Batch gives a batch of the project and its tests by entry and object,
	// or ErrNotFound.
	Batch(ctx context.Context, project, id string) (Batch, []Test, error)
	// List gives a page of the project's batches, newest first.
	List(ctx context.Context, q Query) (Page, error)
	// Events gives the finished tests of a batch with Seq above after, in
	// order, and the batch; ErrNotFound when there is none.
	Events(ctx context.Context, project, id string, after int) (Batch, []Test, error)
	// Completed says which of these batches are done.
	Completed(ctx context.Context, ids []string) ([]string, error)
}

// Ender ends batches before their time.
type Ender interface {
	// ExpireBatch finishes what is open of one batch as deadline_exceeded; done
	// holds the batch if that was its end.
	ExpireBatch(ctx context.Context, id string) (done []Completion, err error)
	// Cancel finishes what is open of one batch as cancelled, and says how many
	// tests those were; ErrNotFound when the project has no such batch.
	Cancel(ctx context.Context, project, id string) (done []Completion, n int, err error)
}

// Forgetter keeps the ledger small.
type Forgetter interface {
	// Forget drops what the ledger holds of logins that are older than age, and
	// endpoints that have rested.
	Forget(ctx context.Context, age time.Duration) error
}

// Announcer tells where workers stand.
type Announcer interface {
	// Announce says that the worker lives and stands in these networks.
	Announce(ctx context.Context, worker string, networks []string) error
}

// ErrUnavailable is wrapped by a store's error when the store could not be
// asked: it cannot be reached, is stopping or full, or did not answer in time.
// Whether the call took effect is not known; it may be made again.
var ErrUnavailable = errors.New("the store does not answer")

// ErrBadCursor is returned for a Query.After that no Page.Next gave.
var ErrBadCursor = errors.New("no such cursor")

// Query selects batches of one project.
type Query struct {
	Project string
	// State is Running or Done; empty: both.
	State State
	// JobID selects batches with an entry for this job.
	JobID string
	// Since and Until bound CreatedAt; zero: unbounded.
	Since, Until time.Time
	// After is the cursor of the page before; empty: the first page.
	After string
	// Limit is the most to return, from 1.
	Limit int
}

// Page is one page of a list.
type Page struct {
	Batches []Batch
	// Next is the cursor of the page to come, empty on the last.
	Next string
}

// Enqueuer puts tasks on the queue.
type Enqueuer interface {
	// Enqueue sends all tasks in one round trip, those with After to be run
	// later: never early, up to a second late. A task that is on the queue
	// already is not an error.
	Enqueue(ctx context.Context, tasks []Task) error
	// Restore enqueues tasks that should be on the queue, and returns those
	// that cannot be under their attempt, because the queue holds the task as
	// active or archived: they need a new one.
	Restore(ctx context.Context, tasks []Task) (stuck []Task, err error)
}

// Stopper tells workers that tests may have been ended under them. It is a hint:
// they look for themselves twice a second.
type Stopper interface {
	SignalEnded(ctx context.Context) error
}

// Signaler tells the process that waits. It is a hint: whoever waits also
// looks for itself.
type Signaler interface {
	Signal(ctx context.Context, done []Completion) error
}
