package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// bench builds the tests, each package once, and runs them.
type bench struct {
	dir string
	// parallel is how many tests run at once, patience how long each may take.
	parallel int
	patience time.Duration
	// alone is for tests that count what servers notice.
	alone sync.Mutex
}

// binary is where a package's tests are built.
func (b *bench) binary(pkg string) string {
	return filepath.Join(b.dir, strings.ReplaceAll(pkg, "/", "-")+".test")
}

// programs is where the binaries of cmd are built, for the tests that run them.
func (b *bench) programs() string { return filepath.Join(b.dir, "programs") }

// packages are those of the trials, each once.
func packages(trials []trial) []string {
	var list []string
	for _, t := range trials {
		if !slices.Contains(list, t.bite.Package) {
			list = append(list, t.bite.Package)
		}
	}
	return list
}

// build compiles everything under the tag. The go command is parallel in itself.
func (b *bench) build(ctx context.Context, trials []trial) error {
	list := packages(trials)
	for _, pkg := range list {
		if err := command(ctx, "go", "test", "-c", "-tags", "sabotage", "-o", b.binary(pkg), "./"+pkg); err != nil {
			return err
		}
	}
	if !slices.Contains(list, "test/e2e") {
		return nil
	}
	return command(ctx, "go", "build", "-tags", "sabotage", "-o", b.programs()+string(filepath.Separator), "./cmd/...")
}

func command(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the go command, and our own table
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// each does the trials in an order that ends soonest, and returns when all are
// done: tests that run whole binaries take longest, and begin first.
func (b *bench) each(trials []trial, do func(i int)) {
	next := make(chan int)
	var workers sync.WaitGroup
	for range b.parallel {
		workers.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for _, whole := range []bool{true, false} {
		for i, t := range trials {
			if strings.HasPrefix(t.bite.Package, "test/") == whole {
				next <- i
			}
		}
	}
	close(next)
	workers.Wait()
}

// sound runs the tests of all trials without a switch: what fails anyhow proves
// nothing.
func (b *bench) sound(ctx context.Context, trials []trial) error {
	var once []trial
	seen := map[string]bool{}
	for _, t := range trials {
		if key := t.bite.Package + " " + t.bite.Test; !seen[key] {
			seen[key] = true
			once = append(once, t)
		}
	}
	wrong := make([]error, len(once))
	b.each(once, func(i int) {
		t := once[i]
		ran := b.test(ctx, t, "")
		if ran.err != nil || !strings.Contains(ran.out, "--- PASS: "+printed(t.bite.Test)+" (") {
			wrong[i] = fmt.Errorf("%s %s does not pass without a switch:\n%s", t.bite.Package, t.bite.Test, ran.out)
			if ran.err != nil {
				wrong[i] = fmt.Errorf("%w\n%w", wrong[i], ran.err)
			}
		}
	})
	return errors.Join(wrong...)
}

// ran is what came of the process of one test.
type ran struct {
	out  string
	err  error
	took time.Duration
}

// test runs the trial's test with the switch on, if it is one.
func (b *bench) test(ctx context.Context, t trial, on string) ran {
	if t.bite.Package == "test/politeness" {
		b.alone.Lock()
		defer b.alone.Unlock()
	}
	cmd := exec.CommandContext(ctx, b.binary(t.bite.Package), //nolint:gosec // our own table
		"-test.v", "-test.count=1", "-test.run", pattern(printed(t.bite.Test)), "-test.timeout", b.patience.String())
	cmd.Dir = t.bite.Package // as go test does
	// CI: a test that is skipped has seen nothing.
	cmd.Env = append(os.Environ(), "CI=true", "DIALTONE_SABOTAGE="+on, "DIALTONE_TEST_PROGRAMS="+b.programs())
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 10 * time.Second // what a killed test leaves behind may hold the pipe
	began := time.Now()
	err := cmd.Run()
	return ran{out.String(), err, time.Since(began)}
}

// printed is a test's name as go test prints it.
func printed(test string) string { return strings.ReplaceAll(test, " ", "_") }

// pattern selects exactly the one test, and its parents.
func pattern(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}
