package telemetry_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/secret"
	"dialtone/internal/telemetry"
	"dialtone/internal/telemetry/telemetrytest"
)

// admin starts a server; stop ends it and gives Run's error.
func admin(t *testing.T, log io.Writer, cfg telemetry.AdminConfig) (a *telemetry.Admin, stop func() error) {
	t.Helper()
	cfg.Listen = "127.0.0.1:0"
	a, err := telemetry.NewAdmin(t.Context(), slog.New(slog.NewTextHandler(log, nil)), telemetrytest.Metrics().Gatherer(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	stop = func() error {
		cancel()
		return <-ended
	}
	t.Cleanup(cancel)
	return a, stop
}

func get(t *testing.T, a *telemetry.Admin, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + a.Addr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	a, stop := admin(t, io.Discard, telemetry.AdminConfig{})
	if status, body := get(t, a, "/metrics"); status != http.StatusOK || !strings.Contains(body, "dialtone_queue_up 1\n") {
		t.Errorf("/metrics = %d\n%.300s", status, body)
	}
	if status, body := get(t, a, "/healthz"); status != http.StatusOK || body != "{\"alive\":true}\n" {
		t.Errorf("/healthz = %d %q", status, body)
	}
	for _, path := range []string{"/", "/debug/pprof/", "/debug/pprof/heap", "/config"} {
		if status, _ := get(t, a, path); status != http.StatusNotFound {
			t.Errorf("%s = %d, want 404", path, status)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
	if resp, err := http.Get("http://" + a.Addr().String() + "/healthz"); err == nil {
		_ = resp.Body.Close()
		t.Error("the admin server still answers")
	}
}

// TestAdminToken: only the probes answer those who have no token.
func TestAdminToken(t *testing.T) {
	t.Parallel()
	const token = "a-token-for-the-admin"
	a, _ := admin(t, io.Discard, telemetry.AdminConfig{Token: secret.New(token), Pprof: true})
	ask := func(path, authorization string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+a.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(body), token) {
			t.Errorf("%s shows the token", path)
		}
		return answer.StatusCode, answer.Header.Get("Www-Authenticate")
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, _ := ask(path, ""); status != http.StatusOK {
			t.Errorf("%s = %d", path, status)
		}
	}
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile?seconds=1", "/nowhere"} {
		for _, wrong := range []string{"", "Bearer", "Bearer ", "Bearer wrong", "Basic " + token, token, "Bearer " + token + "x"} {
			if status, challenge := ask(path, wrong); status != http.StatusUnauthorized || challenge != "Bearer" {
				t.Errorf("%s with %q = %d, %q", path, wrong, status, challenge)
			}
		}
	}
	for path, want := range map[string]int{"/metrics": http.StatusOK, "/debug/pprof/heap": http.StatusOK, "/nowhere": http.StatusNotFound} {
		for _, right := range []string{"Bearer " + token, "bearer " + token} {
			if status, _ := ask(path, right); status != want {
				t.Errorf("%s = %d, want %d", path, status, want)
			}
		}
	}
}

// TestAdminNeverShowsTheCommandLine: a secret may be on it.
func TestAdminNeverShowsTheCommandLine(t *testing.T) {
	t.Parallel()
	a, _ := admin(t, io.Discard, telemetry.AdminConfig{Pprof: true})
	for _, path := range []string{"/debug/pprof/cmdline", "/debug/pprof/../pprof/cmdline", "/debug/vars"} {
		if status, body := get(t, a, path); status != http.StatusNotFound || strings.Contains(body, os.Args[0]) {
			t.Errorf("%s = %d %q", path, status, body)
		}
	}
	if _, body := get(t, a, "/debug/pprof/"); strings.Contains(body, os.Args[0]) {
		t.Error("the index shows the command line")
	}
}

func TestPprof(t *testing.T) {
	t.Parallel()
	a, _ := admin(t, io.Discard, telemetry.AdminConfig{Pprof: true})
	if status, body := get(t, a, "/debug/pprof/goroutine?debug=1"); status != http.StatusOK || !strings.Contains(body, "goroutine profile") {
		t.Errorf("/debug/pprof/goroutine = %d", status)
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	var postgres, redis atomic.Pointer[error]
	check := func(p *atomic.Pointer[error]) func(context.Context) error {
		return func(context.Context) error {
			if err := p.Load(); err != nil {
				return *err
			}
			return nil
		}
	}
	var log syncBuffer
	a, _ := admin(t, &log, telemetry.AdminConfig{
		CheckAge: time.Nanosecond,
		Checks: []telemetry.Check{
			{Name: "postgres", Do: check(&postgres)},
			{Name: "redis", Do: check(&redis), Advisory: true},
		},
	})
	ready := func(want int, wantState map[string]any) {
		t.Helper()
		status, body := get(t, a, "/readyz")
		var state map[string]any
		if err := json.Unmarshal([]byte(body), &state); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wantState, state); status != want || diff != "" {
			t.Errorf("/readyz = %d, want %d (-want +got):\n%s", status, want, diff)
		}
	}
	state := func(ready, stopping bool, postgres, redis string) map[string]any {
		return map[string]any{"ready": ready, "stopping": stopping, "checks": map[string]any{"postgres": postgres, "redis": redis}}
	}
	ready(http.StatusOK, state(true, false, "ok", "ok"))
	down := errors.New("no server")
	redis.Store(&down)
	ready(http.StatusOK, state(true, false, "ok", "degraded"))
	postgres.Store(&down)
	ready(http.StatusServiceUnavailable, state(false, false, "failed", "degraded"))
	ready(http.StatusServiceUnavailable, state(false, false, "failed", "degraded"))
	postgres.Store(nil)
	redis.Store(nil)
	ready(http.StatusOK, state(true, false, "ok", "ok"))
	a.Stopping()
	ready(http.StatusServiceUnavailable, state(false, true, "ok", "ok"))

	if got := strings.Count(log.String(), "check fails"); got != 2 {
		t.Errorf("%d failures are logged, want one for each check:\n%s", got, log.String())
	}
	if got := strings.Count(log.String(), "check passes again"); got != 2 {
		t.Errorf("%d recoveries are logged, want one for each check:\n%s", got, log.String())
	}
}

func TestReadinessIsRemembered(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	a, _ := admin(t, io.Discard, telemetry.AdminConfig{
		CheckAge: time.Hour,
		Checks:   []telemetry.Check{{Name: "postgres", Do: func(context.Context) error { asked.Add(1); return nil }}},
	})
	for range 5 {
		get(t, a, "/readyz")
	}
	if got := asked.Load(); got != 1 {
		t.Errorf("asked %d times, want 1", got)
	}
}

func TestSlowCheckFails(t *testing.T) {
	t.Parallel()
	a, _ := admin(t, io.Discard, telemetry.AdminConfig{
		CheckTimeout: 20 * time.Millisecond,
		Checks:       []telemetry.Check{{Name: "postgres", Do: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}},
	})
	if status, body := get(t, a, "/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz = %d %s, want 503", status, body)
	}
}

func TestAdminAddressTaken(t *testing.T) {
	t.Parallel()
	a, _ := admin(t, io.Discard, telemetry.AdminConfig{})
	_, err := telemetry.NewAdmin(t.Context(), slog.New(slog.DiscardHandler), telemetrytest.Metrics().Gatherer(),
		telemetry.AdminConfig{Listen: a.Addr().String()})
	if err == nil {
		t.Error("no error, but the address is taken")
	}
}
