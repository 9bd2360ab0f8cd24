package queue

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestRepeats(t *testing.T) {
	t.Parallel()
	r, now := newRepeats(), time.Now()
	for i, c := range []struct {
		what   string
		after  time.Duration
		missed int
		ok     bool
	}{
		{"a", 0, 0, true},
		{"a", time.Second, 0, false},
		{"b", time.Second, 0, true},
		{"a", 9 * time.Second, 0, false},
		{"a", 10 * time.Second, 2, true},
		{"a", 11 * time.Second, 0, false},
		{"a", 21 * time.Second, 1, true},
	} {
		if missed, ok := r.allow(c.what, now.Add(c.after)); missed != c.missed || ok != c.ok {
			t.Errorf("step %d: allow = %d, %v, want %d, %v", i, missed, ok, c.missed, c.ok)
		}
	}
	for i := range 10_000 {
		r.allow(fmt.Sprint("thing", i), now)
	}
	if len(r.said) > 300 {
		t.Errorf("%d things are remembered", len(r.said))
	}
}

func TestLoggers(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	a := asynqLogger{log, newRepeats()}
	a.Debug("every look")
	a.Info("Starting processing")
	for i := range 5 {
		a.Error(fmt.Sprintf("Could not remove task id=%d", i))
	}
	a.Fatal("the end") // which this is not
	l := redisLogger{log, newRepeats()}
	for range 5 {
		l.Printf(t.Context(), "redis: dial %s", "h:1")
	}
	l.Printf(t.Context(), "sentinel: new master=%q", "m")
	got := out.String()
	if n := strings.Count(got, "\n"); n != 4 {
		t.Errorf("%d lines, want 4:\n%s", n, got)
	}
	for _, want := range []string{`text="Could not remove task id=0"`, `text="the end"`, `text="dial h:1"`, "level=INFO msg=redis"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}
