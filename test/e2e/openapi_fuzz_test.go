package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"dialtone/test/system"
)

// The fuzzer's choices are the same in every run; DIALTONE_FUZZ_SEED makes others,
// and DIALTONE_FUZZ_EXAMPLES more of them.
const (
	fuzzSeed     = 20261126
	fuzzExamples = 12
	fuzzTime     = 4 * time.Minute // for fuzzExamples
)

// number reads an environment variable.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	said := os.Getenv(name)
	if said == "" {
		return otherwise
	}
	n, err := strconv.Atoi(said)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s is no number from 1", name, said)
	}
	return n
}

// TestAnswersAreDocumented lets schemathesis, which others wrote, make requests from the
// contract, good and bad, and hold each answer against it: no 5xx, not even a documented
// one, and no status, content type, header or body that openapi.yaml does not have.
func TestAnswersAreDocumented(t *testing.T) {
	t.Parallel()
	program := system.Need(t, "DIALTONE_TEST_SCHEMATHESIS")
	s := system.Start(t, system.Options{Env: []string{
		"DIALTONE_JOBS=any", "DIALTONE_RATE_LIMIT=0", "DIALTONE_PROBE_TIMEOUT=1s", "DIALTONE_CONNECT_TIMEOUT=500ms",
	}})
	seed, examples := number(t, "DIALTONE_FUZZ_SEED", fuzzSeed), number(t, "DIALTONE_FUZZ_EXAMPLES", fuzzExamples)
	// Any other project would be refused at the door, and nothing behind it be reached.
	config := filepath.Join(t.TempDir(), "schemathesis.toml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "[parameters]\nproject_id = %q\n", system.Project), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), fuzzTime*time.Duration(max(1, examples/fuzzExamples)))
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--config-file", config, "run", s.URL+"/openapi.yaml",
		"--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance",
		"--phases", "examples,coverage,fuzzing,stateful", "--max-examples", strconv.Itoa(examples), "--seed", strconv.Itoa(seed),
		"--generation-database", "none", "--continue-on-failure", "--request-timeout", "30", "--no-color",
		"-H", "X-Auth-Token:"+system.Token)
	cmd.Dir = t.TempDir()
	began := time.Now()
	out, err := cmd.CombinedOutput()
	t.Logf("seed %d, %s\n%s", seed, time.Since(began).Round(time.Second), out)
	if err != nil {
		t.Errorf("schemathesis: %v", err)
	}
	// Behind the door as well: each call was carried out, in each way that it can be.
	const project, batch = "/v3/:project_id", "/v3/:project_id/batch-connections/:batch_id"
	for _, call := range []struct {
		method, route string
		status        int
	}{
		{"POST", project + "/jobs/batch-connection", 200},
		{"POST", project + "/jobs/batch-connection", 202},
		{"POST", project + "/jobs/cluster/batch-connection", 200},
		{"POST", project + "/jobs/cluster/batch-connection", 202},
		{"GET", project + "/batch-connections", 200},
		{"GET", batch, 200},
		{"GET", batch + "/events", 200},
		{"POST", batch + "/cancel", 200},
		{"POST", project + "/jobs/batch-creation", 202},
		{"POST", project + "/jobs/batch-status", 200},
		{"POST", project + "/jobs/batch-detail", 200},
		{"POST", project + "/jobs", 200},
		{"PUT", project + "/jobs/batch-modification", 200},
		{"DELETE", project + "/jobs/batch-jobs", 202},
		{"PUT", project + "/jobs/:job_id/state", 201},
	} {
		n := s.API.Metric(t, fmt.Sprintf(`dialtone_http_requests_total{method=%q,route=%q,status="%d"}`, call.method, call.route, call.status))
		t.Logf("%s %s: %d, %v times", call.method, call.route, call.status, n)
	}
}
