// Package deploy_test holds what lies in deploy/ to the programs: the rules and
// the dashboard to the metrics that there are, the examples to the code that
// reads them, the documents to both.
package deploy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	dto "github.com/prometheus/client_model/go"

	"dialtone/internal/auth"
	"dialtone/internal/egress"
	"dialtone/internal/telemetry/telemetrytest"
)

const root = ".."

func expressions(t *testing.T) []telemetrytest.Expression {
	t.Helper()
	list, err := telemetrytest.Expressions(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 50 {
		t.Fatalf("%d expressions, which cannot be all", len(list))
	}
	return list
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// promtool runs it, and skips the test where there is none.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("promtool is missing: apt-get install prometheus")
		}
		t.Skip("promtool is missing: apt-get install prometheus")
	}
	if out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPromtool(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "rules", "prometheus/rules.yml")
	promtool(t, "check", "config", "prometheus/prometheus.yml")
	promtool(t, "test", "rules", "prometheus/rules_test.yml")
}

// TestSyntax has promtool read every expression as a recording rule.
func TestSyntax(t *testing.T) {
	t.Parallel()
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	type group struct {
		Name  string `yaml:"name"`
		Rules []rule `yaml:"rules"`
	}
	var all []rule
	for i, e := range expressions(t) {
		if strings.Contains(e.PromQL, "$") {
			t.Errorf("%s: a variable is left in %s", e.Where, e.PromQL)
		}
		all = append(all, rule{Record: fmt.Sprintf("x:%d", i), Expr: e.PromQL})
	}
	raw, err := yaml.Marshal(map[string][]group{"groups": {{Name: "all", Rules: all}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "all.yml")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", path)
}

// metric is what a process shows: the labels of its series, and their values.
type metric struct {
	labels map[string]map[string]bool
}

// metrics lists every metric with each name that PromQL can call it by.
func metrics(t *testing.T) map[string]metric {
	t.Helper()
	families, err := telemetrytest.Metrics().Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]metric{"up": {labels: map[string]map[string]bool{}}}
	for _, f := range families {
		m := metric{labels: map[string]map[string]bool{}}
		for _, series := range f.GetMetric() {
			for _, l := range series.GetLabel() {
				if m.labels[l.GetName()] == nil {
					m.labels[l.GetName()] = map[string]bool{}
				}
				m.labels[l.GetName()][l.GetValue()] = true
			}
		}
		names := []string{f.GetName()}
		if f.GetType() == dto.MetricType_HISTOGRAM {
			m.labels["le"] = map[string]bool{}
			names = []string{f.GetName() + "_bucket", f.GetName() + "_sum", f.GetName() + "_count"}
		}
		for _, name := range names {
			all[name] = m
		}
	}
	return all
}

var (
	name     = regexp.MustCompile(`\b(?:dialtone[:_][a-zA-Z0-9_:]+|(?:go|process)_[a-z_]+|up)\b`)
	selector = regexp.MustCompile(`\b([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}`)
	matcher  = regexp.MustCompile(`([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	literal  = regexp.MustCompile(`"[^"]*"`)
)

// TestNames looks each metric and label of each expression up among those that
// a process really shows.
func TestNames(t *testing.T) {
	t.Parallel()
	known := metrics(t)
	all := expressions(t)
	recorded := map[string]bool{}
	for _, e := range all {
		recorded[e.Record] = true
	}
	for _, e := range all {
		for _, n := range name.FindAllString(literal.ReplaceAllString(e.PromQL, `""`), -1) {
			if _, ok := known[n]; !ok && !recorded[n] {
				t.Errorf("%s: there is no metric %s", e.Where, n)
			}
		}
		for _, s := range selector.FindAllStringSubmatch(e.PromQL, -1) {
			m, ok := known[s[1]]
			if !ok {
				continue // recorded, or complained of above
			}
			for _, l := range matcher.FindAllStringSubmatch(s[2], -1) {
				checkLabel(t, e, s[1], m, l[1], l[2], l[3])
			}
		}
	}
}

// checkLabel wants a label that the metric has, and, where a closed set is
// compared with, a value that occurs in it.
func checkLabel(t *testing.T, e telemetrytest.Expression, of string, m metric, label, operator, value string) {
	t.Helper()
	if label == "job" || label == "instance" {
		return // given by Prometheus
	}
	values, ok := m.labels[label]
	if !ok {
		t.Errorf("%s: %s has no label %s", e.Where, of, label)
		return
	}
	closed := map[string]bool{"what": true, "why": true, "state": true, "lane": true, "enforced": true}
	if !closed[label] || operator == "!=" {
		return
	}
	for one := range strings.SplitSeq(value, "|") {
		if !values[one] {
			t.Errorf("%s: %s never has %s=%q", e.Where, of, label, one)
		}
	}
}

// TestEveryAlert wants each alert to fire in the rules' tests, and to have its
// section in the runbook.
func TestEveryAlert(t *testing.T) {
	t.Parallel()
	var tests struct {
		Tests []struct {
			Alerts []struct {
				Name   string           `yaml:"alertname"`
				Expect []map[string]any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy", "prometheus", "rules_test.yml")), &tests); err != nil {
		t.Fatal(err)
	}
	fires, stays := map[string]bool{}, map[string]bool{}
	for _, test := range tests.Tests {
		for _, a := range test.Alerts {
			if len(a.Expect) > 0 {
				fires[a.Name] = true
			} else {
				stays[a.Name] = true
			}
		}
	}
	runbook := read(t, "docs", "operations.md")
	alerts := 0
	for _, e := range expressions(t) {
		if e.Alert == "" {
			continue
		}
		alerts++
		if !fires[e.Alert] || !stays[e.Alert] {
			t.Errorf("%s: fires in a test: %t, stays silent in one: %t", e.Alert, fires[e.Alert], stays[e.Alert])
		}
		if !strings.Contains(runbook, "\n### "+e.Alert+"\n") {
			t.Errorf("%s has no section in docs/operations.md", e.Alert)
		}
		delete(fires, e.Alert)
	}
	if alerts < 10 || len(fires) > 0 {
		t.Errorf("%d alerts; tests of others: %v", alerts, fires)
	}
}

// TestEveryMetricIsDocumented compares docs/operations.md with what a process
// shows, both ways.
func TestEveryMetricIsDocumented(t *testing.T) {
	t.Parallel()
	document := read(t, "docs", "operations.md")
	families, err := telemetrytest.Metrics().Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, f := range families {
		known[f.GetName()] = true
		if strings.HasPrefix(f.GetName(), "dialtone_") && !strings.Contains(document, "| `"+f.GetName()+"` |") {
			t.Errorf("%s is not in the table of docs/operations.md", f.GetName())
		}
	}
	for _, n := range regexp.MustCompile(`\bdialtone_[a-z_]+`).FindAllString(document, -1) {
		if !known[n] {
			t.Errorf("docs/operations.md speaks of %s, which there is not", n)
		}
	}
}

func TestDashboard(t *testing.T) {
	t.Parallel()
	var dashboard struct {
		UID    string
		Panels []struct {
			ID                       int
			Type, Title, Description string
			GridPos                  struct{ X, Y, W, H int }
			Targets                  []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "deploy", "grafana", "dialtone.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	ids := map[int]bool{}
	cells := map[[2]int]string{}
	for _, p := range dashboard.Panels {
		if ids[p.ID] {
			t.Errorf("panel %q: id %d is taken", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.Type != "row" && (p.Description == "" || len(p.Targets) == 0) {
			t.Errorf("panel %q has no description or shows nothing", p.Title)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q lies on %q or beyond the edge", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
	}
}

// TestExamples has the code that reads the real files read the examples.
func TestExamples(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"auth.yaml":          read(t, "deploy", "auth.example.yaml"),
		"example-secret-key": "a secret key",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file, err := auth.Load(filepath.Join(dir, "auth.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(file.Tokens) != 2 || len(file.AccessKeys) != 1 {
		t.Errorf("auth.example.yaml holds %d tokens and %d keys", len(file.Tokens), len(file.AccessKeys))
	}
	rules, err := egress.ParseRules(strings.NewReader(read(t, "deploy", "allow-list.example")))
	if err != nil {
		t.Fatal(err)
	}
	if len(rules) != 4 {
		t.Errorf("allow-list.example holds %d rules", len(rules))
	}
}

// TestScrapeConfig wants the jobs that the rules speak of.
func TestScrapeConfig(t *testing.T) {
	t.Parallel()
	var config struct {
		Files   []string `yaml:"rule_files"`
		Scrapes []struct {
			Job string `yaml:"job_name"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy", "prometheus", "prometheus.yml")), &config); err != nil {
		t.Fatal(err)
	}
	var jobs []string
	for _, s := range config.Scrapes {
		jobs = append(jobs, s.Job)
	}
	if want := []string{"dialtone-api", "dialtone-worker"}; !slices.Equal(jobs, want) {
		t.Errorf("jobs = %v, want %v", jobs, want)
	}
	if !slices.Contains(config.Files, "rules.yml") {
		t.Errorf("rule_files = %v, without rules.yml", config.Files)
	}
}
