package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dialtone/internal/telemetry/telemetrytest"
	"dialtone/test/system"
)

// prometheus is a real one with the rules of deploy/.
type prometheus struct {
	t   *testing.T
	url string
}

// watch starts a Prometheus that scrapes the system's processes each second.
func watch(t *testing.T, s *system.System) prometheus {
	t.Helper()
	binary := system.Program(t, "prometheus")
	dir := t.TempDir()
	var workers []string
	for _, w := range s.Workers {
		workers = append(workers, w.Admin)
	}
	rules, err := filepath.Abs(filepath.Join(system.Root(), "deploy", "prometheus", "rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "prometheus.yml")
	content := fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - {job_name: dialtone-api, static_configs: [{targets: [%q]}]}
  - {job_name: dialtone-worker, static_configs: [{targets: ["%s"]}]}
`, rules, s.API.Admin, strings.Join(workers, `", "`))
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	p := prometheus{t: t}
	// It cannot say which port it took, so one is chosen for it; somebody else
	// may be quicker.
	for try := 0; p.url == ""; try++ {
		addr := system.FreeAddr(t)
		process := system.LaunchAt(t, binary, nil, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
			"--web.listen-address="+addr, "--log.level=warn")
		process.Admin = addr
		system.Eventually(t, 30*time.Second, "Prometheus is ready", func() bool {
			if ended, err := process.Exited(); ended {
				if try < 3 {
					return true
				}
				t.Fatalf("prometheus ended: %v\n%s", err, process.Output())
			}
			resp, err := http.Get("http://" + addr + "/-/ready")
			if err != nil {
				return false
			}
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				p.url = "http://" + addr
			}
			return p.url != ""
		})
	}
	return p
}

// get reads the data of an answer of its API; an error is what it complains of.
func (p prometheus) get(path string, query url.Values, into any) error {
	p.t.Helper()
	resp, err := http.Get(p.url + path + "?" + query.Encode())
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
		Warnings      []string
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		p.t.Fatal(err)
	}
	if answer.Status != "success" || len(answer.Warnings) > 0 {
		return fmt.Errorf("%s %s %q", answer.Status, answer.Error, answer.Warnings)
	}
	return json.Unmarshal(answer.Data, into)
}

// traffic makes every kind of thing happen that is counted.
func traffic(t *testing.T, s *system.System) {
	t.Helper()
	good := system.MariaDB(t, "dt_native")
	_, id := s.Test(
		good, good.With(system.Entry{"id": "b", "db_password": "wrong"}), system.Postgres(t, "dt_scram").With(system.Entry{"id": "c"}),
		good.With(system.Entry{"id": "d"}).TLS(t, "ca.pem"), good.With(system.Entry{"id": "e", "ip": "10.255.255.1"}),
		good.With(system.Entry{"id": "f", "db_type": "oracle"}),
	)
	follow(s, id, "", 100)
	a := s.Must(http.MethodPost, "/jobs/cluster/batch-connection", map[string]any{"jobs": []any{action(t, "g", []any{object(good)})}})
	if a.Status != http.StatusOK {
		t.Fatalf("cluster: %d %s", a.Status, a.Body)
	}
	pending := later(s, good.With(system.Entry{"id": "h"}).At(t, system.Tarpit(t)))
	s.Must(http.MethodPost, "/batch-connections/"+pending+"/cancel", nil)
	s.MustSend(system.Request{Method: http.MethodGet, Path: "/batch-connections", Header: map[string]string{"X-Auth-Token": "wrong"}})
}

var (
	metricName = regexp.MustCompile(`\b(?:dialtone[:_][a-zA-Z0-9_:]+|(?:go|process)_[a-z_]+|up)\b`)
	quoted     = regexp.MustCompile(`"[^"]*"`)
)

// TestMetrics has a real Prometheus scrape real processes, and evaluates what
// the rules and the dashboard ask of it.
func TestMetrics(t *testing.T) {
	t.Parallel()
	expressions, err := telemetrytest.Expressions(system.Root())
	if err != nil {
		t.Fatal(err)
	}
	if len(expressions) < 50 {
		t.Fatalf("%d expressions, which cannot be all", len(expressions))
	}
	s := system.Start(t, system.Options{Workers: 2, Env: short()})
	traffic(t, s)
	p := watch(t, s)

	wanted := map[string]string{} // name: an expression's place
	for _, e := range expressions {
		for _, name := range metricName.FindAllString(quoted.ReplaceAllString(e.PromQL, `""`), -1) {
			wanted[name] = e.Where
		}
	}
	// Rates need traffic between two scrapes, and rules what they are made of.
	deadline := time.Now().Add(40 * time.Second)
	for missing := wanted; len(missing) > 0; {
		if time.Now().After(deadline) {
			for name, where := range missing {
				t.Errorf("%s: %s was never scraped or recorded", where, name)
			}
			break
		}
		traffic(t, s)
		var names []string
		if err := p.get("/api/v1/label/__name__/values", nil, &names); err != nil {
			t.Fatal(err)
		}
		missing = maps.Clone(wanted)
		maps.DeleteFunc(missing, func(name, _ string) bool { return slices.Contains(names, name) })
	}
	for _, e := range expressions {
		var answer struct {
			ResultType string          `json:"resultType"`
			Result     json.RawMessage `json:"result"`
		}
		if err := p.get("/api/v1/query", url.Values{"query": {e.PromQL}}, &answer); err != nil {
			t.Errorf("%s: %v", e.Where, err)
		}
	}

	var loaded struct {
		Groups []struct {
			Name  string
			Rules []struct{ Name, Health, LastError string }
		}
	}
	if err := p.get("/api/v1/rules", nil, &loaded); err != nil {
		t.Fatal(err)
	}
	rules := 0
	for _, g := range loaded.Groups {
		for _, r := range g.Rules {
			rules++
			if r.Health != "ok" || r.LastError != "" {
				t.Errorf("rule %s is %s: %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	if rules < 10 {
		t.Errorf("%d rules are loaded", rules)
	}
	// What all is measured for: the numbers agree with what was done.
	var up struct {
		Result []struct{ Value [2]any } `json:"result"`
	}
	if err := p.get("/api/v1/query", url.Values{"query": {`sum(up{job=~"dialtone-.*"})`}}, &up); err != nil {
		t.Fatal(err)
	}
	if len(up.Result) != 1 || up.Result[0].Value[1] != "3" {
		t.Errorf("processes that are up: %v, want 3", up.Result)
	}
}
