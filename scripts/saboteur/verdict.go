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
func (b *bench) table(ctx context.Context, trials []trial) (survived int) {
	verdicts := make([]chan verdict, len(trials))
	for i, t := range trials {
		verdicts[i] = make(chan verdict, 1)
		go func() {
			began := time.Now()
			out, err := b.test(ctx, t.bite.Package, printed(t.bite.Test), string(t.broken.Switch))
			v := judge(t, out, err)
			v.took = time.Since(began)
			verdicts[i] <- v
		}()
	}
	last := ""
	for i, t := range trials {
		if t.promise != last {
			fmt.Printf("%s\n", t.promise)
			last = t.promise
		}
		v := <-verdicts[i]
		fmt.Printf("  %-9s %5.1f s  %-24s %s %s\n%45s %s\n", v.word, v.took.Seconds(), t.broken.Switch, t.bite.Package, t.bite.Test, "", v.line)
		if !v.bites() {
			survived++
			fmt.Printf("%45s broken: %s\n%s\n", "", t.broken.What, v.output)
		}
	}
	return survived
}

// verdict is what became of a test under a switch.
type verdict struct {
	word string
	// line is what the test said, or why that does not count.
	line string
	// output is all of it where it does not count.
	output string
	took   time.Duration
}

const bitten = "bites"

func (v verdict) bites() bool { return v.word == bitten }

// fault is a line in which a test says what is wrong.
var fault = regexp.MustCompile(`^\s+\w+\.go:\d+: `)

// judge says whether the test has noticed what the switch broke.
func judge(t trial, out string, err error) verdict {
	not := func(word, why string) verdict { return verdict{word: word, line: why, output: out} }
	switch name := printed(t.bite.Test); {
	case err == nil && strings.Contains(out, "sabotage: "+string(t.broken.Switch)):
		return not("SURVIVED", "the test went through what is broken, and passed")
	case err == nil:
		return not("SURVIVED", "the test passed, and may not have come to what is broken")
	case strings.Contains(out, "panic: test timed out"):
		return not("HANGS", "the test ran out of time, as it would for many a reason")
	case strings.Contains(out, "start the servers with scripts/services"):
		return not("LACKS", "the servers are missing")
	case !strings.Contains(out, "--- FAIL: "+name+" ("):
		return not("CRASHED", "the test did not come to its end")
	}
	first := ""
	for line := range strings.Lines(out) {
		if line = strings.TrimRight(line, "\n"); !fault.MatchString(line) && first == "" {
			continue
		} else if first == "" {
			first = strings.TrimSpace(line)
		}
		if strings.Contains(line, t.bite.Says) {
			return verdict{word: bitten, line: cut(strings.TrimSpace(line))}
		}
	}
	return not("OTHERWISE", fmt.Sprintf("the test does not say %q but: %s", t.bite.Says, first))
}

func cut(line string) string {
	const most = 150
	if r := []rune(line); len(r) > most {
		return string(r[:most]) + " ..."
	}
	return line
}
