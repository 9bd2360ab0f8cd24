package storetest

import (
	"errors"
	"sync"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
)

func removing() []contract {
	return []contract{
		{"remove/batches done for longer than the age, with all they have", removeOld},
		{"remove/whole batches, oldest first, as many as fit", removeSteps},
		{"remove/side by side", removeSideBySide},
		{"remove/keys past their time, a few at a time", removeOldKeys},
	}
}

// ended stores a batch whose tests are all over.
func (e env) ended(n int) batch.Batch {
	e.Helper()
	report := newReport(probe.CodeJobUnknown)
	b, _ := e.create(n, func(_ *batch.Batch, tests []batch.Test) {
		for i := range tests {
			tests[i].Report = &report
		}
	})
	return b
}

func (e env) gone(b batch.Batch) bool {
	e.Helper()
	_, _, err := e.Batch(e.Context(), b.Project, b.ID)
	if err != nil && !errors.Is(err, batch.ErrNotFound) {
		e.Fatal(err)
	}
	return err != nil
}

// removes makes one step and wants it to remove so many.
func (e env) removes(age time.Duration, limit, batches, tests int) {
	e.Helper()
	gotBatches, gotTests, err := e.RemoveBatches(e.Context(), age, limit)
	e.ok(err)
	if gotBatches != batches || gotTests != tests {
		e.Errorf("RemoveBatches(%v, %d) = %d batches, %d tests; want %d, %d", age, limit, gotBatches, gotTests, batches, tests)
	}
}

func removeOld(e env) {
	keyed := e.mustCreateOnce(once("k", "request", "api-1", long))
	_, _, err := e.Cancel(e.Context(), e.project, keyed.ID)
	e.ok(err)
	old := e.ended(3)
	running, _ := e.create(2)
	e.ok(e.Outdate(e.Context(), time.Hour))
	young := e.ended(2)
	e.removes(time.Hour+time.Minute, 1000, 0, 0)
	e.removes(time.Hour-time.Minute, 1000, 2, 4)
	e.removes(time.Hour-time.Minute, 1000, 0, 0)
	for _, b := range []batch.Batch{keyed, old} {
		if !e.gone(b) {
			e.Errorf("batch %s is still there", b.ID)
		}
	}
	if e.gone(running) || e.gone(young) {
		e.Error("a batch that runs, or one that is young, is gone")
	}
	counts, err := e.Count(e.Context())
	e.ok(err)
	e.same("rows", counts, map[string]int{"batches": 2, "batch_jobs": 2, "tests": 4})
}

func removeSteps(e env) {
	var all []batch.Batch
	for _, n := range []int{2, 3, 40, 2} {
		all = append(all, e.ended(n))
		e.ok(e.Outdate(e.Context(), time.Hour))
	}
	// A batch is a row as well: 3 and 4 rows, then one that is more than a step.
	e.removes(time.Minute, 7, 2, 5)
	if !e.gone(all[0]) || !e.gone(all[1]) || e.gone(all[2]) || e.gone(all[3]) {
		e.Error("not the oldest ones went")
	}
	e.removes(time.Minute, 7, 1, 40)
	e.removes(time.Minute, 7, 1, 2)
	e.removes(time.Minute, 7, 0, 0)
}

func removeSideBySide(e env) {
	const batches, size = 40, 2
	for range batches {
		e.ended(size)
	}
	e.ok(e.Outdate(e.Context(), time.Hour))
	var mu sync.Mutex
	removed, tests := 0, 0
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			// One that meets only rows that others hold may end early.
			for idle := 0; idle < 3; {
				b, n, err := e.RemoveBatches(e.Context(), time.Minute, 7)
				mu.Lock()
				if err != nil {
					e.Errorf("RemoveBatches() = %v", err)
				}
				removed, tests = removed+b, tests+n
				mu.Unlock()
				if b == 0 {
					idle++
				}
			}
		})
	}
	all.Wait()
	for {
		b, n, err := e.RemoveBatches(e.Context(), time.Minute, 1000)
		e.ok(err)
		if removed, tests = removed+b, tests+n; b == 0 {
			break
		}
	}
	if removed != batches || tests != batches*size {
		e.Errorf("removed %d batches and %d tests, want %d and %d, each counted once", removed, tests, batches, batches*size)
	}
}

func removeOldKeys(e env) {
	var kept []batch.Batch
	for _, key := range []string{"a", "b", "c"} {
		kept = append(kept, e.mustCreateOnce(once(key, "request", "api-1", long)))
	}
	e.ok(e.Outdate(e.Context(), time.Hour))
	young := once("d", "request", "api-1", long)
	kept = append(kept, e.mustCreateOnce(young))
	for _, want := range []int{2, 1, 0} {
		got, err := e.RemoveKeys(e.Context(), time.Minute, 2)
		e.ok(err)
		if got != want {
			e.Errorf("RemoveKeys() = %d, want %d", got, want)
		}
	}
	e.recalls("the young key", young, batch.Recalled{State: batch.KeyHeld, BatchID: kept[3].ID})
	for _, b := range kept {
		if e.gone(b) {
			e.Error("a batch went with its key")
		}
	}
}
