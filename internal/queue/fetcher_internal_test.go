package queue

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// passed is a Redis that notes what passes through to it.
type passed struct {
	redis.UniversalClient
	shas []string
}

func (p *passed) EvalSha(ctx context.Context, sha string, _ []string, _ ...any) *redis.Cmd {
	p.shas = append(p.shas, sha)
	cmd := redis.NewCmd(ctx)
	cmd.SetErr(redis.Nil)
	return cmd
}

// An asynq that asks in another way must get Redis's own answer, at once, and
// then polls.
func TestUnknownScriptPassesThrough(t *testing.T) {
	t.Parallel()
	const queue = "bulk:eip"
	known, prefix := dequeueCall(queue)
	lease := time.Now().Unix()
	change := func(i int, key string) []string {
		keys := slices.Clone(known)
		keys[i] = key
		return keys
	}
	for _, c := range []struct {
		name string
		keys []string
		args []any
	}{
		{"fewer keys", known[:3], []any{lease, prefix}},
		{"more keys", append(slices.Clone(known), "x"), []any{lease, prefix}},
		{"other order", change(1, known[3]), []any{lease, prefix}},
		{"other queue", change(0, "asynq:{bulk:vpn}:pending"), []any{lease, prefix}},
		{"other argument", known, []any{lease, "asynq:t:"}},
		{"more arguments", known, []any{lease, prefix, 1}},
		{"lease of another kind", known, []any{float64(lease), prefix}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := &passed{}
			f := newFetcher(p, &waker{}, map[string]int{queue: 1}, 10, 16, time.Hour)
			f.waker.connected.Store(true)                                                        // so that a recognised question would wait
			if err := f.EvalSha(t.Context(), "abc", c.keys, c.args...).Err(); err != redis.Nil { //nolint:errorlint // asynq compares so
				t.Errorf("answer %v, want nil", err)
			}
			if len(p.shas) != 1 || f.recognised.Load() {
				t.Errorf("passed through %v, recognised %v", p.shas, f.recognised.Load())
			}
		})
	}
}

// asynq asks each queue of a round; after one was told "empty", so must be the
// others, without another wait.
func TestRoundEnds(t *testing.T) {
	t.Parallel()
	f := newFetcher(&passed{}, &waker{}, map[string]int{"bulk:eip": 1, "interactive:eip": 6}, 10, 16, time.Hour)
	f.close(t.Context())
	for _, q := range []string{"bulk:eip", "interactive:eip", "bulk:eip"} {
		keys, prefix := dequeueCall(q)
		if err := f.EvalSha(t.Context(), "abc", keys, time.Now().Unix(), prefix).Err(); err != redis.Nil { //nolint:errorlint // asynq compares so
			t.Errorf("answer %v, want nil", err)
		}
	}
	if len(f.UniversalClient.(*passed).shas) != 0 { //nolint:forcetypeassert // made above
		t.Error("Redis was asked after the end")
	}
}

func TestOrderKeepsWeights(t *testing.T) {
	t.Parallel()
	f := newFetcher(nil, &waker{}, map[string]int{"bulk:eip": 1, "interactive:eip": 6}, 10, 16, time.Hour)
	first := 0
	for range 7000 {
		order := f.order()
		if len(order) != 2 {
			t.Fatalf("%d queues in the order, want 2", len(order))
		}
		if order[0].weight == 6 {
			first++
		}
	}
	if first < 5700 || first > 6300 {
		t.Errorf("the heavier queue was first %d times of 7000, want about 6000", first)
	}
}

// Due times are whole seconds: nothing comes due twice in one.
func TestForwardOncePerSecond(t *testing.T) {
	t.Parallel()
	f := newFetcher(nil, &waker{}, map[string]int{"bulk:eip": 1}, 10, 16, time.Hour)
	asked := 0
	none := func() *redis.Cmd {
		asked++
		cmd := redis.NewCmd(t.Context())
		cmd.SetVal(int64(0))
		return cmd
	}
	for _, now := range []int64{100, 100, 100, 101, 101, 102} {
		if n, err := f.forward(t.Context(), asynqKey("bulk:eip", "retry"), now, none).Int64(); n != 0 || err != nil {
			t.Errorf("forward = %d, %v", n, err)
		}
	}
	if asked != 3 {
		t.Errorf("asked %d times in three seconds, want 3", asked)
	}
}
