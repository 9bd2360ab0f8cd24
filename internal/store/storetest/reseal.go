package storetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/keyring"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

func resealing() []contract {
	return []contract{
		{"reseal/all there is, in steps, once", resealAll},
		{"reseal/what does not open is counted and left", resealUnopened},
		{"reseal/what is being changed is left to who changes it", resealBesideAChange},
		{"reseal/under writers loses nothing", resealUnderWriters},
	}
}

// resealed walks through everything in steps.
func (e env) resealed(limit int) (all keyring.Step, steps int) {
	e.Helper()
	for after := ""; ; steps++ {
		step, err := e.Reseal(e.Context(), after, limit)
		e.ok(err)
		all.Add(step)
		if n := step.Total(); n > limit {
			e.Errorf("a step of %d sealed %d values", limit, n)
		}
		if after = step.Next; after == "" {
			return all, steps + 1
		}
	}
}

// sealedJob stores a job with endpoints.
func (e env) sealedJob(name string) job.Record {
	e.Helper()
	r := e.newJob(name, job.Standalone)
	r.Endpoints = json.RawMessage(`{"source_endpoint":{"db_password":"` + marker + name + `"}}`)
	e.ok(e.CreateJobs(e.Context(), []job.Record{r}))
	return r
}

func (e env) opensJob(r job.Record) {
	e.Helper()
	got, err := e.JobEndpoints(e.Context(), r.Project, r.ID)
	if err != nil || string(got) != string(r.Endpoints) {
		e.Errorf("the endpoints of job %s: %d bytes, %v", r.ID, len(got), err)
	}
}

func resealAll(e env) {
	_, box := e.Keys()
	r := e.rotated()
	e.ok(e.CheckKeys(e.Context()))
	var jobs []job.Record
	for i := range 5 {
		jobs = append(jobs, e.sealedJob(fmt.Sprint("job-", i)))
	}
	e.ok(e.CreateJobs(e.Context(), []job.Record{e.newJob("nothing sealed", job.Standalone)}))
	var asked []batch.Once
	for i := range 3 {
		asked = append(asked, once(fmt.Sprint("key-", i), "request", "api-1", long))
		e.mustCreateOnce(asked[i])
	}
	b, tests := e.create(7, func(_ *batch.Batch, tests []batch.Test) {
		tests[6].Target.Password, tests[6].Target.TLS = secret.Text{}, nil // nothing sealed
	})
	c := e.mustClaim(tests[5].ID, long)
	e.finish(c.ID, c.LeaseID, probe.CodeOK) // its secrets are gone
	claimed := e.mustClaim(tests[4].ID, long)

	before, err := e.CountSealed(e.Context())
	e.ok(err)
	want := map[string]int{"jobs": 5, "request_keys": 3, "tests": 6, "keycheck": 1, "ledgerkey": 1}
	keyed := 0
	for _, o := range asked {
		known, err := e.RecallKey(e.Context(), e.project, o)
		e.ok(err)
		_, of, err := e.Batch(e.Context(), e.project, known.BatchID)
		e.ok(err)
		keyed += len(of)
	}
	want["tests"] = 5 + keyed
	e.same("sealed before", before, keyring.Census{
		"jobs": {r.first: 5}, "request_keys": {r.first: 3}, "tests": {r.first: want["tests"]}, "keycheck": {r.first: 1}, "ledgerkey": {r.first: 1},
	})

	box.Swap(e.box(r.promoted))
	// Interrupted after some steps, and begun again.
	first, err := e.Reseal(e.Context(), "", 2)
	e.ok(err)
	second, err := e.Reseal(e.Context(), first.Next, 2)
	e.ok(err)
	first.Add(second)
	all, steps := e.resealed(2)
	all.Add(first)
	e.same("sealed anew", all.Resealed, want)
	if least := 1 + 1 + 3 + 2 + want["tests"]/2; steps < least {
		e.Errorf("%d steps, want at least %d", steps, least)
	}
	after, err := e.CountSealed(e.Context())
	e.ok(err)
	if left := after.Of(r.first); len(left) > 0 {
		e.Errorf("still sealed with the old key: %v", left)
	}
	e.same("counted", after.Of(r.second), want)
	if again, _ := e.resealed(100); again.Total() > 0 || len(again.Unopened) > 0 {
		e.Errorf("once more: %+v", again)
	}

	// The old key is not needed any more.
	box.Swap(e.box(r.alone))
	e.ok(e.CheckKeys(e.Context()))
	for _, j := range jobs {
		e.opensJob(j)
	}
	for _, o := range asked {
		if known, err := e.RecallKey(e.Context(), e.project, o); err != nil || known.State != batch.KeyHeld {
			e.Errorf("the key %s is %v, %v", o.Key, known.State, err)
		}
	}
	e.same("target", e.mustClaim(tests[0].ID, long).Target, newTarget(e.project))
	if accepted, _ := e.finish(claimed.ID, claimed.LeaseID, probe.CodeOK); !accepted {
		e.Error("the report of a test that was being probed was refused")
	}
	if _, got := e.read(b); len(got) != 7 {
		e.Errorf("the batch has %d tests", len(got))
	}
}

func resealUnopened(e env) {
	_, box := e.Keys()
	r := e.rotated()
	foreign, err := secret.NewKeyset()
	e.ok(err)
	e.ok(e.CheckKeys(e.Context()))
	good := e.sealedJob("good")
	box.Swap(e.box(foreign))
	e.sealedJob("sealed with a key that nobody has")
	box.Swap(e.box(r.promoted))
	all, _ := e.resealed(10)
	e.same("not opened", all.Unopened, map[string]int{"jobs": 1})
	e.same("sealed anew", all.Resealed, map[string]int{"jobs": 1, "keycheck": 1, "ledgerkey": 1})
	e.opensJob(good)
}

// resealBesideAChange promotes and reseals while a job is being changed: that the
// former key may yet seal it is told, and what it is changed to stays.
func resealBesideAChange(e env) {
	_, box := e.Keys()
	r := e.rotated()
	e.ok(e.CheckKeys(e.Context()))
	j := e.sealedJob("changed")
	box.Swap(e.box(r.added))
	var resealing sync.WaitGroup
	changed := j
	changed.Endpoints = json.RawMessage(`{"source_endpoint":{"db_password":"changed"}}`)
	_, err := e.UpdateJob(e.Context(), j.Project, j.ID, func(record *job.Record) error {
		box.Swap(e.box(r.promoted))
		if !slices.Contains(box.Sealing(), r.first) {
			e.Error("the former key is not said to seal any more")
		}
		done := make(chan struct{})
		resealing.Go(func() {
			defer close(done)
			if _, err := e.Reseal(e.Context(), "", 10); err != nil {
				e.Error(err)
			}
			e.resealed(10)
		})
		// It either waits for this change to end, or is done before.
		select {
		case <-done:
		case <-time.After(500 * time.Millisecond):
		}
		record.Endpoints = changed.Endpoints
		return nil
	})
	e.ok(err)
	resealing.Wait()
	if ids := box.Sealing(); len(ids) != 1 {
		e.Errorf("Sealing() = %v when the change is over", ids)
	}
	box.Swap(e.box(r.alone))
	e.opensJob(changed)
}

// writers make batches, claim and finish tests, and change jobs, until stopped.
type writers struct {
	env
	jobs    []job.Record
	stop    chan struct{}
	working sync.WaitGroup
	mu      sync.Mutex
	open    []batch.Test
}

func (e env) startWriters(n int) *writers {
	w := &writers{env: e, stop: make(chan struct{})}
	for i := range n {
		w.jobs = append(w.jobs, e.sealedJob(fmt.Sprint("job-", i)))
	}
	for i := range w.jobs {
		w.working.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-w.stop:
					return
				default:
				}
				w.write(i, n)
			}
		})
	}
	return w
}

// write makes a batch of three tests, of which one may be done at once, and changes
// the writer's own job, which nobody else may undo.
func (w *writers) write(i, n int) {
	_, tests := w.create(3)
	if c, ok := w.claim(tests[0].ID, long); ok && n%4 == 0 {
		w.finish(c.ID, c.LeaseID, probe.CodeOK)
	}
	j, before := w.jobs[i], w.jobs[i].Endpoints
	j.Endpoints = json.RawMessage(fmt.Sprintf(`{"source_endpoint":{"db_password":"%d-%d"}}`, i, n))
	_, err := w.UpdateJob(w.Context(), j.Project, j.ID, func(r *job.Record) error {
		if string(r.Endpoints) != string(before) {
			w.Errorf("somebody has undone a change of job %s", r.ID)
		}
		r.Endpoints = j.Endpoints
		return nil
	})
	if err != nil {
		w.Error(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open, w.jobs[i] = append(w.open, tests[1:]...), j
}

// more waits for some more batches.
func (w *writers) more(n int) {
	w.Helper()
	count := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.open) / 2
	}
	from := count()
	w.eventually("there is more", func() bool { return count() >= from+n })
}

func (w *writers) end() {
	close(w.stop)
	w.working.Wait()
}

// resealUnderWriters promotes and reseals again and again while others write: once
// Sealing does not name a key any more, nothing is stored that it has sealed,
// and a pass changes nothing but the seals.
func resealUnderWriters(e env) {
	_, box := e.Keys()
	r := e.rotated()
	e.ok(e.CheckKeys(e.Context()))
	box.Swap(e.box(r.added))
	w := e.startWriters(4)
	w.more(3)
	sealedBy := func(key uint32) map[string]int {
		census, err := e.CountSealed(e.Context())
		e.ok(err)
		return census.Of(key)
	}
	from, to := r.first, r.second
	for round := range 5 { // the last one is a promotion
		next := r.promoted
		if round%2 == 1 {
			next = r.added
		}
		box.Swap(e.box(next))
		e.eventually("nobody seals with the former key", func() bool { return len(box.Sealing()) == 1 })
		before := sealedBy(from)
		w.more(3)
		if after := sealedBy(from); after["tests"] > before["tests"] {
			e.Errorf("round %d: the former key has sealed %d tests, and %d when nobody sealed with it any more", round, after["tests"], before["tests"])
		}
		e.resealed(50)
		if left := sealedBy(from); len(left) > 0 {
			e.Errorf("round %d: after a pass the former key still has %v", round, left)
		}
		from, to = to, from
	}
	w.end()
	box.Swap(e.box(r.alone))
	e.ok(e.CheckKeys(e.Context()))
	for _, j := range w.jobs {
		e.opensJob(j)
	}
	for _, t := range w.open {
		c := e.mustClaim(t.ID, long)
		e.same("target", c.Target, newTarget(e.project))
	}
}
