// Command saboteur turns on the switches of test/promises one at a time and
// demands that the tests named there fail, each for the reason given there.
// Before, each must pass in the same build without a switch. It prints a table
// and ends with 1 if a test has not noticed. scripts/sabotage runs it with the
// servers that some tests need.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"time"

	"dialtone/test/promises"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "saboteur:", err)
		os.Exit(1)
	}
}

var errUnnoticed = errors.New("a promise was broken, and a test has not noticed")

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("saboteur", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "only the tests that need neither servers nor whole binaries")
	needs := flags.Bool("needs-servers", false, "run nothing; print yes if a test that was asked for needs servers")
	parallel := flags.Int("parallel", 2*runtime.NumCPU(), "how many tests run at once; most of them wait")
	patience := flags.Duration("timeout", 2*time.Minute, "how long a test may take")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	trials, err := chosen(flags.Args(), *quick)
	if err != nil {
		return err
	}
	if *needs {
		if slices.ContainsFunc(trials, func(t trial) bool { return !t.bite.Quick() }) {
			fmt.Println("yes")
		}
		return nil
	}
	dir, err := os.MkdirTemp("", "dialtone-sabotage-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b := bench{dir: dir, parallel: max(*parallel, 1), patience: *patience}
	began := time.Now()
	if err := b.build(ctx, trials); err != nil {
		return err
	}
	fmt.Printf("built in %.0f s\n", time.Since(began).Seconds())
	began = time.Now()
	if err := b.sound(ctx, trials); err != nil {
		return err
	}
	fmt.Printf("without a switch all pass, in %.0f s\n\n", time.Since(began).Seconds())
	began = time.Now()
	unnoticed := b.table(ctx, trials)
	fmt.Printf("\n%d switches, %d tests, of which %d did not notice, in %.0f s\n", switches(trials), len(trials), unnoticed, time.Since(began).Seconds())
	if unnoticed > 0 {
		return errUnnoticed
	}
	return nil
}

// trial is one test under one switch.
type trial struct {
	promise string
	broken  promises.Break
	bite    promises.Bite
}

// chosen are the trials of the switches named, or of all.
func chosen(names []string, quick bool) ([]trial, error) {
	var trials []trial
	known := map[string]bool{}
	for _, p := range promises.All() {
		for _, b := range p.Breaks {
			name := string(b.Switch)
			known[name] = true
			if len(names) > 0 && !slices.Contains(names, name) {
				continue
			}
			for _, bite := range b.Bites {
				if !quick || bite.Quick() {
					trials = append(trials, trial{p.Name, b, bite})
				}
			}
		}
	}
	for _, name := range names {
		if !known[name] {
			return nil, fmt.Errorf("there is no switch %s", name)
		}
	}
	if len(trials) == 0 {
		return nil, errors.New("there is nothing to do")
	}
	return trials, nil
}

func switches(trials []trial) int {
	seen := map[string]bool{}
	for _, t := range trials {
		seen[string(t.broken.Switch)] = true
	}
	return len(seen)
}
