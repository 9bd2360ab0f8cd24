package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"dialtone/internal/probe"
)

// The JUnit form that build servers read: one suite, one case an endpoint.
type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"`
	At       string      `xml:"timestamp,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitFailure `xml:"failure"`
	Error   *junitFailure `xml:"error"`
	Skipped *junitSkipped `xml:"skipped"`
}

type junitFailure struct {
	Type    string `xml:"type,attr"`
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

type junitSkipped struct {
	Message string `xml:"message,attr"`
}

// renderJUnit writes what is wrong with an endpoint as a failure, trouble of
// our own as an error, and what was not tested as skipped.
func renderJUnit(w io.Writer, s summary) error {
	suite := junitSuite{
		Name: "dialtone", Tests: len(s.outcomes), Time: seconds(s.took), At: s.began.UTC().Format("2006-01-02T15:04:05"),
	}
	for _, o := range s.outcomes {
		engine, _, _ := strings.Cut(o.Name, " ")
		c := junitCase{Class: "dialtone." + engine, Name: o.Name, Time: seconds(time.Duration(o.Report.DurationMS * float64(time.Millisecond)))}
		switch {
		case o.Report.OK():
		case o.Report.Code == probe.CodeCancelled:
			c.Skipped = &junitSkipped{Message: o.Meaning}
			suite.Skipped++
		case o.Owner == probe.OwnerService:
			c.Error = failureOf(o)
			suite.Errors++
		default:
			c.Failure = failureOf(o)
			suite.Failures++
		}
		suite.Cases = append(suite.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(junitSuites{Suites: []junitSuite{suite}}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func failureOf(o outcome) *junitFailure {
	e := o.Report.Evidence
	lines := []string{"phase: " + string(o.Report.Phase), "owner: " + string(o.Owner), "remedy: " + o.Remedy}
	if said := strings.TrimSpace(e.ServerCode + " " + e.ServerText); said != "" {
		lines = append(lines, "the server said: "+said)
	}
	if e.Address != "" {
		lines = append(lines, "address: "+e.Address)
	}
	lines = append(lines, look{language: probe.English}.members(e.Members)...)
	return &junitFailure{Type: string(o.Report.Code), Message: o.Meaning, Text: strings.Join(lines, "\n")}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
