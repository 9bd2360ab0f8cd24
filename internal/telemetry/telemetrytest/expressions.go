package telemetrytest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
)

// Expression is one PromQL expression of deploy/.
type Expression struct {
	// Where is the rule or panel that it stands in.
	Where string
	// Record is the name that a recording rule gives to its result.
	Record string
	// Alert is the alert that it raises.
	Alert string
	// PromQL is the expression, with Grafana's variables replaced by what
	// Prometheus takes.
	PromQL string
}

// Expressions lists every expression of the rules and of the dashboard below
// the repository's root.
func Expressions(root string) ([]Expression, error) {
	rules, err := ruleExpressions(filepath.Join(root, "deploy", "prometheus", "rules.yml"))
	if err != nil {
		return nil, err
	}
	panels, err := panelExpressions(filepath.Join(root, "deploy", "grafana", "dialtone.json"))
	if err != nil {
		return nil, err
	}
	return append(rules, panels...), nil
}

func ruleExpressions(path string) ([]Expression, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		Groups []struct {
			Rules []struct{ Record, Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var list []Expression
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			list = append(list, Expression{Where: "rule " + r.Record + r.Alert, Record: r.Record, Alert: r.Alert, PromQL: r.Expr})
		}
	}
	return list, nil
}

func panelExpressions(path string) ([]Expression, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(raw, &dashboard); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	variables := strings.NewReplacer("$__rate_interval", "5m", "$__interval", "1m", "$__range", "1h", `"$engine"`, `".*"`)
	var list []Expression
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			list = append(list, Expression{Where: "panel " + p.Title, PromQL: variables.Replace(target.Expr)})
		}
	}
	return list, nil
}
