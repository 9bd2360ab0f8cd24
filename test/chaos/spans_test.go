package chaos_test

import (
	"slices"
	"sync"
	"testing"
	"time"
)

// span is a stretch of time; without an end it goes on.
type span struct{ from, to time.Time }

func (s span) holds(moment time.Time) bool {
	return !moment.Before(s.from) && (s.to.IsZero() || moment.Before(s.to))
}

// absence is when somebody was away.
type absence struct {
	mu    sync.Mutex
	spans []*span
}

// begin notes that it is away from now on, and gives what notes that it is back.
func (a *absence) begin() (end func()) {
	s := &span{from: time.Now()}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.spans = append(a.spans, s)
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		s.to = time.Now()
	}
}

func (a *absence) list() []span {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]span, len(a.spans))
	for i, s := range a.spans {
		list[i] = *s
	}
	return list
}

// allAway is for how long, within a stretch of time, each of them was away.
func allAway(from, to time.Time, whose ...[]span) time.Duration {
	moments := []time.Time{from, to}
	for _, spans := range whose {
		for _, s := range spans {
			for _, moment := range []time.Time{s.from, s.to} {
				if moment.After(from) && moment.Before(to) {
					moments = append(moments, moment)
				}
			}
		}
	}
	slices.SortFunc(moments, time.Time.Compare)
	var sum time.Duration
	for i := 1; i < len(moments); i++ {
		away := func(spans []span) bool {
			return slices.ContainsFunc(spans, func(s span) bool { return s.holds(moments[i-1]) })
		}
		if !slices.ContainsFunc(whose, func(spans []span) bool { return !away(spans) }) {
			sum += moments[i].Sub(moments[i-1])
		}
	}
	return sum
}

// TestAllAway: what is forgiven is only the time in which nobody was there.
func TestAllAway(t *testing.T) {
	t.Parallel()
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	for name, tt := range map[string]struct {
		whose [][]span
		want  time.Duration
	}{
		"nobody away":           {[][]span{{}, {}}, 0},
		"one of two":            {[][]span{{{at(2), at(8)}}, {}}, 0},
		"one after the other":   {[][]span{{{at(2), at(4)}}, {{at(4), at(8)}}}, 0},
		"overlap":               {[][]span{{{at(2), at(6)}}, {{at(4), at(8)}}}, 2 * time.Second},
		"two overlaps":          {[][]span{{{at(1), at(3)}, {at(5), at(7)}}, {{at(2), at(6)}}}, 2 * time.Second},
		"beyond the stretch":    {[][]span{{{at(-5), at(1)}}, {{at(-9), time.Time{}}}}, time.Second},
		"not back yet":          {[][]span{{{at(7), time.Time{}}}}, 3 * time.Second},
		"twice for two reasons": {[][]span{{{at(2), at(5)}, {at(4), at(6)}}}, 4 * time.Second},
	} {
		if got := allAway(at(0), at(10), tt.whose...); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}
