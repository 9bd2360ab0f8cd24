package engines_test

import (
	"slices"
	"testing"

	"dialtone/internal/probe"
	"dialtone/internal/probe/engines"
	"dialtone/internal/probe/probetest"
)

func TestAll(t *testing.T) {
	t.Parallel()
	all := engines.All(engines.Config{ProgramName: "test"})
	var got []probe.Engine
	for _, p := range all {
		got = append(got, p.Engines()...)
	}
	slices.Sort(got)
	want := slices.Sorted(slices.Values(probe.Engines()))
	if !slices.Equal(got, want) {
		t.Errorf("All() serves %v, want %v", got, want)
	}
	// No engine has two probers.
	if _, err := probe.NewRunner(probetest.Policy(t), all, probe.RunnerConfig{}); err != nil {
		t.Error(err)
	}
}
