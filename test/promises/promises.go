// Package promises names, for each promise of docs/design.md, the ways in which
// its code can be made to break it, and the tests that must notice.
// scripts/sabotage holds the tests to it.
package promises

import "dialtone/internal/sabotage"

// Promise is one of those of docs/design.md.
type Promise struct {
	Name   string
	Breaks []Break
}

// Break is a switch, what is broken while it is on, and who must notice.
type Break struct {
	Switch sabotage.Switch
	What   string
	Bites  []Bite
}

// Bite is a test that passes, and fails while the switch is on.
type Bite struct {
	// Package is a directory of the module.
	Package string
	// Test is the name as go test prints it, but for the blanks.
	Test string
	// Says is part of what the test says when it fails: one that fails for
	// another reason has noticed nothing.
	Says string
}

// Quick says whether the test needs neither servers nor whole binaries.
func (b Bite) Quick() bool {
	switch b.Package {
	case sqlite, "internal/api", "internal/auth", "internal/batch", "internal/egress", "internal/probe", "internal/probe/mysql", "internal/probe/postgres", "internal/probe/redis", "internal/secret",
		"internal/store/record", "internal/telemetry", "test/egress":
		return true
	default:
		return false
	}
}

const (
	sqlite   = "internal/store/sqlite"
	postgres = "internal/store/postgres"
)

// stores is a clause of the contract that both stores fulfil.
func stores(clause, says string) []Bite {
	return []Bite{{sqlite, "TestStore/" + clause, says}, {postgres, "TestStore/" + clause, says}}
}

// one is a single test.
func one(pkg, test, says string) []Bite { return []Bite{{pkg, test, says}} }

// All gives the promises in the order of docs/design.md.
func All() []Promise {
	return []Promise{
		{"Compatible", compatible()},
		{"Truthful", truthful()},
		{"Harmless", harmless()},
		{"Bounded", bounded()},
		{"Durable", durable()},
		{"Discreet", discreet()},
		{"Contained", contained()},
	}
}
