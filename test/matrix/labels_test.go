package matrix_test

import (
	"encoding/csv"
	"os"
	"slices"
	"testing"

	"dialtone/internal/probe"
)

// row is one engine under one condition.
type row struct{ engine, condition string }

func (r row) String() string { return r.engine + ", " + r.condition }

// outcome is what a test says; a success has no phase and no owner.
type outcome struct{ code, phase, owner string }

// label is the right outcome of a row.
type label struct {
	row
	outcome
}

func readLabels(t *testing.T) []label {
	t.Helper()
	f, err := os.Open("labels.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r := csv.NewReader(f)
	r.Comment = '#'
	r.FieldsPerRecord = 5
	records, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var labels []label
	for _, c := range records[1:] {
		labels = append(labels, label{row{c[0], c[1]}, outcome{c[2], c[3], c[4]}})
	}
	return labels
}

// seed are the engines of the contract's connection call.
func seed() []string {
	return []string{"mysql", "taurus", "postgresql", "mongodb", "gaussdbv5", "gaussdbv5ha", "kafka", "oracle"}
}

// TestLabels holds the table itself to its rules.
func TestLabels(t *testing.T) {
	t.Parallel()
	labels := readLabels(t)
	conditions := map[string][]string{}
	for _, l := range labels {
		if slices.Contains(conditions[l.engine], l.condition) {
			t.Errorf("%s stands twice", l.row)
		}
		conditions[l.engine] = append(conditions[l.engine], l.condition)
		code := probe.Code(l.code)
		if !code.Known() {
			t.Errorf("%s: there is no code %q", l.row, l.code)
		}
		v := code.Verdict()
		if string(v.Owner) != l.owner {
			t.Errorf("%s: %s belongs to %q, not %q", l.row, l.code, v.Owner, l.owner)
		}
		if (code == probe.CodeOK) != (l.phase == "") {
			t.Errorf("%s: %s with the phase %q", l.row, l.code, l.phase)
		}
	}
	if len(labels) < 150 {
		t.Errorf("there are %d scenarios, want at least 150", len(labels))
	}
	always := []string{"wrong password", "unknown user", "unknown database", "untrusted CA", "wrong protocol"}
	// Kafka's brokers have no databases.
	exempt := row{"kafka", "unknown database"}
	for _, engine := range seed() {
		if n := len(conditions[engine]); n < 12 {
			t.Errorf("%s has %d conditions, want at least 12", engine, n)
		}
		for _, c := range always {
			if r := (row{engine, c}); r != exempt && !slices.Contains(conditions[engine], c) {
				t.Errorf("%s is missing", r)
			}
		}
	}
}
