package main

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
)

// outcome is one endpoint and what came of it, in the language of the reader.
type outcome struct {
	// Name is what to call the endpoint: no secret is in it. Short is the same
	// without the user.
	Name, Short string
	JobID       string
	Report      probe.Report
	Owner       probe.Owner
	Meaning     string
	Remedy      string
	// tested says that the report is that of a test.
	tested bool
}

// judge adds to a report what its verdict means.
func (o *outcome) judge(r probe.Report, l probe.Language) {
	v := r.Code.Verdict()
	o.Report, o.Owner, o.Meaning, o.Remedy = r, v.Owner, v.Meaning.In(l), v.Remedy.In(l)
}

// results holds the outcomes by entry and endpoint.
type results [][]outcome

// untested makes the outcomes of tests that have not begun.
func untested(entries []entry, l probe.Language) results {
	all := make(results, len(entries))
	for i, e := range entries {
		all[i] = make([]outcome, len(e.Endpoints))
		for k, endpoint := range e.Endpoints {
			o := &all[i][k]
			o.JobID = e.JobID
			o.Name, o.Short = nameOf(endpoint)
			o.judge(probe.Refused(probe.CodeCancelled, time.Now()), l)
		}
	}
	return all
}

// fail notes that a server did not test an entry as it should have.
func (r results) fail(entry int, l probe.Language) {
	for k := range r[entry] {
		if !r[entry][k].tested {
			r[entry][k].judge(probe.Refused(probe.CodeInternal, time.Now()), l)
		}
	}
}

func (r results) flat() []outcome {
	var all []outcome
	for _, entry := range r {
		all = append(all, entry...)
	}
	return all
}

// any says whether anything was tested at all.
func (r results) any() bool {
	return slices.ContainsFunc(r.flat(), func(o outcome) bool { return o.tested })
}

// nameOf shows an endpoint without any secret, and fit for a terminal.
func nameOf(e batch.Endpoint) (name, short string) {
	target := e.Target("", probe.VerifyCA)
	hosts := make([]string, len(target.Addresses))
	for i, a := range target.Addresses {
		hosts[i] = a.String()
	}
	where, user := strings.Join(hosts, ","), ""
	if target.Database != "" {
		where += "/" + target.Database
	}
	if target.User != "" {
		user = target.User + "@"
	}
	return printable(e.DBType + " " + user + where), printable(e.DBType + " " + where)
}

// printable replaces what could steer a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}

// summary is all that came of a call.
type summary struct {
	outcomes []outcome
	began    time.Time
	took     time.Duration
	// stopped says that the user ended it before its time.
	stopped bool
}

// count gives how many passed, failed and were not tested.
func (s summary) count() (passed, failed, cancelled int) {
	for _, o := range s.outcomes {
		switch {
		case o.Report.OK():
			passed++
		case o.Report.Code == probe.CodeCancelled:
			cancelled++
		default:
			failed++
		}
	}
	return passed, failed, cancelled
}

func (s summary) passed() bool {
	passed, _, _ := s.count()
	return passed == len(s.outcomes)
}
