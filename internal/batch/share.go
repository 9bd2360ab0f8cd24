package batch

import (
	"crypto/sha256"
	"encoding/json"
	"sync"
	"time"

	"dialtone/internal/probe"
)

// shares is a token bucket for each project, kept as the moment at which it
// would be full again: a bucket that is full needs no entry.
type shares struct {
	every time.Duration // one token; zero: no limit
	burst int

	mu    sync.Mutex
	full  map[string]time.Time
	swept time.Time
}

func newShares(perSecond float64, burst int) *shares {
	s := &shares{burst: max(burst, 1), full: map[string]time.Time{}}
	if perSecond > 0 {
		s.every = time.Duration(float64(time.Second) / perSecond)
	}
	return s
}

// take takes a token, and says how long it is until there is one.
func (s *shares) take(project string, now time.Time) time.Duration {
	if s.every == 0 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.swept) > time.Minute {
		s.swept = now
		for p, full := range s.full {
			if full.Before(now) {
				delete(s.full, p)
			}
		}
	}
	full := s.full[project]
	if full.Before(now) {
		full = now
	}
	s.full[project] = full.Add(s.every)
	return max(full.Sub(now)-time.Duration(s.burst-1)*s.every, 0)
}

// identity is equal for tests that would do the very same. It is made of
// secrets: it must not outlive the request.
type identity [sha256.Size]byte

// identify gives a test's identity; false when it cannot be told.
func identify(network string, t probe.Target) (identity, bool) {
	open, secrets := t.Split()
	text, err := json.Marshal([]any{network, open, secrets})
	return sha256.Sum256(text), err == nil
}
