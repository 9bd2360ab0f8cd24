package main

import (
	"encoding/json"
	"io"

	"dialtone/internal/probe"
)

// resultJSON is an outcome as JSON: the report as the API shows it, and what to
// call the endpoint.
type resultJSON struct {
	Name    string      `json:"name"`
	JobID   string      `json:"job_id,omitempty"`
	OK      bool        `json:"ok"`
	Owner   probe.Owner `json:"owner,omitempty"`
	Meaning string      `json:"meaning"`
	Remedy  string      `json:"remedy"`
	probe.Report
}

// summaryJSON is the whole document.
type summaryJSON struct {
	Results     []resultJSON `json:"results"`
	Count       int          `json:"count"`
	Passed      int          `json:"passed"`
	Failed      int          `json:"failed"`
	NotTested   int          `json:"not_tested"`
	Interrupted bool         `json:"interrupted"`
	DurationMS  float64      `json:"duration_ms"`
}

func renderJSON(w io.Writer, s summary) error {
	passed, failed, cancelled := s.count()
	all := summaryJSON{
		Results: make([]resultJSON, len(s.outcomes)), Count: len(s.outcomes), Passed: passed, Failed: failed, NotTested: cancelled,
		Interrupted: s.stopped, DurationMS: float64(s.took.Microseconds()) / 1000,
	}
	for i, o := range s.outcomes {
		all.Results[i] = resultJSON{Name: o.Name, JobID: o.JobID, OK: o.Report.OK(), Owner: o.Owner, Meaning: o.Meaning, Remedy: o.Remedy, Report: o.Report}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(all)
}
