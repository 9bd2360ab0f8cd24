// Package matrix_test proves dialtone's verdicts on a labelled table: labels.csv
// says for every engine and condition which code, phase and owner is right, and
// the scenarios set the condition up on real servers, or where none can be had,
// on test servers that speak the real bytes.
package matrix_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/egress"
	"dialtone/internal/job"
	"dialtone/internal/probe"
	"dialtone/internal/probe/engines"
)

// scenario sets one condition up and describes the endpoint as a caller would.
type scenario func(t *testing.T) batch.Endpoint

// suite is what there is to one engine.
type suite struct {
	engine string
	// scenarios by condition, as labels.csv names it.
	scenarios map[string]scenario
}

// suites is the one visible list.
func suites() []suite {
	return []suite{
		{"mysql", mysqlScenarios()},
		{"taurus", taurusScenarios()},
		{"postgresql", postgresScenarios()},
		{"mongodb", mongodbScenarios()},
		{"kafka", kafkaScenarios()},
		{"gaussdbv5", gaussdbScenarios()},
		{"gaussdbv5ha", gaussdbHAScenarios()},
		{"oracle", oracleScenarios()},
		{"cassandra", cassandraScenarios()},
		{"sqlserver", sqlserverScenarios()},
		{"redis", redisScenarios()},
		{"rediscluster", redisClusterScenarios()},
	}
}

// project is on whose behalf the matrix tests.
const project = "matrix"

func newRunner(t *testing.T) *probe.Runner {
	t.Helper()
	policy, err := egress.New(egress.Config{Open: true, Local: true})
	if err != nil {
		t.Fatal(err)
	}
	runner, err := probe.NewRunner(policy, engines.All(engines.Config{Kerberos: kerberos(t)}), probe.RunnerConfig{
		Timeout: 5 * time.Second, Limits: egress.Limits{ConnectTimeout: time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	return runner
}

// TestMatrix runs every scenario and holds it to its label. Then it turns each
// label around, one at a time: judged by a wrong label, the same outcomes must
// fail.
func TestMatrix(t *testing.T) {
	t.Parallel()
	labels := readLabels(t)
	runner := newRunner(t)
	var mu sync.Mutex
	outcomes := map[row]outcome{}
	t.Run("scenarios", func(t *testing.T) {
		t.Parallel()
		for _, s := range suites() {
			for condition, set := range s.scenarios {
				t.Run(s.engine+"/"+condition, func(t *testing.T) {
					t.Parallel()
					got := try(t, runner, set(t))
					mu.Lock()
					defer mu.Unlock()
					outcomes[row{s.engine, condition}] = got
				})
			}
		}
	})
	t.Cleanup(func() {
		if err := report(labels, outcomes); err != nil {
			t.Error(err)
		}
		for _, fault := range judge(labels, outcomes) {
			t.Error(fault)
		}
		for at := range labels {
			for _, wrong := range inversions(labels[at].outcome) {
				turned := slices.Clone(labels)
				turned[at].outcome = wrong
				if len(judge(turned, outcomes)) == 0 {
					t.Errorf("%s: the label %+v is right and %+v passes too", labels[at].row, labels[at].outcome, wrong)
				}
			}
		}
	})
}

// try validates the endpoint as the api does, and tests it once.
func try(t *testing.T, runner *probe.Runner, e batch.Endpoint) outcome {
	t.Helper()
	e.NetType = "eip"
	if problems := e.Validate(job.Cluster); len(problems) > 0 {
		t.Fatalf("the endpoint is not valid: %+v", problems)
	}
	target := e.Target(project, probe.VerifyCA)
	r, err := runner.Run(t.Context(), target)
	if err != nil {
		t.Fatalf("Run() error = %v", err)
	}
	for range 2 { // as the service does, which waits a second or two between
		if !r.Retryable() || r.Code != probe.CodeServerNotReady {
			break
		}
		if r, err = runner.Run(t.Context(), target); err != nil {
			t.Fatalf("Run() error = %v", err)
		}
	}
	got := outcome{string(r.Code), string(r.Phase), string(r.Code.Verdict().Owner)}
	t.Logf("%+v, evidence %+v", got, r.Evidence)
	return got
}

// judge compares labels and outcomes and lists what does not fit.
func judge(labels []label, outcomes map[row]outcome) []string {
	var faults []string
	known := map[row]bool{}
	for _, l := range labels {
		known[l.row] = true
		switch got, ran := outcomes[l.row]; {
		case !ran:
			faults = append(faults, fmt.Sprintf("%s: it is in labels.csv but did not run", l.row))
		case got != l.outcome:
			faults = append(faults, fmt.Sprintf("%s: got %+v, want %+v", l.row, got, l.outcome))
		}
	}
	for r := range outcomes {
		if !known[r] {
			faults = append(faults, fmt.Sprintf("%s: it ran but is not in labels.csv: %+v", r, outcomes[r]))
		}
	}
	slices.Sort(faults)
	return faults
}

// inversions are labels that are wrong in one place each.
func inversions(right outcome) []outcome {
	code, phase, owner := right, right, right
	code.code, phase.phase, owner.owner = "ok", "tls", "dba"
	if right.code == "ok" {
		code.code = "auth_failed"
	}
	if right.phase == "tls" {
		phase.phase = "login"
	}
	if right.owner == "dba" {
		owner.owner = "caller"
	}
	return []outcome{code, phase, owner}
}

// report writes how often each expected code was answered with which, and the
// share that is right, to the file that DIALTONE_MATRIX_REPORT names or prints it.
func report(labels []label, outcomes map[row]outcome) error {
	var out strings.Builder
	table := map[[2]string]int{}
	right, all := map[string]int{}, map[string]int{}
	for _, l := range labels {
		got, ran := outcomes[l.row]
		if !ran {
			got.code = "(did not run)"
		}
		table[[2]string{l.code, got.code}]++
		all[l.engine]++
		if got == l.outcome {
			right[l.engine]++
		}
	}
	fmt.Fprintf(&out, "matrix: %d scenarios\n%-34s %-34s %s\n", len(labels), "expected", "got", "times")
	for _, cell := range slices.SortedFunc(maps.Keys(table), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		mark := ""
		if cell[0] != cell[1] {
			mark = "  <- wrong"
		}
		fmt.Fprintf(&out, "%-34s %-34s %5d%s\n", cell[0], cell[1], table[cell], mark)
	}
	for _, engine := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&out, "%-14s %3d of %3d right\n", engine, right[engine], all[engine])
	}
	if file := os.Getenv("DIALTONE_MATRIX_REPORT"); file != "" {
		return os.WriteFile(file, []byte(out.String()), 0o600)
	}
	_, err := os.Stdout.WriteString(out.String())
	return err
}
