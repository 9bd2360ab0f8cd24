package auth

import (
	"crypto/sha256"
	"sync"
	"time"
)

// cache remembers answers by the hash of the token, each until its time, and
// never more than size of them.
type cache struct {
	mu      sync.Mutex
	size    int
	entries map[[sha256.Size]byte]cached
}

type cached struct {
	answer answer
	until  time.Time
}

func newCache(size int) *cache {
	return &cache{size: size, entries: map[[sha256.Size]byte]cached{}}
}

func (c *cache) get(hash [sha256.Size]byte, now time.Time) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[hash]
	if !ok {
		return answer{}, false
	}
	if !now.Before(e.until) {
		delete(c.entries, hash)
		return answer{}, false
	}
	return e.answer, true
}

func (c *cache) put(hash [sha256.Size]byte, a answer, until, now time.Time) {
	if !now.Before(until) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, present := c.entries[hash]; !present && len(c.entries) >= c.size {
		c.makeRoom(now)
	}
	c.entries[hash] = cached{a, until}
}

// makeRoom looks at a few entries in the map's random order and drops those
// that have run out, or else the one that would run out first: near enough to
// the oldest, and bounded work however large the cache.
func (c *cache) makeRoom(now time.Time) {
	const look = 16
	var first [sha256.Size]byte
	var until time.Time
	looked, dropped := 0, false
	for hash, e := range c.entries {
		if !now.Before(e.until) {
			delete(c.entries, hash)
			dropped = true
		} else if until.IsZero() || e.until.Before(until) {
			first, until = hash, e.until
		}
		if looked++; looked == look {
			break
		}
	}
	if !dropped {
		delete(c.entries, first)
	}
}
