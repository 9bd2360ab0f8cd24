package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dialtone/internal/probe/probetest"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	good, closed := "postgresql://app:hunter2@"+trusting(t)+"/shop", "postgresql://app:hunter2@"+closedPort(t)+"/shop"
	cases := []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"all passed", []string{"test", good, good}, exitOK, []string{"✓ 1  postgresql app@127.0.0.1", "✓ 2", "2 passed in"}},
		{"some failed", []string{"test", good, closed}, exitFailed, []string{"✓ 1", "✗ 2", "connection_refused", "1 passed, 1 failed in"}},
		{"in Chinese", []string{"test", closed, "--language", "zh-cn"}, exitFailed, []string{"通过 0 个，失败 1 个", "主机"}},
		{"nothing to test", []string{"test"}, exitUsage, nil},
		{"nothing at all", nil, exitUsage, nil},
		{"unknown command", []string{"hunter2"}, exitUsage, nil},
		{"unknown flag", []string{"test", "--hunter3", good}, exitUsage, nil},
		{"no duration", []string{"test", "--timeout", "hunter2", good}, exitUsage, nil},
		{"no time", []string{"test", "--timeout", "0s", good}, exitUsage, nil},
		{"nothing in parallel", []string{"test", "--parallel", "0", good}, exitUsage, nil},
		{"no such language", []string{"test", "--language", "hunter2", good}, exitUsage, nil},
		{"one of two is wrong", []string{"test", good, "mysql://hunter2"}, exitUsage, nil},
		{"no such file", []string{"test", "root:hunter2@db"}, exitUsage, nil},
		{"JUnit into nowhere", []string{"test", "--junit", "/nowhere/at/all.xml", good}, exitUsage, nil},
		{"help", []string{"test", "--help"}, exitOK, []string{"password_file=FILE", "DIALTONE_TOKEN_FILE"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := call(t, "", nil, c.args...).want(t, c.code).hides(t, "hunter2")
			for _, want := range c.want {
				if !strings.Contains(got.stdout, want) {
					t.Errorf("stdout lacks %q:\n%s", want, got.stdout)
				}
			}
			if c.code == exitUsage && (got.stdout != "" || !strings.HasPrefix(got.stderr, "dialtone: ")) {
				t.Errorf("stdout = %q, stderr = %q, want a complaint only", got.stdout, got.stderr)
			}
			if c.code != exitUsage && got.stderr != "" {
				t.Errorf("stderr = %q, want nothing: it is no terminal", got.stderr)
			}
		})
	}
}

func TestRequestFiles(t *testing.T) {
	t.Parallel()
	host, port, err := net.SplitHostPort(trusting(t))
	if err != nil {
		t.Fatal(err)
	}
	asJSON := `{"jobs":[{"net_type":"eip","db_type":"postgresql","ip":"` + host + `","db_port":` + port + `,"db_user":"app","db_password":"hunter2","db_name":"shop"}]}`
	asYAML := "jobs:\n  # a comment\n  - &one {net_type: eip, db_type: postgresql, ip: " + host + ", db_port: " + port + ", db_user: app, db_password: hunter2}\n  - <<: *one\n    db_name: \"1\"\n"
	cluster := `{"jobs":[{"action":"testConnection","job_id":"x","property":[{"dbtype":"hwpostgresql","nettype":"eip","ip":"` + host + `","dbport":` + port + `,"dbuser":"app","dbpassword":"hunter2","ssllink":false}]}]}`
	cases := []struct {
		name, file, text string
		code             int
		want             string
	}{
		{"JSON", "a.json", asJSON, exitOK, "postgresql app@" + host + ":" + port + "/shop"},
		{"YAML", "a.yaml", asYAML, exitOK, "2 passed"},
		{"JSON without a telling name", "request", asJSON, exitOK, "1 passed"},
		{"YAML without a telling name", "request", asYAML, exitOK, "2 passed"},
		{"byte order mark", "a.json", "\xef\xbb\xbf" + asJSON, exitOK, "1 passed"},
		{"cluster call", "a.json", cluster, exitOK, "hwpostgresql app@" + host + ":" + port},
		{"empty", "a.json", " \n", exitUsage, "it is empty"},
		{"broken JSON", "a.json", `{"jobs": hunter2`, exitUsage, "it is not one JSON document, see byte 10"},
		{"broken YAML", "a.yaml", "jobs: [hunter2\n  - }", exitUsage, "it is not valid YAML"},
		{"two YAML documents", "a.yaml", asYAML + "---\n" + asYAML, exitUsage, "more than one YAML document"},
		{"a key twice in YAML", "a.yaml", "jobs: []\njobs: [hunter2]\n", exitUsage, "it is not valid YAML, at line 2"},
		{"a number for a password", "a.yaml", "jobs: [{net_type: eip, db_type: mysql, ip: db, db_port: 1, db_user: a, db_password: 123456}]", exitUsage, "jobs[0].db_password: it must be a string"},
		{"rules of the API", "a.json", `{"jobs":[{"net_type":"eip","db_type":"mysql","ip":"db","db_port":1,"db_user":"hunter2","ssl_link":true}]}`, exitUsage, "jobs[0].ssl_cert_check_sum: it is mandatory"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), c.file)
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got := call(t, "", nil, "test", path).want(t, c.code).hides(t, "hunter2", "123456")
			if all := got.stdout + got.stderr; !strings.Contains(all, c.want) {
				t.Errorf("the output lacks %q:\n%s", c.want, all)
			}
			again := call(t, c.text, nil, "test", "-").want(t, c.code).hides(t, "hunter2", "123456")
			if c.code == exitUsage && !strings.Contains(again.stderr, "dialtone: standard input: ") {
				t.Errorf("stderr = %q, want it to name standard input", again.stderr)
			}
		})
	}
}

func TestMixedArgumentsAndReports(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	junit := filepath.Join(dir, "report.xml")
	host, port, err := net.SplitHostPort(closedPort(t))
	if err != nil {
		t.Fatal(err)
	}
	request := fmt.Sprintf(`{"jobs":[{"id":"my-job","net_type":"eip","db_type":"mysql","ip":%q,"db_port":%s,"db_user":"root","db_password":"hunter2"}]}`, host, port)
	got := call(t, request, nil, "test", "-", "postgres://app:hunter2@"+trusting(t), "--json", "--junit", junit).want(t, exitFailed).hides(t, "hunter2")
	var answer summaryJSON
	if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil {
		t.Fatalf("%v in %s", err, got.stdout)
	}
	if answer.Count != 2 || answer.Passed != 1 || answer.Failed != 1 || answer.Results[0].JobID != "my-job" ||
		answer.Results[0].Code != "connection_refused" || answer.Results[0].Owner != "dba" || !answer.Results[1].OK || answer.Results[1].Attempts != 1 {
		t.Errorf("the answer is %s", got.stdout)
	}
	raw, err := os.ReadFile(junit)
	if err != nil {
		t.Fatal(err)
	}
	var suites junitSuites
	if err := xml.Unmarshal(raw, &suites); err != nil || len(suites.Suites) != 1 || suites.Suites[0].Tests != 2 || suites.Suites[0].Failures != 1 {
		t.Errorf("the report is %s, %v", raw, err)
	}
	if bytes.Contains(raw, []byte("hunter2")) {
		t.Error("the report holds the password")
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	addr, _ := silent(t)
	began := time.Now()
	got := call(t, "", nil, "test", "--timeout", "300ms", "postgres://app:hunter2@"+addr).want(t, exitFailed)
	if took := time.Since(began); took > 5*time.Second || !strings.Contains(got.stdout, "timeout_no_reply") {
		t.Errorf("it took %s to say\n%s", took, got.stdout)
	}
}

func TestInterrupt(t *testing.T) {
	t.Parallel()
	quiet, reached := silent(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	go func() {
		<-reached
		interrupt()
	}()
	var stdout, stderr bytes.Buffer
	c := console{getenv: func(string) string { return "" }, stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr}
	began := time.Now()
	code := run(ctx, []string{"test", "--parallel", "1", "postgres://a:b@" + closedPort(t), "postgres://a:b@" + quiet, "postgres://c:d@" + quiet, "--json"}, c)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it ended after %s", took)
	}
	var answer summaryJSON
	if err := json.Unmarshal(stdout.Bytes(), &answer); err != nil {
		t.Fatalf("%v in %s%s", err, &stdout, &stderr)
	}
	if code != exitFailed || !answer.Interrupted || answer.Failed != 1 || answer.NotTested != 2 || answer.Results[0].Code != "connection_refused" {
		t.Errorf("code %d, %s", code, &stdout)
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	addr, _ := silent(t)
	var stdout, stderr bytes.Buffer
	c := console{
		getenv: func(string) string { return "" }, stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, terminal: true, columns: 60,
	}
	run(t.Context(), []string{"test", "--timeout", "500ms", "postgres://app:hunter2@" + addr, "postgres://app:hunter2@" + closedPort(t)}, c)
	frames := strings.Split(stderr.String(), "\r\x1b[K")
	if len(frames) < 3 || frames[0] != "" || frames[len(frames)-1] != "" {
		t.Fatalf("the progress is %q, want lines that replace each other and are gone in the end", stderr.String())
	}
	for _, frame := range frames {
		if textWidth(frame) >= 60 || strings.ContainsAny(frame, "\n") || strings.Contains(frame, "hunter2") {
			t.Errorf("frame %q is too long or tells too much", frame)
		}
	}
	if !slices.ContainsFunc(frames, func(frame string) bool {
		return strings.Contains(frame, "1 of 2 tested, 1 failed, ") && strings.Contains(frame, " s: postgresql app@127")
	}) {
		t.Errorf("no frame says what is known and what is still being tested: %q", frames)
	}
	if !strings.Contains(stdout.String(), "\x1b[31m") {
		t.Error("there is no colour on a terminal")
	}
}

func TestNoColor(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"NO_COLOR", "TERM"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout bytes.Buffer
			getenv := func(asked string) string { return map[string]string{name: "dumb"}[asked] }
			c := console{getenv: getenv, stdin: strings.NewReader(""), stdout: &stdout, stderr: &bytes.Buffer{}, columns: 80}
			if code := run(t.Context(), []string{"test", "postgres://a:b@" + closedPort(t)}, c); code != exitFailed {
				t.Fatalf("exit code %d", code)
			}
			if strings.Contains(stdout.String(), "\x1b") {
				t.Errorf("there is colour in %q", stdout.String())
			}
		})
	}
}

func TestRealServers(t *testing.T) {
	t.Parallel()
	mariadb, postgres, password := probetest.Need(t, "MARIADB_ADDR"), probetest.Need(t, "POSTGRES_ADDR"), probetest.Need(t, "PASSWORD")
	pki := probetest.Need(t, "PKI")
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct{ name, url, want string }{
		{"MariaDB", "mysql://dt_native:" + password + "@" + mariadb + "/dt_login", "ok"},
		{"MariaDB over TLS", "mariadb://dt_ssl@" + mariadb + "/dt_login?tls=full&ca=" + pki + "/ca.pem&password_file=" + file, "ok"},
		{"MariaDB, wrong password", "mysql://dt_native:hunter2@" + mariadb, "auth_failed"},
		{"MariaDB, locked", "mysql://dt_locked:" + password + "@" + mariadb, "account_locked"},
		{"PostgreSQL", "postgresql://dt_scram:" + password + "@" + postgres + "/dt_login", "ok"},
		{"PostgreSQL over TLS", "postgres://dt_tls@" + postgres + "/dt_login?tls=ca&ca=" + pki + "/ca.pem&password_file=" + file, "ok"},
		{"PostgreSQL, other authority", "postgres://dt_tls@" + postgres + "/dt_login?ca=" + pki + "/rogue-ca.pem&password_file=" + file, "tls_cert_untrusted"},
		{"PostgreSQL, encrypted only", "postgres://dt_tls@" + postgres + "/dt_login?tls=none&password_file=" + file, "ok"},
		{"PostgreSQL, unknown database", "postgres://dt_scram:" + password + "@" + postgres + "/nowhere", "database_unknown"},
		{"PostgreSQL, empty password", "postgres://dt_trust@" + postgres + "/dt_login", "ok"},
		{"the wrong engine", "postgres://dt_native:" + password + "@" + mariadb, "protocol_mismatch"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			code := exitFailed
			if c.want == "ok" {
				code = exitOK
			}
			got := call(t, "", nil, "test", "--json", c.url).want(t, code).hides(t, password, "hunter2")
			var answer summaryJSON
			if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil {
				t.Fatal(err)
			}
			if answer.Count != 1 || string(answer.Results[0].Code) != c.want {
				t.Errorf("the verdict is %s, want %s\n%s", answer.Results[0].Code, c.want, got.stdout)
			}
		})
	}
}
