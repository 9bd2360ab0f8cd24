package main

import (
	"errors"
	"strings"
	"testing"

	"dialtone/internal/sabotage"
	"dialtone/test/promises"
)

// TestJudge: nothing but the named test's own failure, in the words that are
// asked for, is a bite.
func TestJudge(t *testing.T) {
	t.Parallel()
	under := trial{
		promise: "Harmless",
		broken:  promises.Break{Switch: sabotage.SkipMark},
		bite:    promises.Bite{Test: "TestStore/mark/not after the lease", Says: "= true; want false"},
	}
	const (
		reached = "=== RUN   TestStore/mark/not_after_the_lease\nsabotage: skip-mark\n"
		failed  = "--- FAIL: TestStore (0.00s)\n    --- FAIL: TestStore/mark/not_after_the_lease (0.10s)\nFAIL\n"
	)
	exit := errors.New("exit status 1")
	for name, tc := range map[string]struct {
		ran  ran
		word string
		line string
	}{
		"it notices":              {ran{out: reached + "    claim.go:7: MarkLogin() = true; want false\n" + failed, err: exit}, bites, "claim.go:7: MarkLogin() = true; want false"},
		"among other things":      {ran{out: reached + "    claim.go:6: odd\n    claim.go:7: MarkLogin() = true; want false\n" + failed, err: exit}, bites, "claim.go:7: MarkLogin() = true; want false"},
		"over several lines":      {ran{out: reached + "    claim.go:7: a difference:\n        - false\n        = true; want false\n" + failed, err: exit}, bites, "claim.go:7: a difference: - false = true; want false"},
		"it passes":               {ran{out: reached + "--- PASS: TestStore\nPASS\n"}, "SURVIVED", "went through"},
		"it never came there":     {ran{out: "--- PASS: TestStore\nPASS\n"}, "SURVIVED", "may not have come"},
		"it fails otherwise":      {ran{out: reached + "    claim.go:9: no such table\n" + failed, err: exit}, "OTHERWISE", "does not say"},
		"the words in a log":      {ran{out: reached + "time=1 msg=\"= true; want false\"\n" + failed, err: exit}, "OTHERWISE", "does not say"},
		"another test fails":      {ran{out: reached + "    other.go:1: = true; want false\n--- FAIL: TestOther (0.00s)\nFAIL\n", err: exit}, "CRASHED", "did not come to its end"},
		"a longer name":           {ran{out: "    x.go:1: = true; want false\n--- FAIL: TestStore/mark/not_after_the_lease_ran_out (0.00s)\nFAIL\n", err: exit}, "CRASHED", "did not come to its end"},
		"it panics":               {ran{out: reached + "panic: nil map\n\ngoroutine 1 [running]:\n", err: exit}, "CRASHED", "did not come to its end"},
		"its time is up":          {ran{out: reached + "panic: test timed out after 2m0s\n\tclaim.go:7: = true; want false\n" + failed, err: exit}, "HANGS", "ran out of time"},
		"a server is missing":     {ran{out: "    system.go:3: X is not set: start the servers with scripts/services\n" + failed, err: exit}, "LACKS", "servers are missing"},
		"it cannot be started":    {ran{err: errors.New("no such file")}, "CRASHED", "did not come to its end"},
		"it is skipped":           {ran{out: "--- SKIP: TestStore/mark/not_after_the_lease (0.00s)\nPASS\n"}, "SURVIVED", "may not have come"},
		"nothing of it is chosen": {ran{out: "testing: warning: no tests to run\nPASS\n"}, "SURVIVED", "may not have come"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := judge(under, tc.ran)
			if v.word != tc.word || !strings.Contains(v.line, tc.line) {
				t.Errorf("judge() = %s, %q; want %s, %q", v.word, v.line, tc.word, tc.line)
			}
			if v.word != bites && v.output != tc.ran.out {
				t.Errorf("what it said is lost: %q", v.output)
			}
		})
	}
}

func TestPattern(t *testing.T) {
	t.Parallel()
	if got, want := pattern(printed("TestStore/share/a (b) c")), `^TestStore$/^share$/^a_\(b\)_c$`; got != want {
		t.Errorf("pattern() = %s, want %s", got, want)
	}
}

func TestChosen(t *testing.T) {
	t.Parallel()
	all, err := chosen(nil, false)
	if err != nil || switches(all) < 40 {
		t.Errorf("chosen() = %d switches, %v", switches(all), err)
	}
	quick, err := chosen(nil, true)
	if err != nil || len(quick) >= len(all) || len(quick) < len(all)/2 {
		t.Errorf("%d of %d trials are quick, %v", len(quick), len(all), err)
	}
	one, err := chosen([]string{"skip-mark"}, false)
	if err != nil || switches(one) != 1 || len(one) < 2 {
		t.Errorf("chosen(skip-mark) = %d trials of %d switches, %v", len(one), switches(one), err)
	}
	for _, names := range [][]string{{"skip-mark", "skip-marc"}, {""}} {
		if _, err := chosen(names, false); err == nil {
			t.Errorf("chosen(%q) finds no fault", names)
		}
	}
}
