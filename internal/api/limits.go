package api

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limits holds a token bucket for each project. Only projects that passed
// authentication get one, so their number is that of real projects; buckets
// that have been full again for a while are dropped all the same.
type limits struct {
	rate  rate.Limit
	burst int

	mu      sync.Mutex
	buckets map[string]*bucket
	swept   time.Time
}

type bucket struct {
	*rate.Limiter
	used time.Time
}

// idle is how long a bucket is kept after its last use.
const idle = 10 * time.Minute

func newLimits(perSecond float64, burst int) *limits {
	r := rate.Limit(perSecond)
	if perSecond < 0 {
		r = rate.Inf
	}
	return &limits{rate: r, burst: burst, buckets: map[string]*bucket{}}
}

// take takes a token, or says when there will be one.
func (l *limits) take(project string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.swept) > idle {
		l.swept = now
		for name, b := range l.buckets {
			if now.Sub(b.used) > idle {
				delete(l.buckets, name)
			}
		}
	}
	b := l.buckets[project]
	if b == nil {
		b = &bucket{Limiter: rate.NewLimiter(l.rate, l.burst)}
		l.buckets[project] = b
	}
	b.used = now
	r := b.ReserveN(now, 1)
	after := r.DelayFrom(now)
	if after > 0 {
		r.CancelAt(now)
	}
	return after
}

// streams counts the open event streams of each project that has any.
type streams struct {
	most int

	mu    sync.Mutex
	count map[string]int
}

func newStreams(most int) *streams { return &streams{most: most, count: map[string]int{}} }

// open counts one more, unless there are enough.
func (s *streams) open(project string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[project] >= s.most {
		return false
	}
	s.count[project]++
	return true
}

// end takes back an open that was granted.
func (s *streams) end(project string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[project]--; s.count[project] <= 0 {
		delete(s.count, project)
	}
}
