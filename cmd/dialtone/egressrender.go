package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"dialtone/internal/egress"
)

// explained is what `dialtone egress explain` found, in the form of its JSON.
type explained struct {
	Destination string `json:"destination"`
	Project     string `json:"project"`
	Network     string `json:"network"`
	Mode        string `json:"mode"`
	judgement
	// Addresses are those of a name that was looked up.
	Addresses []explainedAddress `json:"addresses,omitempty"`
}

type explainedAddress struct {
	Address netip.Addr `json:"address"`
	judgement
}

// judgement is an outcome with its reason.
type judgement struct {
	Outcome egress.Outcome `json:"outcome"`
	// Basis is why it is allowed, Class why it is denied.
	Basis egress.Basis `json:"basis,omitempty"`
	Class egress.Class `json:"class,omitempty"`
	// Always: no rule could allow it.
	Always bool `json:"always,omitempty"`
	// Reported: it is dialled all the same, because the mode is report.
	Reported bool   `json:"reported,omitempty"`
	Reason   string `json:"reason"`
	// Rule allows it, or has it with other ports.
	Rule *explainedRule `json:"rule,omitempty"`
}

type explainedRule struct {
	Line int    `json:"line"`
	Text string `json:"text"`
}

func newJudgement(e egress.Explanation, mode egress.Mode) judgement {
	j := judgement{
		Outcome: e.Outcome, Basis: e.Basis, Class: e.Class, Always: e.Always,
		Reported: mode == egress.ModeReport && e.Outcome == egress.OutcomeDenied && !e.Enforced, Reason: reason(e),
	}
	if e.Rule != nil {
		j.Rule = &explainedRule{e.Rule.Line, e.Rule.String()}
	}
	return j
}

// reason says why in a sentence without its subject.
func reason(e egress.Explanation) string {
	byName := e.Rule != nil && e.Rule.Host != ""
	switch {
	case e.Class == egress.ClassLoopback:
		return e.Class.Meaning() + "; only DIALTONE_EGRESS_LOCAL=allow and a rule of loopback with the port allow that"
	case e.Outcome == egress.OutcomeDenied && e.Always:
		return e.Class.Meaning() + "; no rule can allow that"
	case e.Outcome == egress.OutcomeDenied:
		return e.Class.Meaning()
	case e.Outcome == egress.OutcomeDepends && byName:
		return "a rule has the name: it is looked up, and all its addresses are allowed but those that are denied always"
	case e.Outcome == egress.OutcomeDepends && e.Basis == egress.BasisRule:
		return "a rule has a range: the name is looked up, and those of its addresses are allowed that a rule has"
	case e.Outcome == egress.OutcomeDepends:
		return "names are looked up on this network, and those of its addresses are allowed that are public or that a rule has"
	case e.Basis == egress.BasisPublic:
		return "it is public, and public addresses need no rule on this network"
	default:
		return "a rule has it"
	}
}

// render writes what was found, as JSON or for a reader.
func (t *explained) render(w io.Writer, asJSON bool) error {
	if asJSON {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		out.SetEscapeHTML(false)
		return out.Encode(t)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s from %s for project %s: ", t.Destination, t.Network, t.Project)
	if len(t.Addresses) == 0 {
		t.text(&b, "")
	} else {
		fmt.Fprintf(&b, "%s\n", t.Outcome)
		for _, a := range t.Addresses {
			fmt.Fprintf(&b, "  %s: ", a.Address)
			a.text(&b, "  ")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// text writes the outcome to the end of its line, and the reasons below.
func (j judgement) text(b *strings.Builder, indent string) {
	b.WriteString(string(j.Outcome))
	if j.Class != "" {
		fmt.Fprintf(b, " (%s)", j.Class)
	}
	fmt.Fprintf(b, "\n%s  %s\n", indent, j.Reason)
	if j.Rule != nil {
		fmt.Fprintf(b, "%s  line %d: %s\n", indent, j.Rule.Line, j.Rule.Text)
	}
	if j.Reported {
		fmt.Fprintf(b, "%s  the mode is report: it is dialled all the same, and noted\n", indent)
	}
}
