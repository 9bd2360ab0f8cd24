package storetest

import (
	"bytes"
	"errors"
	"sync"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

func keying() []contract {
	return []contract{
		{"key/free, held, answered", keyLife},
		{"key/stands for one request of one project", keyCompares},
		{"key/of two that come at once one is stored", keyOnce},
		{"key/a hold that runs out is taken over once", keyTakenOver},
		{"key/a hold is renewed and released by its holder only", keyHolder},
		{"key/the first answer is kept", keyFirstAnswer},
		{"key/counts for its life and no longer", keyEnds},
		{"key/keeps nothing of the request", keyKeepsNoSecret},
		{"backlog/open tests of a project and a lane", backlogCounts},
	}
}

// once makes the wish for a key, of a process and with a hold.
func once(key, request, holder string, hold time.Duration) batch.Once {
	return batch.Once{Key: key, Request: secret.New(request), Holder: holder, Hold: hold, Life: time.Hour}
}

// createOnce stores a batch of one test under a key.
func (e env) createOnce(o batch.Once) (batch.Batch, []batch.Test, error) {
	b := e.newBatch(1)
	tests := []batch.Test{e.newTest(b, 0)}
	stored, err := e.CreateOnce(e.Context(), b, tests, o)
	return stored, tests, err
}

func (e env) mustCreateOnce(o batch.Once) batch.Batch {
	e.Helper()
	b, _, err := e.createOnce(o)
	e.ok(err)
	return b
}

// recalls fails unless the key is found so.
func (e env) recalls(what string, o batch.Once, want batch.Recalled) {
	e.Helper()
	got, err := e.RecallKey(e.Context(), e.project, o)
	e.ok(err)
	// How much time is left is told to who takes the batch over.
	if left := got.Remaining; (got.State == batch.KeyYours) != (left != 0) || left > long || left < -long {
		e.Errorf("%s: %s left of a batch that has %s", what, left, long)
	}
	got.Remaining = 0
	e.same(what, got, want)
}

func keyLife(e env) {
	o := once("k", "request", "api-1", long)
	e.recalls("a key that nobody used", o, batch.Recalled{State: batch.KeyFree})
	b := e.mustCreateOnce(o)
	got, tests := e.read(b)
	e.same("batch", got, b)
	if len(tests) != 1 {
		e.Errorf("%d tests, want 1", len(tests))
	}
	e.recalls("a key at work", once("k", "request", "api-2", long), batch.Recalled{State: batch.KeyHeld, BatchID: b.ID})
	answer := []byte{0, 1, 0xff, '\''}
	e.ok(e.AnswerKey(e.Context(), e.project, "k", answer))
	e.recalls("an answered key", once("k", "request", "api-2", long), batch.Recalled{State: batch.KeyAnswered, BatchID: b.ID, Answer: answer})
	if _, _, err := e.createOnce(o); !errors.Is(err, batch.ErrKeyTaken) {
		e.Errorf("CreateOnce() with an answered key: %v, want ErrKeyTaken", err)
	}
}

func keyCompares(e env) {
	o := once("k", "request", "api-1", long)
	b := e.mustCreateOnce(o)
	e.recalls("another request", once("k", "request ", "api-1", long), batch.Recalled{State: batch.KeyOther})
	e.ok(e.AnswerKey(e.Context(), e.project, "k", []byte("answer")))
	e.recalls("another request, once answered", once("k", "other", "api-1", long), batch.Recalled{State: batch.KeyOther})
	e.recalls("the key in other letters", once("K", "request", "api-1", long), batch.Recalled{State: batch.KeyFree})
	other := e
	other.project += "-2"
	other.recalls("another project", o, batch.Recalled{State: batch.KeyFree})
	if there := other.mustCreateOnce(o); there.ID == b.ID {
		e.Error("two projects share a batch")
	}
}

func keyOnce(e env) {
	o := once("k", "request", "api-1", long)
	var mu sync.Mutex
	var stored []string
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			b, tests, err := e.createOnce(o)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				stored = append(stored, b.ID)
				if _, granted := e.claim(tests[0].ID, long); !granted {
					e.Error("the test of the stored batch is not there")
				}
			case !errors.Is(err, batch.ErrKeyTaken):
				e.Errorf("CreateOnce() = %v, want ErrKeyTaken", err)
			default:
				if _, granted := e.claim(tests[0].ID, long); granted {
					e.Error("a test of a refused batch is there")
				}
			}
		})
	}
	all.Wait()
	if len(stored) != 1 {
		e.Fatalf("%d batches for one key", len(stored))
	}
	e.recalls("the key", o, batch.Recalled{State: batch.KeyHeld, BatchID: stored[0]})
}

func keyTakenOver(e env) {
	b := e.mustCreateOnce(once("k", "request", "api-1", brief))
	e.passes(b.CreatedAt)
	var mu sync.Mutex
	states := map[batch.KeyState]int{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			got, err := e.RecallKey(e.Context(), e.project, once("k", "request", "api-2", long))
			mu.Lock()
			defer mu.Unlock()
			if err != nil || got.BatchID != b.ID {
				e.Errorf("RecallKey() = %+v, %v", got, err)
			}
			states[got.State]++
		})
	}
	all.Wait()
	e.same("states", states, map[batch.KeyState]int{batch.KeyYours: 1, batch.KeyHeld: 7})
}

func keyHolder(e env) {
	o := once("k", "request", "api-1", brief)
	b := e.mustCreateOnce(o)
	e.ok(e.RenewKeys(e.Context(), "api-2", []string{b.ID}, long))
	e.ok(e.RenewKeys(e.Context(), "api-1", []string{batch.NewID(), "no id"}, long))
	e.passes(b.CreatedAt)
	e.recalls("not renewed", once("k", "request", "api-3", brief), batch.Recalled{State: batch.KeyYours, BatchID: b.ID})
	e.ok(e.RenewKeys(e.Context(), "api-3", []string{b.ID}, long))
	held := batch.Recalled{State: batch.KeyHeld, BatchID: b.ID}
	e.recalls("renewed", o, held)
	e.ok(e.ReleaseKey(e.Context(), e.project, "k", "api-1"))
	e.recalls("released by another", o, held)
	e.ok(e.ReleaseKey(e.Context(), e.project, "k", "api-3"))
	e.recalls("released", o, batch.Recalled{State: batch.KeyYours, BatchID: b.ID})
	e.ok(e.ReleaseKey(e.Context(), e.project, "nobody's", "api-3"))
}

func keyFirstAnswer(e env) {
	o := once("k", "request", "api-1", long)
	b := e.mustCreateOnce(o)
	e.ok(e.AnswerKey(e.Context(), e.project, "k", []byte("first")))
	e.ok(e.AnswerKey(e.Context(), e.project, "k", []byte("second")))
	e.ok(e.ReleaseKey(e.Context(), e.project, "k", "api-1"))
	e.recalls("answer", o, batch.Recalled{State: batch.KeyAnswered, BatchID: b.ID, Answer: []byte("first")})
	e.ok(e.AnswerKey(e.Context(), e.project, "nobody's", []byte("x")))
}

func keyEnds(e env) {
	o := once("k", "request", "api-1", long)
	first := e.mustCreateOnce(o)
	e.ok(e.AnswerKey(e.Context(), e.project, "k", []byte("answer")))
	e.ok(e.Outdate(e.Context(), o.Life-time.Minute))
	e.recalls("before its end", o, batch.Recalled{State: batch.KeyAnswered, BatchID: first.ID, Answer: []byte("answer")})
	e.ok(e.Outdate(e.Context(), time.Minute))
	other := once("k", "another request", "api-1", long)
	e.recalls("after its end", other, batch.Recalled{State: batch.KeyFree})
	second := e.mustCreateOnce(other)
	e.recalls("the second", other, batch.Recalled{State: batch.KeyHeld, BatchID: second.ID})
	if _, tests := e.read(first); len(tests) != 1 {
		e.Error("the batch of the first went with its key")
	}
}

func keyKeepsNoSecret(e env) {
	request := `{"jobs":[{"db_password":"` + marker + `"}]}`
	e.mustCreateOnce(once("k", request, "api-1", long))
	dump, err := e.Dump(e.Context())
	e.ok(err)
	if !bytes.Contains(dump, []byte("api-1")) {
		e.Error("the dump does not hold the store")
	}
	e.withoutSecret(dump)
}

func backlogCounts(e env) {
	count := func(project string, lane batch.Lane, most int) int {
		e.Helper()
		n, err := e.Backlog(e.Context(), project, lane, most)
		e.ok(err)
		return n
	}
	_, tests := e.create(3)
	e.create(2)
	e.create(4, func(b *batch.Batch, _ []batch.Test) { b.Lane = batch.Bulk })
	report := newReport(probe.CodeJobUnknown)
	e.create(1, func(_ *batch.Batch, tests []batch.Test) { tests[0].Report = &report })
	other := e
	other.project += "-2"
	other.create(5)
	c := e.mustClaim(tests[0].ID, long)
	e.finish(c.ID, c.LeaseID, probe.CodeOK)
	e.mustClaim(tests[1].ID, long)
	for _, want := range []struct {
		project string
		lane    batch.Lane
		n       int
	}{{e.project, batch.Interactive, 4}, {e.project, batch.Bulk, 4}, {other.project, batch.Interactive, 5}, {other.project, batch.Bulk, 0}, {"nobody", batch.Bulk, 0}} {
		if got := count(want.project, want.lane, 100); got != want.n {
			e.Errorf("Backlog(%s, %s) = %d, want %d", want.project, want.lane, got, want.n)
		}
	}
	if got := count(e.project, batch.Interactive, 1); got < 1 {
		e.Errorf("Backlog(at most 1) = %d", got)
	}
}
