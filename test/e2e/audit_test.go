package e2e_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dialtone/test/system"
)

// auditLine is what the test looks at of a line.
type auditLine struct {
	Process, Audit, Client, Project, Caller, Batch, Test, Verdict, Operation, Outcome, Reason, User string

	AskedProject string `json:"asked_project"`
	AskedBatch   string `json:"asked_batch"`
	Status       int
}

// auditLog reads a file of audit lines.
func auditLog(t *testing.T, path string) (lines []auditLine) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	for text := range strings.Lines(string(raw)) {
		var line auditLine
		if err := json.Unmarshal([]byte(text), &line); err != nil || line.Audit == "" {
			t.Fatalf("no audit line: %s", text)
		}
		lines = append(lines, line)
	}
	return lines
}

// some are the lines that fit.
func some(lines []auditLine, fits func(auditLine) bool) (found []auditLine) {
	for _, l := range lines {
		if fits(l) {
			found = append(found, l)
		}
	}
	return found
}

// TestAuditLog: who asked for what from where, and what became of it, whoever
// waited for it; who was refused; who changed keys. One file for all processes.
func TestAuditLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	s := system.Prepare(t, system.Options{Env: append(short(),
		"DIALTONE_TASK_SLACK=1s", "DIALTONE_WAIT=4s", "DIALTONE_AUDIT_FILE="+path)})
	s.StartAPI()
	good := system.Postgres(t, "dt_scram")
	// Nobody tests it: the api ends it at the end of the wait.
	_, overdue := s.Test(good.With(system.Entry{"db_user": "nobody"}))
	worker := s.StartWorker()
	_, waited := s.Test(good)
	alone := later(s, good.With(system.Entry{"id": "job-2"}), good.With(system.Entry{"id": "job-3", "db_password": "audited-secret"}))
	tarpit := later(s, good.At(t, system.Tarpit(t)))
	done(s, 30*time.Second, alone)
	s.Must(http.MethodPost, "/batch-connections/"+tarpit+"/cancel", nil)

	verdicts := map[string][]string{
		overdue: {"deadline_exceeded"}, waited: {"ok"}, alone: {"ok", "auth_failed"}, tarpit: {"cancelled"},
	}
	total := 0
	for id, codes := range verdicts {
		total += len(codes)
		system.Eventually(t, 30*time.Second, "the verdicts of "+strings.Join(codes, ", "), func() bool {
			found := some(auditLog(t, path), func(l auditLine) bool { return l.Audit == "verdict" && l.Batch == id })
			for i, code := range codes {
				if len(found) != len(codes) || found[i].Verdict != code || found[i].Caller != "e2e" || found[i].Project != system.Project || found[i].Process == "" {
					return false
				}
			}
			return true
		})
	}
	lines := auditLog(t, path)
	if n := len(some(lines, func(l auditLine) bool { return l.Audit == "verdict" })); n != total {
		t.Errorf("%d verdicts, want %d, one for each test", n, total)
	}
	asked := some(lines, func(l auditLine) bool { return l.Audit == "request" && l.Client == "127.0.0.1" && l.Caller == "e2e" })
	if len(asked) != total {
		t.Errorf("%d tests requested, want %d", len(asked), total)
	}
	if found := some(lines, func(l auditLine) bool { return l.Audit == "cancel" && l.Batch == tarpit && l.Client == "127.0.0.1" }); len(found) != 1 {
		t.Errorf("%d cancels", len(found))
	}

	// Refused: a stranger, and somebody who reads what belongs to others.
	s.MustSend(system.Request{Method: http.MethodGet, Path: "/batch-connections", Header: map[string]string{"X-Auth-Token": "audited-secret"}})
	s.MustSend(system.Request{Method: http.MethodGet, Path: "/batch-connections", Header: map[string]string{"X-Auth-Token": system.OtherToken}})
	s.MustSend(system.Request{Method: http.MethodGet, Project: system.OtherProject, Path: "/batch-connections/" + waited, Header: map[string]string{"X-Auth-Token": system.OtherToken}})
	lines = auditLog(t, path)
	for what, fits := range map[string]func(auditLine) bool{
		"a bad token": func(l auditLine) bool {
			return l.Status == 401 && l.Reason == "bad_token" && l.Caller == "" && l.AskedProject == system.Project
		},
		"a token of another project": func(l auditLine) bool {
			return l.Status == 403 && l.Reason == "project_mismatch" && l.AskedProject == system.Project
		},
		"a batch of another project": func(l auditLine) bool {
			return l.Status == 404 && l.Caller == "other" && l.AskedBatch == waited && l.AskedProject == system.OtherProject
		},
	} {
		if found := some(lines, func(l auditLine) bool { return l.Audit == "refused" && l.Client == "127.0.0.1" && fits(l) }); len(found) != 1 {
			t.Errorf("%s: %d lines in %+v", what, len(found), lines)
		}
	}

	// Keys: by the command line, and as processes take them.
	added := strings.TrimSpace(system.Run(t, s.Env(), "dialtone", "keys", "add"))
	dialtone(s, 1, "keys", "remove", added[:1])
	system.Eventually(t, 30*time.Second, "both processes have taken the keyset", func() bool {
		return len(some(auditLog(t, path), func(l auditLine) bool { return l.Audit == "keys" && l.Operation == "reload" && l.Outcome == "done" })) == 2
	})
	byUser := some(auditLog(t, path), func(l auditLine) bool { return l.Audit == "keys" && l.User != "" })
	if len(byUser) != 2 || byUser[0].Operation != "add" || byUser[0].Outcome != "done" || byUser[1].Operation != "remove" || byUser[1].Outcome == "done" {
		t.Errorf("keys: %+v", byUser)
	}

	// Rotated away by somebody else.
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	s.API.Signal(syscall.SIGHUP)
	worker.Signal(syscall.SIGHUP)
	system.Eventually(t, 30*time.Second, "a new file is begun by both", func() bool {
		_, id := s.Test(good.With(system.Entry{"id": "job-4"}))
		found := some(auditLog(t, path), func(l auditLine) bool { return l.Batch == id })
		return len(found) == 2
	})
	for _, file := range []string{path, path + ".1"} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"audited-secret", system.Token, system.OtherToken, os.Getenv("DIALTONE_TEST_PASSWORD")} {
			if secret != "" && strings.Contains(string(raw), secret) {
				t.Errorf("%s holds a secret", file)
			}
		}
	}
	for _, p := range []*system.Process{s.API, worker} {
		if strings.Contains(p.Output(), `"audit"`) {
			t.Errorf("%s writes audit lines into its log as well", p.Name)
		}
	}
}
