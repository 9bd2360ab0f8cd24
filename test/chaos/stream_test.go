package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"dialtone/test/system"
)

const (
	// syncCallers wait for their answers, asyncCallers do not.
	syncCallers, asyncCallers = 6, 2
	// patience is how long a caller sends the same request again until it is
	// answered. No fault lasts nearly as long.
	patience = 90 * time.Second
)

// accepted is one batch that was taken on, and how its caller was answered.
type accepted struct {
	batch string
	ids   []string
	// results are nil for a caller that did not wait.
	results []system.Result
	// sent and answered are of the request that was answered in the end.
	sent, answered time.Time
	attempts       int
}

// stream is callers that send batches, each under an Idempotency-Key, and send
// a request again until it is answered.
type stream struct {
	t       *testing.T
	s       *system.System
	targets *targets
	// gone says whether the api was away at some time since then.
	gone func(since time.Time) bool

	mu       sync.Mutex
	accepted []accepted
	calling  sync.WaitGroup
}

// run starts the callers. Each ends with its last batch once stop is closed, and
// at once when the test has failed.
func (m *stream) run(seed uint64, stop <-chan struct{}) {
	for i := range syncCallers + asyncCallers {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		m.calling.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-m.t.Context().Done():
					return
				default:
				}
				async := i >= syncCallers
				m.send(rng, fmt.Sprintf("c%d-%d", i, n), async)
				if async {
					time.Sleep(500 * time.Millisecond)
				}
			}
		})
	}
	m.t.Cleanup(m.calling.Wait) // before anything is taken down
}

// batch makes the entries of one: mostly of those that log in, for it is with
// them that something can go wrong.
func (m *stream) batch(rng *rand.Rand, name string) (entries []system.Entry, ids []string) {
	kinds := []kind{healthy, slow, healthy, slow}
	if rng.IntN(3) == 0 {
		kinds = append(kinds, refused, silent)
	}
	for i, k := range kinds {
		id := fmt.Sprintf("%s-%s-%d", k, name, i)
		ids = append(ids, id)
		entries = append(entries, m.targets.entry(k, id))
	}
	return entries, ids
}

// send sends one batch until it is answered.
func (m *stream) send(rng *rand.Rand, name string, async bool) {
	entries, ids := m.batch(rng, name)
	header := []string{"Idempotency-Key", name}
	if async {
		header = append(header, "Prefer", "respond-async")
	}
	began := time.Now()
	for attempt := 1; time.Since(began) < patience; attempt++ {
		sent := time.Now()
		a, err := m.call(entries, header)
		answered := time.Now()
		switch {
		case m.t.Context().Err() != nil:
			return
		case err != nil:
			if !m.gone(sent) {
				m.t.Errorf("batch %s got no answer while the api lived: %v", name, err)
			}
		case a.Status == http.StatusOK || a.Status == http.StatusAccepted:
			one := accepted{batch: a.Header.Get("X-Batch-Id"), ids: ids, sent: sent, answered: answered, attempts: attempt}
			if a.Status == http.StatusOK {
				var r system.Results
				a.Decode(m.t, &r)
				one.results = r.Results
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			m.accepted = append(m.accepted, one)
			return
		case a.Status == http.StatusServiceUnavailable || a.Status == http.StatusConflict || a.Status == http.StatusTooManyRequests:
			if took := answered.Sub(sent); took > wait+late {
				m.t.Errorf("batch %s was answered with %d only after %s", name, a.Status, took)
			}
		default:
			m.t.Errorf("batch %s was answered with %d %s", name, a.Status, a.Body)
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	m.t.Errorf("batch %s was not answered within %s", name, patience)
}

func (m *stream) call(entries []system.Entry, header []string) (system.Answer, error) {
	ctx, cancel := context.WithTimeout(m.t.Context(), 3*wait)
	defer cancel()
	return m.s.Call(ctx, http.MethodPost, "/jobs/batch-connection", map[string]any{"jobs": entries}, header...)
}
