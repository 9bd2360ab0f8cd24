package postgres_test

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestListeners(t *testing.T) {
	t.Parallel()
	dsn := newDatabase(t)
	s := open(t, dsn, newBox(t))
	announce := func(process string, addresses ...string) {
		t.Helper()
		if err := s.AnnounceListeners(t.Context(), process, addresses); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what string, want ...string) {
		t.Helper()
		got, err := s.Listeners(t.Context())
		if diff := cmp.Diff(want, got, cmp.Transformer("set", func(list []string) map[string]bool {
			set := map[string]bool{}
			for _, a := range list {
				set[a] = true
			}
			return set
		})); diff != "" || err != nil || len(got) != len(want) {
			t.Errorf("%s: %v (-want +got):\n%s", what, err, diff)
		}
	}
	check("before anybody listens")
	// Processes on one machine, at the same time.
	var announcing sync.WaitGroup
	for process, list := range map[string][]string{
		"api-1": {"10.0.0.1:8080", "127.0.0.1:9101", "127.0.0.1:9101"}, "api-2": {"127.0.0.1:9101", "[fd00::1]:8080"},
	} {
		announcing.Go(func() {
			for range 20 {
				if err := s.AnnounceListeners(t.Context(), process, list); err != nil {
					t.Error(err)
				}
			}
		})
	}
	announcing.Wait()
	check("both", "10.0.0.1:8080", "127.0.0.1:9101", "[fd00::1]:8080")
	announce("api-1", "10.0.0.7:8080", "127.0.0.1:9101")
	check("one has moved", "10.0.0.7:8080", "127.0.0.1:9101", "[fd00::1]:8080")
	announce("api-1")
	check("and has withdrawn", "127.0.0.1:9101", "[fd00::1]:8080")
	// What is not announced any more is forgotten after an hour.
	admin(t, dsn, "update listeners set seen_at = now() - interval '61 minutes'")
	check("an hour later")
	announce("worker-1", "10.0.0.2:9102")
	admin(t, dsn, "update listeners set seen_at = now()")
	check("and are gone", "10.0.0.2:9102")
}
