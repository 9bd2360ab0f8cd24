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
	dir      string
	places   chan struct{}
	patience time.Duration
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

// build compiles everything under the tag. The go command shares the work of two
// that run at once badly, so it is one after the other.
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
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// sound runs the tests of all trials without a switch: what fails anyhow proves
// nothing.
func (b *bench) sound(ctx context.Context, trials []trial) error {
	tests := map[string][]string{}
	for _, t := range trials {
		if name := printed(t.bite.Test); !slices.Contains(tests[t.bite.Package], name) {
			tests[t.bite.Package] = append(tests[t.bite.Package], name)
		}
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var wrong []error
	for pkg, names := range tests {
		for _, name := range names {
			all.Go(func() {
				out, err := b.test(ctx, pkg, name, "")
				if err == nil && strings.Contains(out, "--- PASS: "+name+" (") {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				wrong = append(wrong, fmt.Errorf("%s %s does not pass without a switch:\n%s", pkg, name, out))
			})
		}
	}
	all.Wait()
	return errors.Join(wrong...)
}

// test runs one test; its error is that of the process.
func (b *bench) test(ctx context.Context, pkg, name, on string) (string, error) {
	b.places <- struct{}{}
	defer func() { <-b.places }()
	if err := ctx.Err(); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, b.binary(pkg), "-test.v", "-test.count=1", "-test.run", pattern(name), "-test.timeout", b.patience.String())
	cmd.Dir = pkg // as go test does
	// CI: a test that is skipped has seen nothing.
	cmd.Env = append(os.Environ(), "CI=true", "DIALTONE_SABOTAGE="+on, "DIALTONE_TEST_PROGRAMS="+b.programs())
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 10 * time.Second // what a killed test leaves behind may hold the pipe
	err := cmd.Run()
	return out.String(), err
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
