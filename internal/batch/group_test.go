package batch

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestGroupGathersWhileACallIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var sizes []int
		g := &group[int, int]{most: 4, flights: 1, timeout: time.Minute}
		g.call = func(_ context.Context, in []int) ([]int, error) {
			mu.Lock()
			sizes = append(sizes, len(in))
			mu.Unlock()
			time.Sleep(time.Second)
			out := make([]int, len(in))
			for i, n := range in {
				out[i] = 2 * n
			}
			return out, nil
		}
		var wg sync.WaitGroup
		ask := func(n int) {
			wg.Go(func() {
				if got, err := g.do(t.Context(), n); err != nil || got != 2*n {
					t.Errorf("do(%d) = %d, %v", n, got, err)
				}
			})
		}
		ask(1)
		synctest.Wait() // the first call is under way
		for n := range 6 {
			ask(n)
		}
		wg.Wait()
		total := 0
		for _, n := range sizes {
			total += n
		}
		if total != 7 || len(sizes) != 3 || sizes[0] != 1 || sizes[1] != 4 {
			t.Errorf("calls of %v requests, want 1, then 4 at the most, then the rest", sizes)
		}
		synctest.Wait()
		if g.under != 0 || len(g.pending) != 0 {
			t.Errorf("left over: %d calls, %d requests", g.under, len(g.pending))
		}
	})
}

func TestGroupTellsEveryoneOfAFailure(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	g := &group[int, int]{most: 8, flights: 2, timeout: time.Minute}
	g.call = func(context.Context, []int) ([]int, error) { return nil, broken }
	var wg sync.WaitGroup
	for n := range 50 {
		wg.Go(func() {
			if _, err := g.do(t.Context(), n); !errors.Is(err, broken) {
				t.Errorf("do(%d) = %v, want the call's own error", n, err)
			}
		})
	}
	wg.Wait()
}

func TestGroupOutlivesItsLeader(t *testing.T) {
	t.Parallel()
	g := &group[int, int]{most: 8, flights: 1, timeout: time.Minute}
	g.call = func(ctx context.Context, in []int) ([]int, error) { return in, ctx.Err() }
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.do(ctx, 1); err != nil {
		t.Errorf("do = %v: the call of a cancelled leader was cancelled too", err)
	}
}

// Two flights that end together once handed the lead to the same request, and
// one of them was lost for good.
func TestGroupKeepsItsFlights(t *testing.T) {
	t.Parallel()
	g := &group[int, int]{most: 8, flights: 2, timeout: time.Minute}
	g.call = func(_ context.Context, in []int) ([]int, error) {
		time.Sleep(200 * time.Microsecond) // a short call: flights end close together
		return in, nil
	}
	for round := range 100 {
		var wg sync.WaitGroup
		for n := range 128 {
			wg.Go(func() {
				if got, err := g.do(t.Context(), n); err != nil || got != n {
					t.Errorf("do(%d) = %d, %v", n, got, err)
				}
			})
		}
		wg.Wait()
		if !idle(g) {
			t.Fatalf("round %d: %d flights left over", round, g.under)
		}
	}
}

// idle waits until every flight has landed: a flight ends after its last
// request has been answered.
func idle(g *group[int, int]) bool {
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		g.mu.Lock()
		under := g.under
		g.mu.Unlock()
		if under == 0 {
			return true
		}
	}
	return false
}
