// Command bench measures what dialtone adds to the probes that it makes. Side
// by side in one run, in rounds that take turns, batches of ten go through
// dialtone (HTTP in, aggregate out, on real Redis and Postgres) and through two
// limits: the same probes made directly in this process, their results written
// to Postgres with one insert for each batch; and the same after the batch was
// accepted in Postgres. docs/benchmarks.md says how to read what it prints.
//
// The api and the worker run in this process, wired as their mains wire them
// but with no processes of their own; with -workers they are processes.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settings are the flags.
type settings struct {
	rounds    int
	per       time.Duration
	callers   []int
	probes    []string
	variants  []string
	stages    bool
	json      bool
	profile   string
	workers   bool
	slots     int
	delay     time.Duration
	batchSize int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if s.profile != "" {
		f, err := os.Create(s.profile)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // a profile that is not whole shows when it is read
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	ground, err := prepare(ctx)
	if err != nil {
		return err
	}
	defer ground.close() //nolint:contextcheck // also when ctx has ended
	var result any
	if s.workers {
		result, err = measureWorkers(ctx, ground, s, stdout)
	} else {
		result, err = measure(ctx, ground, s, stdout, stderr)
	}
	if err != nil || !s.json {
		return err
	}
	encoder := json.NewEncoder(stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(result)
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	var callers, probes, variants string
	var seconds float64
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&s.rounds, "rounds", 5, "rounds in which the variants take turns")
	flags.Float64Var(&seconds, "seconds", 2, "seconds for each variant in each round")
	flags.StringVar(&callers, "callers", "1,16", "concurrent callers to measure with")
	flags.StringVar(&probes, "probes", strings.Join(probeKinds(), ","), "kinds of probes to measure")
	flags.StringVar(&variants, "variants", strings.Join(allVariants(), ","), "variants to measure")
	flags.BoolVar(&s.stages, "stages", false, "also print what dialtone's calls of its store took")
	flags.BoolVar(&s.json, "json", false, "print JSON instead of tables")
	flags.StringVar(&s.profile, "cpuprofile", "", "write a CPU profile of the whole run to this `file`")
	flags.BoolVar(&s.workers, "workers", false, "measure 1, 2 and 4 worker processes on slow targets instead")
	flags.IntVar(&s.slots, "slots", 16, "with -workers: probes that each worker makes at once")
	flags.DurationVar(&s.delay, "delay", 300*time.Millisecond, "with -workers: how long a target takes to answer")
	if err := flags.Parse(args); err != nil {
		return settings{}, err
	}
	s.per = time.Duration(seconds * float64(time.Second))
	s.batchSize = 10
	s.probes, s.variants = strings.Split(probes, ","), strings.Split(variants, ",")
	for text := range strings.SplitSeq(callers, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return settings{}, fmt.Errorf("-callers: %q is no number from 1", text)
		}
		s.callers = append(s.callers, n)
	}
	for _, p := range s.probes {
		if !slices.Contains(probeKinds(), p) {
			return settings{}, fmt.Errorf("-probes: %q is none of %v", p, probeKinds())
		}
	}
	for _, v := range s.variants {
		if !slices.Contains(allVariants(), v) {
			return settings{}, fmt.Errorf("-variants: %q is none of %v", v, allVariants())
		}
	}
	if s.rounds < 1 || s.per <= 0 || s.slots < 1 || s.delay < 0 || flags.NArg() > 0 {
		return settings{}, errors.New("a number is out of range, or there is an argument too many")
	}
	return s, nil
}
