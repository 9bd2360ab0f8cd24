package storetest

import (
	"encoding/json"
	"fmt"
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

// resealUnderWriters promotes and reseals while batches are made, claimed and
// finished and jobs are changed: whoever sealed with the old key when it was
// promoted is seen by Sealing, and once nobody does, one pass finds the rest.
func resealUnderWriters(e env) {
	_, box := e.Keys()
	r := e.rotated()
	e.ok(e.CheckKeys(e.Context()))
	var jobs []job.Record
	for i := range 4 {
		jobs = append(jobs, e.sealedJob(fmt.Sprint("job-", i)))
	}
	box.Swap(e.box(r.added))
	stop := make(chan struct{})
	var working sync.WaitGroup
	var mu sync.Mutex
	var open []batch.Test
	for i, j := range jobs {
		working.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				_, tests := e.create(3)
				// One is done at once, one is claimed and done, one stays.
				for _, t := range tests[:2] {
					if c, ok := e.claim(t.ID, long); ok {
						e.finish(c.ID, c.LeaseID, probe.CodeOK)
					}
				}
				text := json.RawMessage(fmt.Sprintf(`{"source_endpoint":{"db_password":"%d-%d"}}`, i, n))
				_, err := e.UpdateJob(e.Context(), j.Project, j.ID, func(r *job.Record) error {
					r.Endpoints = text
					return nil
				})
				if err != nil {
					e.Error(err)
				}
				mu.Lock()
				open, jobs[i].Endpoints = append(open, tests[2]), text
				mu.Unlock()
			}
		})
	}
	worked := func(n int) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(open) >= n
		}
	}
	e.eventually("there is work", worked(10))
	box.Swap(e.box(r.promoted))
	e.eventually("nobody seals with the old key", func() bool { return len(box.Sealing()) == 1 })
	began := time.Now()
	all, _ := e.resealed(5)
	census, err := e.CountSealed(e.Context())
	e.ok(err)
	if left := census.Of(r.first); len(left) > 0 {
		e.Errorf("after a pass of %v that sealed %v anew, the old key still has %v", time.Since(began), all.Resealed, left)
	}
	mu.Lock()
	n := len(open)
	mu.Unlock()
	e.eventually("and there is more", worked(n+4))
	close(stop)
	working.Wait()
	box.Swap(e.box(r.alone))
	for _, j := range jobs {
		e.opensJob(j)
	}
	for _, t := range open {
		c := e.mustClaim(t.ID, long)
		e.same("target", c.Target, newTarget(e.project))
		e.finish(c.ID, c.LeaseID, probe.CodeOK)
	}
}
