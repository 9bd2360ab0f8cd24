package batch

import (
	"slices"

	"dialtone/internal/sabotage"
)

// Result is the answer to one entry of a request.
type Result struct {
	Entry        int
	JobID        string
	EndPointType string
	// OK is true when every test of the entry passed.
	OK bool
	// Tests holds the entry's tests in the order of its objects.
	Tests []Test
}

// Failing lists the tests that did not pass: failed, or not finished yet.
func (r Result) Failing() []Test {
	var failing []Test
	for _, t := range r.Tests {
		if t.Report == nil || !t.Report.OK() {
			failing = append(failing, t)
		}
	}
	return failing
}

// Aggregate gathers the tests of a batch into one result per entry, in the
// order of the request. The tests come ordered by entry and object.
func Aggregate(b Batch, tests []Test) []Result {
	results := make([]Result, b.Entries)
	for _, t := range tests {
		r := &results[t.Entry]
		if len(r.Tests) == 0 {
			r.Entry, r.JobID, r.EndPointType, r.OK = t.Entry, t.JobID, t.EndPointType, true
		}
		r.Tests = append(r.Tests, t)
		r.OK = r.OK && t.Report != nil && t.Report.OK()
	}
	if sabotage.On(sabotage.ReverseResults) {
		slices.Reverse(results)
	}
	return results
}
