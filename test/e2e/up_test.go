package e2e_test

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"dialtone/test/system"
)

// single is `dialtone up`, seen as a system.
type single struct {
	*system.System
	process *system.Process
}

// up runs `dialtone up` on the data directory and waits until it is ready.
func up(t *testing.T, data string, env []string, args ...string) single {
	t.Helper()
	began := time.Now()
	p := system.Launch(t, env, "dialtone", append([]string{"up", "--data", data, "--listen", "127.0.0.1:0"}, args...)...)
	var url string
	ready := regexp.MustCompile(`ready on (http://\S+);`)
	system.Eventually(t, system.WaitForServers, "it is ready", func() bool {
		if ended, err := p.Exited(); ended {
			t.Fatalf("up ended: %v\n%s", err, p.Output())
		}
		if found := ready.FindStringSubmatch(p.Output()); found != nil {
			url = found[1]
		}
		return url != ""
	})
	t.Logf("ready after %s", time.Since(began))
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	return single{System: &system.System{T: t, API: p, URL: url, Client: client}, process: p}
}

// own makes it answer to the project and the token of the other tests.
func own(more ...string) []string {
	return append([]string{"--project", system.Project, "--token", system.Token}, more...)
}

// TestUpPrintsWhatWorks runs the commands that it prints, to the letter.
func TestUpPrintsWhatWorks(t *testing.T) {
	t.Parallel()
	system.Program(t, "curl")
	u := up(t, filepath.Join(t.TempDir(), "data"), nil)
	if !strings.Contains(u.process.Output(), "local and private addresses may be tested") {
		t.Errorf("it does not say what may be tested: %s", u.process.Output())
	}
	var commands []string
	for part := range strings.SplitSeq(u.process.Output(), "\n\n") {
		if strings.HasPrefix(part, "curl ") {
			commands = append(commands, part)
		}
	}
	if len(commands) != 2 {
		t.Fatalf("%d commands are printed: %s", len(commands), u.process.Output())
	}
	home := t.TempDir()
	// The status goes on a line after the body, without touching the command.
	if err := os.WriteFile(filepath.Join(home, ".curlrc"), []byte(`write-out = "\n%{http_code}"`), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"201", "200"} {
		sh := exec.CommandContext(t.Context(), "sh", "-c", commands[i])
		sh.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home}
		out, err := sh.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", commands[i], err, out)
		}
		cut := strings.LastIndexByte(string(out), '\n')
		if cut < 0 {
			t.Fatalf("%s\nanswered with %s", commands[i], out)
		}
		body, status := string(out[:cut]), string(out[cut+1:])
		if status != want {
			t.Errorf("%s\nanswered with %s %s, want %s", commands[i], status, body, want)
		}
		if i == 0 {
			continue
		}
		var r system.Results
		if err := json.Unmarshal([]byte(body), &r); err != nil || r.Count != 1 || len(r.Results) != 1 || r.Results[0].Success == nil {
			t.Errorf("answered with %s (%v), want one result", body, err)
		}
	}
}

// TestUpGoesOn: killed in mid-probe, it works the batch off after its restart,
// and nobody else can use its data meanwhile.
func TestUpGoesOn(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	env := []string{"DIALTONE_PROBE_TIMEOUT=2s", "DIALTONE_CONNECT_TIMEOUT=1s", "DIALTONE_LEASE_SLACK=500ms"}
	u := up(t, data, env, own("--any-job")...)
	gate := system.NewGate(t, system.Need(t, "DIALTONE_TEST_MARIADB_ADDR"))
	gate.HoldGreetings(2)
	entry := system.MariaDB(t, "dt_native").At(t, gate.Addr)
	id := later(u.System, entry, entry.Elsewhere(t).With(system.Entry{"id": "b"}), system.MariaDB(t, "dt_native").With(system.Entry{"id": "c"}))
	system.Eventually(t, system.WaitForServers, "two of three probes hang", func() bool { return gate.Waiting() == 2 && detail(u.System, id).Open == 2 })

	second := system.Launch(t, nil, "dialtone", "up", "--data", data, "--listen", "127.0.0.1:0")
	system.Eventually(t, system.WaitForServers, "a second process is refused", func() bool { ended, _ := second.Exited(); return ended })
	if _, err := second.Exited(); err == nil || !strings.Contains(second.Output(), "in use by another dialtone") {
		t.Errorf("the second process ended with %v: %s", err, second.Output())
	}

	u.process.Kill()
	gate.Release()
	u = up(t, data, env, own("--any-job")...)
	for i, test := range done(u.System, 20*time.Second, id).tests() {
		if test.Report.Code != "ok" {
			t.Errorf("entry %d: %+v", i, test.Report)
		}
	}
	if n := gate.Logins(); n != 2 {
		t.Errorf("%d logins for two tests", n)
	}
}

// TestUpAccess: registered jobs only unless told otherwise; a token that is
// kept; a signature.
func TestUpAccess(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	u := up(t, data, []string{"DIALTONE_ACCESS_KEY=" + system.AccessKey + ":" + system.SecretKey}, own()...)
	good := system.MariaDB(t, "dt_native")
	if r, _ := u.Test(good); r.Results[0].ErrorCode != "DRS.M05003" {
		t.Errorf("an unknown job: %+v", r.Results[0])
	}
	u.Mirror(system.JobID, "CONFIGURATION", "standalone")
	if r, _ := u.Test(good); !r.Results[0].OK() {
		t.Errorf("a known job: %+v", r.Results[0])
	}

	body, err := json.Marshal(map[string]any{"jobs": []any{good}})
	if err != nil {
		t.Fatal(err)
	}
	for key, status := range map[string]int{system.SecretKey: http.StatusOK, "wrong": http.StatusUnauthorized} {
		req, err := u.HTTP(t.Context(), system.Request{Method: http.MethodPost, Path: "/jobs/batch-connection", Body: body})
		if err != nil {
			t.Fatal(err)
		}
		sign(t, req, string(body), system.AccessKey, key)
		a, err := u.SendHTTP(t.Context(), req, false)
		if err != nil || a.Status != status {
			t.Errorf("signed: %d %s %v, want %d", a.Status, a.Body, err, status)
		}
	}
	if out := u.process.Output(); strings.Contains(out, system.Token) || strings.Contains(out, system.SecretKey) {
		t.Error("what was given as a secret is printed")
	}
	u.process.Stop(t)

	// Without --token the one that was made is kept.
	token := regexp.MustCompile(`X-Auth-Token: ([\w-]+)`)
	var printed []string
	for range 2 {
		u := up(t, data, nil, "--any-job", "--project", system.Project)
		found := token.FindStringSubmatch(u.process.Output())
		if found == nil {
			t.Fatalf("no token is printed: %s", u.process.Output())
		}
		printed = append(printed, found[1])
		a := u.MustSend(system.Request{
			Method: http.MethodPost, Path: "/jobs/batch-connection", Header: map[string]string{"X-Auth-Token": found[1]},
			Body: map[string]any{"jobs": []any{good.With(system.Entry{"id": "any-id-at-all"})}},
		})
		var r system.Results
		a.Decode(t, &r)
		if a.Status != http.StatusOK || !r.Results[0].OK() {
			t.Errorf("any job, printed token: %d %s", a.Status, a.Body)
		}
		u.process.Stop(t)
	}
	if printed[0] != printed[1] {
		t.Error("after a restart there is another token")
	}
}

// TestUpForOthers: where others can call, private addresses stay closed, and
// no packet goes there.
func TestUpForOthers(t *testing.T) {
	t.Parallel()
	u := up(t, filepath.Join(t.TempDir(), "data"), nil, own("--any-job", "--listen", "0.0.0.0:0")...)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(u.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	u.URL = "http://127.0.0.1:" + port
	if out := u.process.Output(); strings.Contains(out, "private addresses may be tested") || !strings.Contains(out, "Public addresses may be tested") {
		t.Errorf("it does not say what may be tested: %s", out)
	}
	pit := system.NewPit(t)
	local := system.MariaDB(t, "dt_native").At(t, pit.Addr)
	_, id := u.Test(local, local.With(system.Entry{"id": "b", "ip": "localhost"}), local.With(system.Entry{"id": "c", "ip": "10.0.0.1"}), local.With(system.Entry{"id": "d", "ip": "169.254.169.254"}))
	for i, test := range detail(u.System, id).tests() {
		if test.Report.Code != "target_not_allowed" || test.Report.Phase != "policy" {
			t.Errorf("entry %d: %s in %s", i, test.Report.Code, test.Report.Phase)
		}
	}
	if n := pit.Ever(); n != 0 {
		t.Errorf("%d connections to a closed address", n)
	}
}
