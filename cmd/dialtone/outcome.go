package main

import (
	"strings"
	"time"
	"unicode"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
)

// outcome is one tested endpoint, in the language of the reader.
type outcome struct {
	// Name is what to call the endpoint: no secret is in it.
	Name    string
	JobID   string
	Report  probe.Report
	Owner   probe.Owner
	Meaning string
	Remedy  string
}

// judge adds to a report what its verdict means.
func judge(name, jobID string, r probe.Report, l probe.Language) outcome {
	v := r.Code.Verdict()
	return outcome{Name: name, JobID: jobID, Report: r, Owner: v.Owner, Meaning: v.Meaning.In(l), Remedy: v.Remedy.In(l)}
}

// nameOf shows an endpoint without any secret, and fit for a terminal.
func nameOf(e batch.Endpoint) string {
	target := e.Target("", probe.VerifyCA)
	hosts := make([]string, len(target.Addresses))
	for i, a := range target.Addresses {
		hosts[i] = a.String()
	}
	name := strings.Join(hosts, ",")
	if target.User != "" {
		name = target.User + "@" + name
	}
	if target.Database != "" {
		name += "/" + target.Database
	}
	return printable(e.DBType + " " + name)
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
