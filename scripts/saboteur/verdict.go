package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// table runs the trials and prints a line for each in their order, as soon as
// those before it are there. It counts those that did not notice.
func (b *bench) table(ctx context.Context, trials []trial) (unnoticed int) {
	verdicts := make([]chan verdict, len(trials))
	for i := range trials {
		verdicts[i] = make(chan verdict, 1)
	}
	go b.each(trials, func(i int) {
		ran := b.test(ctx, trials[i], string(trials[i].broken.Switch))
		verdicts[i] <- judge(trials[i], ran)
	})
	last := ""
	for i, t := range trials {
		if t.promise != last {
			fmt.Println(t.promise)
			last = t.promise
		}
		v := <-verdicts[i]
		fmt.Printf("  %-9s %5.1f s  %-23s  %s %s\n%45s%s\n", v.word, v.took.Seconds(), t.broken.Switch, t.bite.Package, t.bite.Test, "", v.line)
		if v.word != bites {
			unnoticed++
			fmt.Printf("%45sbroken is: %s\n%s\n", "", t.broken.What, v.output)
		}
	}
	return unnoticed
}

// verdict is what became of a test under a switch.
type verdict struct {
	word string
	took time.Duration
	// line is what the test said, or why that does not count.
	line string
	// output is all of it where it does not count.
	output string
}

const bites = "bites"

// fault is a line in which a test says what is wrong.
var fault = regexp.MustCompile(`^\s+\w+\.go:\d+: `)

// judge says whether the test has noticed what the switch broke.
func judge(t trial, ran ran) verdict {
	not := func(word, why string) verdict { return verdict{word, ran.took, why, ran.out} }
	switch {
	case ran.err == nil && strings.Contains(ran.out, "sabotage: "+string(t.broken.Switch)):
		return not("SURVIVED", "the test went through what is broken, and passed")
	case ran.err == nil:
		return not("SURVIVED", "the test passed, and may not have come to what is broken")
	case strings.Contains(ran.out, "panic: test timed out"):
		return not("HANGS", "the test ran out of time, as it would for many a reason")
	case strings.Contains(ran.out, "scripts/services"):
		return not("LACKS", "the servers are missing")
	case !strings.Contains(ran.out, "--- FAIL: "+printed(t.bite.Test)+" ("):
		return not("CRASHED", "the test did not come to its end")
	}
	var said []string
	for line := range strings.Lines(ran.out) {
		switch text := strings.TrimSpace(line); {
		case fault.MatchString(line):
			said = append(said, text)
		case len(said) > 0 && !strings.HasPrefix(text, "--- ") && !strings.HasPrefix(text, "=== ") && text != "FAIL":
			said[len(said)-1] += " " + text // a message may have several lines
		}
	}
	for _, line := range said {
		if strings.Contains(line, t.bite.Says) {
			return verdict{word: bites, took: ran.took, line: cut(line)}
		}
	}
	return not("OTHERWISE", fmt.Sprintf("the test does not say %q", t.bite.Says))
}

func cut(line string) string {
	const most = 150
	if r := []rune(line); len(r) > most {
		return string(r[:most]) + " ..."
	}
	return line
}
