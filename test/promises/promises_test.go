package promises_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dialtone/test/promises"
)

// root is the module's, seen from here.
const root = "../.."

// The switches' own package, as files import it.
const switches = "dialtone/internal/sabotage"

// TestEveryPromiseIsThere: the promises are those of docs/design.md.
func TestEveryPromiseIsThere(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs", "design.md"))
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, row := range regexp.MustCompile(`(?m)^\| \*\*(\w+)\*\*`).FindAllStringSubmatch(string(text), -1) {
		want = append(want, row[1])
	}
	for _, p := range promises.All() {
		got = append(got, p.Name)
		if len(p.Breaks) < 3 {
			t.Errorf("%s: %d switches are too few", p.Name, len(p.Breaks))
		}
	}
	if diff := cmp.Diff(slices.Compact(want), got); diff != "" {
		t.Errorf("promises (-docs/design.md +here):\n%s", diff)
	}
}

// TestEverySwitchIsUsed: the switches that are declared, those that are named here
// and those that stand in the code are the same.
func TestEverySwitchIsUsed(t *testing.T) {
	t.Parallel()
	declared := constants(t, filepath.Join(root, "internal", "sabotage", "sabotage.go"))
	named := map[string]int{}
	for _, p := range promises.All() {
		for _, b := range p.Breaks {
			named[string(b.Switch)]++
			if b.What == "" || len(b.Bites) == 0 {
				t.Errorf("%s breaks %q, and %d tests must notice", b.Switch, b.What, len(b.Bites))
			}
			for _, bite := range b.Bites {
				if bite.Says == "" {
					t.Errorf("%s: any failure of %s would do", b.Switch, bite.Test)
				}
			}
		}
	}
	used := uses(t)
	for constant, name := range declared {
		if named[name] != 1 {
			t.Errorf("%s is named %d times, want once", name, named[name])
		}
		if used[constant] == 0 {
			t.Errorf("%s stands nowhere in the code", constant)
		}
		delete(named, name)
	}
	for name := range named {
		t.Errorf("%s is not declared", name)
	}
}

// constants gives the text constants of a file, by their names.
func constants(t *testing.T, path string) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, name := range spec.Names {
			if literal, ok := spec.Values[i].(*ast.BasicLit); ok {
				all[name.Name], _ = strconv.Unquote(literal.Value)
			}
		}
		return true
	})
	return all
}

// uses counts where the code asks for each switch.
func uses(t *testing.T) map[string]int {
	t.Helper()
	counts := map[string]int{}
	sources(t, filepath.Join(root, "internal"), func(path string, file *ast.File) {
		if strings.HasSuffix(path, "_test.go") || !imports(file, switches) {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "sabotage" {
					counts[s.Sel.Name]++
				}
			}
			return true
		})
	})
	return counts
}

func imports(file *ast.File, path string) bool {
	return slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == strconv.Quote(path) })
}

// sources parses every Go file below a directory.
func sources(t *testing.T, dir string, each func(path string, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, ".gen.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err == nil {
			each(path, file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestEveryTestIsThere: what is named is a test of its package, and its subtests
// are words that stand in its sources, or in those of a suite.
func TestEveryTestIsThere(t *testing.T) {
	t.Parallel()
	known := map[string]tests{}
	for _, p := range promises.All() {
		for _, b := range p.Breaks {
			for _, bite := range b.Bites {
				of, ok := known[bite.Package]
				if !ok {
					of = testsOf(t, bite.Package)
					known[bite.Package] = of
				}
				name, rest, _ := strings.Cut(bite.Test, "/")
				if !slices.Contains(of.functions, name) {
					t.Errorf("%s: %s has no %s", b.Switch, bite.Package, name)
				}
				if !of.holds(rest) {
					t.Errorf("%s: %s of %s has no case %q", b.Switch, name, bite.Package, rest)
				}
			}
		}
	}
}

// tests are the test functions of a package, and the texts in its sources.
type tests struct{ functions, texts []string }

// holds says whether a subtest's name, or each part of it, is among the texts.
func (s tests) holds(name string) bool {
	if name == "" || slices.Contains(s.texts, name) {
		return true
	}
	for part := range strings.SplitSeq(name, "/") {
		if !slices.Contains(s.texts, part) {
			return false
		}
	}
	return true
}

func testsOf(t *testing.T, pkg string) tests {
	t.Helper()
	var of tests
	for _, dir := range []string{pkg, "internal/store/storetest", "internal/probe/probetest", "internal/probe"} {
		sources(t, filepath.Join(root, dir), func(path string, file *ast.File) {
			if filepath.Dir(path) != filepath.Join(root, dir) {
				return
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					if dir == pkg && strings.HasSuffix(path, "_test.go") && n.Recv == nil {
						of.functions = append(of.functions, n.Name.Name)
					}
				case *ast.BasicLit:
					if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
						of.texts = append(of.texts, text)
					}
				}
				return true
			})
		})
	}
	return of
}

// TestNoSwitchIsBuilt: the binary that users get holds nothing of the switches,
// neither code nor names.
func TestNoSwitchIsBuilt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "dialtone")
	build := exec.Command("go", "build", "-o", path, "./cmd/dialtone") // the api and the worker are in it
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	binary, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, there := range []string{"dialtone/internal/batch.(*Worker).Handle", "DIALTONE_LISTEN"} {
		if !bytes.Contains(binary, []byte(there)) {
			t.Fatalf("the binary does not even hold %s", there)
		}
	}
	if bytes.Contains(binary, []byte(switches)) || bytes.Contains(binary, []byte("DIALTONE_SABOTAGE")) {
		t.Error("the package of the switches is linked: a function of it was not inlined")
	}
	for _, p := range promises.All() {
		for _, b := range p.Breaks {
			if bytes.Contains(binary, []byte(b.Switch)) {
				t.Errorf("the binary knows the switch %s", b.Switch)
			}
		}
	}
}
