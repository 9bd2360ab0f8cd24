package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// runningUp is `dialtone up` in a data directory of its own.
type runningUp struct {
	t      *testing.T
	data   string
	url    string
	stderr *transcript
	ended  chan int
}

func startUp(t *testing.T) *runningUp {
	t.Helper()
	u := &runningUp{t: t, data: t.TempDir(), stderr: &transcript{}, ended: make(chan int, 1)}
	ctx, stop := context.WithCancel(context.Background())
	var stdout transcript
	c := console{getenv: func(string) string { return "" }, stdin: strings.NewReader(""), stdout: &stdout, stderr: u.stderr}
	go func() {
		u.ended <- run(ctx, []string{"up", "--listen", "127.0.0.1:0", "--data", u.data, "--token", "the-token", "--any-job", "--log-level", "info"}, c)
	}()
	t.Cleanup(func() {
		stop()
		if code := <-u.ended; code != exitOK {
			t.Errorf("up ended with %d: %s", code, u.stderr.String())
		}
	})
	ready := regexp.MustCompile(`ready on (http://\S+);`)
	u.eventually("it is ready", func() bool {
		if m := ready.FindStringSubmatch(stdout.String()); m != nil {
			u.url = m[1]
		}
		return u.url != ""
	})
	return u
}

func (u *runningUp) eventually(what string, ok func() bool) {
	u.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			u.t.Fatalf("not within 20 s: %s\n%s", what, u.stderr.String())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// accept sends a batch that nobody waits for, whose test is due while it runs.
func (u *runningUp) accept() {
	u.t.Helper()
	body := fmt.Sprintf(`{"jobs":[{"id":"j","net_type":"eip","db_type":"mysql","ip":"127.0.0.1","db_port":1,"db_user":"u-%d","db_password":"p","end_point_type":"so"}]}`, time.Now().UnixNano())
	request, err := http.NewRequestWithContext(u.t.Context(), http.MethodPost, u.url+"/v3/0123456789abcdef0123456789abcdef/jobs/batch-connection", strings.NewReader(body))
	if err != nil {
		u.t.Fatal(err)
	}
	request.Header.Set("X-Auth-Token", "the-token")
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Prefer", "respond-async")
	request.Header.Set("Idempotency-Key", strconv.FormatInt(time.Now().UnixNano(), 10))
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		u.t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		u.t.Fatalf("status %d", answer.StatusCode)
	}
}

// TestKeysRotateUp: the keyset of `dialtone up` is rotated while it runs.
func TestKeysRotateUp(t *testing.T) {
	t.Parallel()
	u := startUp(t)
	first := strings.TrimSuffix(call(t, "", nil, "keys", "show", "--keyset-file", filepath.Join(u.data, "keyset.json")).want(t, exitOK).stdout, " primary\n")
	u.accept()
	status := call(t, "", nil, "keys", "status", "--data", u.data).want(t, exitOK).stdout
	if !strings.Contains(status, "key "+first+": primary in the file; has sealed ") || !regexp.MustCompile(`(?m)^up-.*: seals with `+first+`, opens with `+first+`$`).MatchString(status) {
		t.Errorf("status:\n%s", status)
	}
	refused := call(t, "", nil, "keys", "remove", "--data", u.data, first).want(t, exitFailed)
	if !strings.Contains(refused.stderr, "is the primary key") {
		t.Errorf("remove of the primary key: %s", refused.stderr)
	}
	rotated := call(t, "", nil, "keys", "rotate", "--remove", "--data", u.data).want(t, exitOK)
	for _, step := range []string{"is added", "every process has key", "is the primary key", "seals with key", "sealed again with key", "key " + first + " is removed", "is finished"} {
		if !strings.Contains(rotated.stderr, step) {
			t.Errorf("rotate does not say %q:\n%s", step, rotated.stderr)
		}
	}
	second := strings.TrimSuffix(call(t, "", nil, "keys", "show", "--keyset-file", filepath.Join(u.data, "keyset.json")).want(t, exitOK).stdout, " primary\n")
	if second == first || strings.Contains(second, "\n") {
		t.Errorf("the keyset has %q, want one new key", second)
	}
	status = call(t, "", nil, "keys", "status", "--data", u.data).want(t, exitOK).stdout
	if !strings.Contains(status, "key "+first+": not in the file, retired; has sealed nothing\n") || !strings.Contains(status, ": seals with "+second+", opens with "+second+"\n") {
		t.Errorf("status:\n%s", status)
	}
	u.accept()
	if n := strings.Count(u.stderr.String(), "keyset read again"); n != 3 {
		t.Errorf("the keyset was read again %d times, want 3: added, promoted, removed\n%s", n, u.stderr.String())
	}
}

// TestKeysOfAnotherStore: a keyset that is not the store's changes nothing.
func TestKeysOfAnotherStore(t *testing.T) {
	t.Parallel()
	u := startUp(t)
	path := filepath.Join(u.data, "keyset.json")
	right, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wrong := call(t, "", nil, "keys", "new").want(t, exitOK).stdout
	if err := os.WriteFile(path, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"rotate"}, {"reseal"}, {"status"}, {"promote", "1"}, {"remove", "1"}} {
		got := call(t, "", nil, append([]string{"keys", args[0], "--data", u.data}, args[1:]...)...).want(t, exitFailed)
		if !strings.Contains(got.stderr, "does not fit the store") {
			t.Errorf("keys %v: %s", args, got.stderr)
		}
	}
	u.eventually("up says that it does not take it", func() bool {
		return strings.Contains(u.stderr.String(), "keyset not read again; the old one stays in force")
	})
	u.accept()
	if err := os.WriteFile(path, right, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRemoveKnowsTheCallers: a key that the list of callers is sealed with stays.
func TestRemoveKnowsTheCallers(t *testing.T) {
	t.Parallel()
	path := freshKeyset(t)
	show := func() string {
		return call(t, "", nil, "keys", "show", "--keyset-file", path).want(t, exitOK).stdout
	}
	first := strings.TrimSuffix(show(), " primary\n")
	sealed := strings.TrimSpace(call(t, "the-secret\n", nil, "keys", "seal", "--keyset-file", path, "AK").want(t, exitOK).stdout)
	callers := filepath.Join(t.TempDir(), "auth.yaml")
	text := "access_keys:\n  - {ak: AK, secret_sealed: " + sealed + ", projects: [\"*\"], roles: [drs_adm]}\n"
	if err := os.WriteFile(callers, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	second := strings.TrimSpace(call(t, "", nil, "keys", "add", "--keyset-file", path).want(t, exitOK).stdout)
	call(t, "", nil, "keys", "promote", "--offline", "--keyset-file", path, second).want(t, exitOK)
	got := call(t, "", nil, "keys", "remove", "--offline", "--keyset-file", path, "--auth-file", callers, first).want(t, exitFailed)
	if !strings.Contains(got.stderr, "the list of callers has secrets") || show() != second+" primary\n"+first+"\n" {
		t.Errorf("%s; the keyset has %s", got.stderr, show())
	}
	if err := os.Remove(callers); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	call(t, "", nil, "keys", "remove", "--offline", "--keyset-file", path, first).want(t, exitOK)
	if show() != second+" primary\n" {
		t.Errorf("the keyset has %s", show())
	}
}
