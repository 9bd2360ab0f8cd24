package probe_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/probe"
)

//go:generate go test -run ^TestVerdictsDocument$ . -update

var update = flag.Bool("update", false, "write docs/verdicts.md anew")

// declared lists the codes that verdict.go declares.
func declared(t *testing.T) []probe.Code {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "verdict.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var codes []probe.Code
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Code") {
			return true
		}
		if value, ok := spec.Values[0].(*ast.BasicLit); ok {
			text, _ := strconv.Unquote(value.Value)
			codes = append(codes, probe.Code(text))
		}
		return true
	})
	return codes
}

func TestVerdictsAreComplete(t *testing.T) {
	t.Parallel()
	codes := declared(t)
	if len(codes) < 50 {
		t.Fatalf("verdict.go declares %d codes, want all of them", len(codes))
	}
	var listed []probe.Code
	for _, v := range probe.Verdicts() {
		listed = append(listed, v.Code)
	}
	slices.Sort(codes)
	slices.Sort(listed)
	if diff := cmp.Diff(codes, listed); diff != "" {
		t.Errorf("codes declared and codes in the table (-declared +table):\n%s", diff)
	}
}

func TestVerdictTexts(t *testing.T) {
	t.Parallel()
	snake := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	for _, v := range probe.Verdicts() {
		t.Run(string(v.Code), func(t *testing.T) {
			t.Parallel()
			if !snake.MatchString(string(v.Code)) {
				t.Error("the code is not in snake case")
			}
			if v.Phase != "" && !slices.Contains(probe.Phases(), v.Phase) {
				t.Errorf("there is no phase %q", v.Phase)
			}
			if (v.Owner == probe.OwnerNone) != (v.Code == probe.CodeOK) {
				t.Errorf("the owner is %q", v.Owner)
			}
			for name, w := range map[string]probe.Words{"meaning": v.Meaning, "remedy": v.Remedy} {
				checkText(t, name, w.In(probe.English), ".", false)
				checkText(t, name, w.In(probe.Chinese), "。", true)
			}
			// An answer of the compatible call carries both and names the target.
			for _, l := range []probe.Language{probe.English, probe.Chinese} {
				if n := utf8.RuneCountInString(v.Meaning.In(l) + " " + v.Remedy.In(l)); n > 512 {
					t.Errorf("meaning and remedy in %s have %d characters together, want at most 512", l, n)
				}
			}
			if all := v.Remedy.English + v.Remedy.Chinese; strings.Contains(all, "0.0.0.0") || strings.Contains(all, "'%'") {
				t.Error("the remedy opens the database to everybody")
			}
		})
	}
}

func checkText(t *testing.T, name, text, end string, chinese bool) {
	t.Helper()
	if !strings.HasSuffix(text, end) || utf8.RuneCountInString(text) > 512 || strings.TrimSpace(text) != text || strings.Contains(text, "|") {
		t.Errorf("%s %q: want at most 512 characters that end in %q, without bars", name, text, end)
	}
	if has := strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Han, r) }); has != chinese {
		t.Errorf("%s %q is in the wrong language", name, text)
	}
}

// Only what may pass by itself is tried again, and nothing that follows a login.
func TestVerdictsRetry(t *testing.T) {
	t.Parallel()
	want := []probe.Code{
		probe.CodeConnectionRefused, probe.CodeDNSFailed, probe.CodeHostUnreachable,
		probe.CodeServerNotReady, probe.CodeTimeoutConnect, probe.CodeTooManyConnections,
	}
	var got []probe.Code
	for _, v := range probe.Verdicts() {
		if v.Retry {
			got = append(got, v.Code)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("retried codes (-want +got):\n%s", diff)
	}
}

func TestVerdictOfUnknownCode(t *testing.T) {
	t.Parallel()
	if got := probe.Code("nonsense").Verdict().Code; got != probe.CodeInternal || probe.Code("nonsense").Known() {
		t.Errorf("an unknown code is %s, known %v; want %s, false", got, probe.Code("nonsense").Known(), probe.CodeInternal)
	}
}

func TestVerdictsDocument(t *testing.T) {
	t.Parallel()
	const file = "../../docs/verdicts.md"
	want := document()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is stale; run go generate ./internal/probe (-want +got):\n%s", file, diff)
	}
}

// document renders the table.
func document() string {
	var b strings.Builder
	b.WriteString(`<!-- Made from internal/probe by "go generate ./internal/probe"; edit verdicts_table.go instead. -->
# Verdicts

Every test ends with one of these codes. The set is closed: a client may switch on it.

- **Phase** is the one that failed; "any" means: the one in which it happened. A limit or a
  shutdown that shows only after the login is reported in the phase of the login or the session.
- **Owner** is who must act: the caller, the database's administrator (dba), whoever runs the
  network, whoever guards access (security), or this service.
- **Retry** says that the service itself tries again, as long as no login was sent.
- **DRS** is the error_code of the compatible call. DRS.KE0002 is given only when a server
  refused the credentials. Otherwise the code depends on the entry's state or is a general one,
  and error_msg carries the meaning and the remedy in the language of X-Language.

| code | phase | owner | retry | DRS |
|---|---|---|---|---|
`)
	for _, v := range probe.Verdicts() {
		retry, drs := "", ""
		if v.Retry {
			retry = "yes"
		}
		if v.Code == probe.CodeAuthFailed {
			drs = "DRS.KE0002"
		}
		phase, owner := string(v.Phase), string(v.Owner)
		if phase == "" && v.Code != probe.CodeOK {
			phase = "any"
		}
		fmt.Fprintf(&b, "| [%[1]s](#%[1]s) | %s | %s | %s | %s |\n", v.Code, phase, owner, retry, drs)
	}
	for _, v := range probe.Verdicts() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n- **What to do:** %s\n\n%s\n- **处理建议：** %s\n", v.Code,
			plain(v.Meaning.English), plain(v.Remedy.English), plain(v.Meaning.Chinese), plain(v.Remedy.Chinese))
	}
	return b.String()
}

// plain keeps a text from being taken for markup.
func plain(text string) string {
	return strings.NewReplacer("*", `\*`, "_", `\_`, "<", `\<`).Replace(text)
}
