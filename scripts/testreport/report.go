package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// event is one line of "go test -json"; "go doc test2json" describes it.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// test names one test; the name is empty for what a package says itself.
type test struct{ pkg, name string }

func (t test) String() string { return t.pkg + " " + t.name }

// summary is what a whole run came to.
type summary struct {
	packages, passed int
	failed, skipped  []test
	// broken are packages that failed beyond their tests: a build, a panic, a time-out.
	broken []string
}

func (s summary) ok() bool {
	return len(s.failed)+len(s.skipped)+len(s.broken) == 0 && s.passed > 0
}

func (s summary) String() string {
	var b strings.Builder
	for _, t := range s.failed {
		fmt.Fprintf(&b, "FAILED %s\n", t)
	}
	for _, t := range s.skipped {
		fmt.Fprintf(&b, "SKIPPED %s\n", t)
	}
	for _, pkg := range s.broken {
		fmt.Fprintf(&b, "BROKEN %s\n", pkg)
	}
	if s.passed == 0 {
		b.WriteString("NOTHING passed\n")
	}
	fmt.Fprintf(&b, "%d packages: %d tests passed, %d failed, %d skipped",
		s.packages, s.passed, len(s.failed), len(s.skipped))
	return b.String()
}

// report copies from r to w what is worth reading. Lines that are no events
// pass as they are: "go test" writes its own troubles between them.
func report(r io.Reader, w io.Writer) (summary, error) {
	p := printer{w: w, said: map[test]string{}}
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		p.line(line)
		if errors.Is(err, io.EOF) {
			// A stream that breaks off leaves packages without a verdict.
			p.unfinished(func(test) bool { return true })
			return p.sum, p.err
		}
		if err != nil {
			return p.sum, err
		}
	}
}

type printer struct {
	w    io.Writer
	err  error // the first of w
	sum  summary
	said map[test]string // what a test said until its verdict comes
}

func (p *printer) print(text string) {
	if p.err == nil {
		_, p.err = io.WriteString(p.w, text)
	}
}

func (p *printer) line(line string) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
		p.print(line)
		return
	}
	t := test{e.Package, e.Test}
	switch {
	case e.Action == "build-output":
		p.print(e.Output)
	case e.Action == "run":
		p.said[t] = ""
	case e.Action == "output" && e.Test != "":
		p.said[t] += e.Output
	case e.Action == "output" && e.Output != "PASS\n": // the line with the package's name says it again
		p.print(e.Output)
	case e.Test != "":
		p.testVerdict(t, e.Action)
	default:
		p.packageVerdict(e.Package, e.Action)
	}
}

func (p *printer) testVerdict(t test, action string) {
	switch action {
	case "pass":
		p.sum.passed++
	case "fail":
		p.sum.failed = append(p.sum.failed, t)
		p.print(p.said[t])
	case "skip":
		p.sum.skipped = append(p.sum.skipped, t)
		p.print(p.said[t])
	default: // pause, cont, bench
		return
	}
	delete(p.said, t)
}

func (p *printer) packageVerdict(pkg, action string) {
	switch action {
	case "pass", "skip": // skip: a package without test files
		p.sum.packages++
	case "fail":
		p.sum.packages++
		inPackage := func(t test) bool { return t.pkg == pkg }
		if p.unfinished(inPackage) || !slices.ContainsFunc(p.sum.failed, inPackage) {
			p.sum.broken = append(p.sum.broken, pkg)
		}
	}
}

// unfinished counts tests that never came to a verdict as failed and prints
// what they said: the panic or the time-out that ended them is in there.
func (p *printer) unfinished(which func(test) bool) bool {
	found := false
	byName := func(a, b test) int { return strings.Compare(a.String(), b.String()) }
	for _, t := range slices.SortedFunc(maps.Keys(p.said), byName) {
		if !which(t) {
			continue
		}
		found = true
		p.sum.failed = append(p.sum.failed, t)
		p.print(p.said[t])
		delete(p.said, t)
	}
	return found
}
