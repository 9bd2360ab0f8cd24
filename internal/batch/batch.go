// Package batch is the domain: a batch of connection tests from the request to
// the aggregate. It validates what a caller asks, submits it, works it off,
// watches over what was lost on the way and tells whoever waits. It knows no
// HTTP, no SQL, no Redis and no wire protocol: those come in through the small
// interfaces beside the code that calls them.
package batch

import (
	"errors"
	"time"

	"dialtone/internal/job"
	"dialtone/internal/probe"
)

// ErrNotFound is returned for a batch that does not exist, or belongs to
// another project.
var ErrNotFound = errors.New("no such batch")

// Lane keeps work that somebody waits for apart from work that can wait.
type Lane string

// The lanes.
const (
	Interactive Lane = "interactive"
	Bulk        Lane = "bulk"
)

// State is where a batch or a test is.
type State string

// The states. A batch is never Queued.
const (
	Queued  State = "queued"
	Running State = "running"
	Done    State = "done"
)

// Batch is one accepted request.
type Batch struct {
	// ID is a UUID version 7.
	ID      string
	Project string
	Call    job.Call
	Lane    Lane
	// Entries counts the request's entries; Total the tests they became (a
	// cluster entry holds several); Open those not finished.
	Entries int
	Total   int
	Open    int
	// Caller is who asked, for the audit log: a token's name or an access key.
	Caller string
	// ReplyTo is the api process that waits, empty when none does.
	ReplyTo string
	// Trace carries the trace context from the request to the probe.
	Trace string
	// Force says that the caller may log in against what the ledger says.
	Force bool
	// Timeout is how long the batch may take. The store turns it into Deadline
	// by its own clock, which is the only clock that decides.
	Timeout    time.Duration
	CreatedAt  time.Time
	Deadline   time.Time
	FinishedAt *time.Time
}

// State is Done once no test is open.
func (b Batch) State() State {
	if b.FinishedAt != nil {
		return Done
	}
	return Running
}

// Test is one endpoint of a batch.
type Test struct {
	// ID is a UUID version 7.
	ID      string
	BatchID string
	Project string
	// Entry is the index of the request's entry, Object the index inside it.
	Entry  int
	Object int
	JobID  string
	// EndPointType is so, ta or ls.
	EndPointType string
	// Target is what to test. As read back by a caller it holds no secrets;
	// only a claim gives them.
	Target probe.Target
	// SecretsSet names the secrets that were given, also after they are gone.
	SecretsSet []string
	// Network is the vantage chosen for the test: with the lane it is the queue.
	Network string
	// SameAs is the test of the batch that is made in this one's place, because
	// it is the same; empty: none.
	SameAs string
	// ShareWait is how long after its creation the test is due, because its
	// project had used up its share.
	ShareWait time.Duration
	// Attempt numbers the task that carries the test, from 1: the task's id is
	// "test:attempt". Probes counts the probes begun.
	Attempt int
	Probes  int
	// Worker is the process that made the last probe.
	Worker     string
	CreatedAt  time.Time
	Deadline   time.Time
	NotBefore  *time.Time
	StartedAt  *time.Time
	LoginAt    *time.Time
	FinishedAt *time.Time
	// Seq numbers the tests of a batch in the order in which they finished,
	// from 1; zero while open.
	Seq    int
	Report *probe.Report
}

// State is where the test is.
func (t Test) State() State {
	switch {
	case t.FinishedAt != nil:
		return Done
	case t.StartedAt != nil:
		return Running
	default:
		return Queued
	}
}

// Task is what travels through the queue: where, and which test. It holds no
// endpoint and no secret.
type Task struct {
	TestID  string
	Attempt int
	Lane    Lane
	Network string
	// After is how long the task must wait.
	After time.Duration
}

// Completion tells that a batch has no open test left.
type Completion struct {
	BatchID string
	Project string
	// ReplyTo is the api process that waits, empty when none does.
	ReplyTo string
}
