package config_test

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/config"
	"dialtone/internal/secret"
)

var update = flag.Bool("update", false, "write the table in docs/configuration.md")

const document = "../../docs/configuration.md"

// variable is one field of API, Worker or both.
type variable struct {
	name, flag, group string
	secret            bool
	api, worker       bool
	defaults, helps   map[string]string // by process
}

// names are the variable and, for a secret, the one of its file.
func (v variable) names() []string {
	if v.secret {
		return []string{v.name, v.name + "_FILE"}
	}
	return []string{v.name}
}

// variables reads the structs, in their order.
func variables(t *testing.T) []variable {
	t.Helper()
	var list []variable
	index := map[string]int{}
	add := func(of, group string, f reflect.StructField) {
		name := f.Tag.Get("env")
		i, known := index[name]
		if !known {
			i, index[name] = len(list), len(list)
			list = append(list, variable{
				name: name, group: group, secret: f.Type == reflect.TypeFor[secret.Text](),
				flag:     strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, "DIALTONE_")), "_", "-"),
				defaults: map[string]string{}, helps: map[string]string{},
			})
		}
		v := &list[i]
		v.defaults[of], v.helps[of] = f.Tag.Get("default"), f.Tag.Get("help")
		v.api = v.api || of == "api"
		v.worker = v.worker || of == "worker"
	}
	var walk func(of, group string, s reflect.Type)
	walk = func(of, group string, s reflect.Type) {
		for f := range s.Fields() {
			in := group
			if g := f.Tag.Get("group"); g != "" {
				in = g
			}
			if _, embedded := f.Tag.Lookup("embed"); embedded {
				walk(of, in, f.Type)
			} else if f.Tag.Get("kong") != "-" {
				add(of, in, f)
			}
		}
	}
	walk("api", "", reflect.TypeFor[config.API]())
	walk("worker", "", reflect.TypeFor[config.Worker]())
	return list
}

// TestEveryField holds each field to what the table and the flags rely on.
func TestEveryField(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, v := range variables(t) {
		if !strings.HasPrefix(v.name, "DIALTONE_") {
			t.Errorf("variable %q does not begin with DIALTONE_", v.name)
		}
		if v.group == "" {
			t.Errorf("%s has no group", v.name)
		}
		for of, help := range v.helps {
			if !strings.HasSuffix(help, ".") || strings.Contains(help, "|") {
				t.Errorf("help of %s in %s is not a sentence that a table can hold: %q", v.name, of, help)
			}
		}
		for _, name := range v.names() {
			if other, taken := seen[name]; taken {
				t.Errorf("%s is read for %s and for %s", name, other, v.name)
			}
			seen[name] = v.name
		}
	}
}

// TestDocument compares docs/configuration.md with the structs; -update
// writes the table anew.
func TestDocument(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- variables: go test ./internal/config -update -->\n", "<!-- end of variables -->\n"
	before, rest, found := strings.Cut(string(raw), begin)
	old, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for the table", document)
	}
	fresh := table(variables(t))
	if *update {
		if err := os.WriteFile(document, []byte(before+begin+fresh+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(fresh, old); diff != "" {
		t.Errorf("%s is stale, run go test ./internal/config -update (-want +got):\n%s", document, diff)
	}
}

// table is the Markdown, a section for each group.
func table(list []variable) string {
	var groups []string
	for _, v := range list {
		if !slices.Contains(groups, v.group) {
			groups = append(groups, v.group)
		}
	}
	var out strings.Builder
	for _, g := range groups {
		fmt.Fprintf(&out, "\n### %s\n\n| variable | default | read by | meaning |\n| --- | --- | --- | --- |\n", g)
		for _, v := range list {
			if v.group == g {
				out.WriteString(v.row())
			}
		}
	}
	return out.String() + "\n"
}

func (v variable) row() string {
	name := "`" + strings.Join(v.names(), "`, `") + "`"
	switch {
	case !v.worker:
		return fmt.Sprintf("| %s | %s | api | %s |\n", name, code(v.defaults["api"]), v.helps["api"])
	case !v.api:
		return fmt.Sprintf("| %s | %s | worker | %s |\n", name, code(v.defaults["worker"]), v.helps["worker"])
	case v.defaults["api"] == v.defaults["worker"] && v.helps["api"] == v.helps["worker"]:
		return fmt.Sprintf("| %s | %s | both | %s |\n", name, code(v.defaults["api"]), v.helps["api"])
	default:
		return fmt.Sprintf("| %s | %s | api | %s |\n| %s | %s | worker | %s |\n",
			name, code(v.defaults["api"]), v.helps["api"], name, code(v.defaults["worker"]), v.helps["worker"])
	}
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}
