package batch

import (
	"context"

	"dialtone/internal/probe"
)

// Observer is told what happens, for metrics and traces. Its methods must
// return at once and are called concurrently.
type Observer interface {
	Admissions
	Sweeps
	// Claimed: a probe begins.
	Claimed(t Claimed)
	// Probed: its report; recorded says whether it was the test's first.
	Probed(ctx context.Context, t Claimed, r probe.Report, recorded bool)
	// Released: a claim was given back without a report: "retry" or "hand_back".
	Released(t Claimed, why string)
	// Completed: these batches have no open test left.
	Completed(done []Completion)
}

// Admissions is told which batches are taken.
type Admissions interface {
	// Accepted: a batch was stored.
	Accepted(b Batch)
	// Full: a batch was refused because its lane holds enough.
	Full(lane Lane)
}

// Sweeps is told what was put in order.
type Sweeps interface {
	// Swept: so many tests were expired, interrupted, reclaimed, restored or
	// cancelled.
	Swept(what string, n int)
	// Removed: so many rows had had their time: batches, tests, keys.
	Removed(what string, n int)
}

// Tracer carries a trace from the request to the probe.
type Tracer interface {
	// Join gives ctx the trace that was carried as text.
	Join(ctx context.Context, carried string) context.Context
}

// Quiet is the Observer and Tracer that does nothing.
type Quiet struct{}

// Accepted does nothing.
func (Quiet) Accepted(Batch) {}

// Claimed does nothing.
func (Quiet) Claimed(Claimed) {}

// Probed does nothing.
func (Quiet) Probed(context.Context, Claimed, probe.Report, bool) {}

// Released does nothing.
func (Quiet) Released(Claimed, string) {}

// Swept does nothing.
func (Quiet) Swept(string, int) {}

// Completed does nothing.
func (Quiet) Completed([]Completion) {}

// Full does nothing.
func (Quiet) Full(Lane) {}

// Removed does nothing.
func (Quiet) Removed(string, int) {}

// Join gives ctx back as it is.
func (Quiet) Join(ctx context.Context, _ string) context.Context { return ctx }
