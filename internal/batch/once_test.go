package batch_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/secret"
)

// keyed stores a batch of one test under a key that holder holds for a moment.
func (b *bench) keyed(o batch.Once) string {
	b.Helper()
	id := batch.NewID()
	whole := batch.Batch{ID: id, Project: "p", Call: job.Connection, Lane: batch.Interactive, Timeout: time.Minute}
	if _, err := b.store.CreateOnce(b.Context(), whole, nil, o); err != nil {
		b.Fatal(err)
	}
	return id
}

func (b *bench) recall(k *batch.Keys, key string) batch.KeyState {
	b.Helper()
	got, err := k.Recall(b.Context(), "p", k.Once(key, secret.New("request")))
	if err != nil {
		b.Fatal(err)
	}
	return got.State
}

// A process that is at work says so, and is taken at its word; of one that died
// the key is free to be taken over.
func TestKeysAreHeldByWhoLives(t *testing.T) {
	t.Parallel()
	b := newBench(t, batch.WorkerConfig{})
	alive, other := batch.NewKeys(quiet(), b.store, "api-1"), batch.NewKeys(quiet(), b.store, "api-2")
	running, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _ = alive.Run(running) })
	defer all.Wait()
	defer stop()

	brief := func(key string) batch.Once {
		o := alive.Once(key, secret.New("request"))
		o.Hold = 1500 * time.Millisecond // less than two of the renewals
		return o
	}
	dead := b.keyed(brief("dead"))
	held := b.keyed(brief("held"))
	end := alive.Hold("p", "held", held)
	began := time.Now()
	for b.recall(other, "dead") != batch.KeyYours {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("the key of batch %s is never free", dead)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if got := b.recall(other, "held"); got != batch.KeyHeld {
		t.Errorf("a key at work is %s, want held", got)
	}
	end(t.Context(), nil)
	if got := b.recall(other, "held"); got != batch.KeyYours {
		t.Errorf("a key that was given up is %s, want yours", got)
	}
	other.Hold("p", "held", held)(t.Context(), []byte("answer"))
	if got := b.recall(alive, "held"); got != batch.KeyAnswered {
		t.Errorf("an answered key is %s", got)
	}
}

// counts notes what was removed.
// mute is a store that takes what it is told of keys and does not answer.
type mute struct{ batch.KeyStore }

func (mute) AnswerKey(ctx context.Context, _, _ string, _ []byte) error {
	<-ctx.Done()
	return ctx.Err()
}

func (mute) ReleaseKey(ctx context.Context, _, _, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

// A caller has its results: whether they are kept may not hold it up for long.
func TestKeepingAnAnswerHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		keys := batch.NewKeys(quiet(), mute{}, "api-1")
		for name, answer := range map[string][]byte{"kept": []byte("answer"), "given up": nil} {
			began := time.Now()
			keys.Hold("p", "k", "b")(t.Context(), answer)
			if took := time.Since(began); took > 500*time.Millisecond {
				t.Errorf("%s: %s, of the two seconds after the deadline", name, took)
			}
		}
	})
}

type counts struct {
	batch.Quiet

	removed map[string]int
}

func (c counts) Removed(what string, n int) { c.removed[what] += n }

func TestJanitorRemovesAllThatIsOld(t *testing.T) {
	t.Parallel()
	b := newBench(t, batch.WorkerConfig{})
	var ids []string
	for range 7 {
		id, _ := b.submit(3, time.Minute)
		ids = append(ids, id)
		if _, _, err := b.store.Cancel(t.Context(), "p", id); err != nil {
			t.Fatal(err)
		}
	}
	running, _ := b.submit(1, time.Minute)
	seen := counts{removed: map[string]int{}}
	batch.NewJanitor(quiet(), b.store, seen, batch.JanitorConfig{Step: 4}).Clean(t.Context())
	if len(seen.removed) != 0 {
		t.Errorf("removed %v without a retention", seen.removed)
	}
	batch.NewJanitor(quiet(), b.store, seen, batch.JanitorConfig{Retention: time.Nanosecond, Step: 4}).Clean(t.Context())
	if seen.removed["batches"] != 7 || seen.removed["tests"] != 21 {
		t.Errorf("removed %v, want 7 batches and 21 tests", seen.removed)
	}
	for _, id := range ids {
		if _, _, err := b.store.Batch(t.Context(), "p", id); err == nil {
			t.Errorf("batch %s is still there", id)
		}
	}
	b.tests(running)
}
