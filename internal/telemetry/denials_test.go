package telemetry_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/telemetry"
)

const denied = "dialtone_egress_denied_recent"

func of(project string) map[string]string { return map[string]string{"project": project} }

// The window slides: what is older than ten minutes is gone, and the series of
// a project with it.
func TestDenialsByProject(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := telemetry.NewMetrics(telemetry.Build{})
		g := m.Gatherer()
		deny := func(project string, times int) {
			for range times {
				m.Denied(project, "private", true)
			}
		}
		check := func(project string, want float64) {
			t.Helper()
			if got := value(t, g, denied, of(project)); got != want {
				t.Errorf("%s was denied %v times, want %v", project, got, want)
			}
		}
		check("other", 0)
		deny("p1", 7)
		m.Denied("p1", "private", false) // noted only
		check("p1", 7)
		time.Sleep(5 * time.Minute)
		deny("p1", 2)
		deny("p2", 3)
		check("p1", 9)
		check("p2", 3)
		time.Sleep(5 * time.Minute)
		check("p1", 2)
		deny("p2", 1)
		check("p2", 4)
		time.Sleep(9 * time.Minute)
		check("p2", 1)
		time.Sleep(time.Hour)
		if got := len(series(t, g, denied)); got != 1 {
			t.Errorf("%d series an hour later, want that of the others alone", got)
		}
		check("other", 0)
		deny("p1", 1)
		check("p1", 1)
	})
}

// However many projects there are, the series are few and none is lost.
func TestDenialsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := telemetry.NewMetrics(telemetry.Build{})
		g := m.Gatherer()
		const projects = 1500
		for i := range projects {
			m.Denied(fmt.Sprintf("p%04d", i), "private", true)
		}
		for range 50 {
			m.Denied("p0007", "metadata", true)
		}
		m.Denied("other", "private", true)
		m.Denied("no\xfftext", "private", true)
		if got := len(series(t, g, denied)); got != 21 {
			t.Errorf("%d series, want those of 20 projects and of the others", got)
		}
		if got := value(t, g, denied, of("p0007")); got != 51 {
			t.Errorf("the worst was denied %v times, want 51", got)
		}
		if got, want := value(t, g, denied, of("other")), float64(projects-20+2); got != want {
			t.Errorf("the others were denied %v times, want %v", got, want)
		}
		// Those that have been quiet make room.
		time.Sleep(11 * time.Minute)
		m.Denied("late", "private", true)
		if got := value(t, g, denied, of("late")); got != 1 {
			t.Errorf("a project that came late was denied %v times, want 1", got)
		}
	})
}
