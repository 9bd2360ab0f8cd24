package telemetry

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// How denials are counted by project. A project is no closed set, so that what
// is kept and what is shown are bounded: the series are those of the few
// projects that were denied most, and they end when the denials do.
const (
	denialSlots   = 20 // of the window
	denialSlot    = 30 * time.Second
	projectsKept  = 1000 // beyond them all count as one
	projectsShown = 20
)

// denials counts the denials of the last ten minutes by project. It is a gauge
// and not a counter because a counter's first value shows no increase: a
// project that was never denied before is the one to hear of.
type denials struct {
	desc *prometheus.Desc

	mu       sync.Mutex
	projects map[string]*window
	rest     window // of the projects that are not kept
}

// window counts what happened in the last slots.
type window struct {
	counts [denialSlots]int
	newest int64 // the slot since the epoch that was counted in last
}

func newDenials() *denials {
	return &denials{
		projects: map[string]*window{},
		desc:     describe("dialtone_egress_denied_recent", "Addresses denied within the last ten minutes, by project, of those that were denied most; the others together.", "project"),
	}
}

// add counts one denial.
func (d *denials) add(project string) {
	now := slotOf(time.Now())
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.projects[project]
	if w == nil && len(d.projects) >= projectsKept {
		d.forget(now)
	}
	switch {
	case w != nil:
	case len(d.projects) < projectsKept:
		w = &window{}
		d.projects[project] = w
	default:
		w = &d.rest
	}
	w.roll(now)
	w.counts[now%denialSlots]++
}

// forget drops the projects that had no denial within the window.
func (d *denials) forget(now int64) {
	for project, w := range d.projects {
		if now-w.newest >= denialSlots {
			delete(d.projects, project)
		}
	}
}

func slotOf(t time.Time) int64 { return t.UnixNano() / int64(denialSlot) }

// roll empties the slots that have gone by.
func (w *window) roll(now int64) {
	for range min(max(now-w.newest, 0), denialSlots) {
		w.newest++
		w.counts[w.newest%denialSlots] = 0
	}
	if w.newest < now { // more than a window has gone by, and all is empty
		w.newest = now
	}
}

// sum is what is left of the window.
func (w *window) sum(now int64) int {
	w.roll(now)
	total := 0
	for _, n := range w.counts {
		total += n
	}
	return total
}

// Describe names the metric.
func (d *denials) Describe(to chan<- *prometheus.Desc) { to <- d.desc }

// Collect shows the projects that were denied most.
func (d *denials) Collect(to chan<- prometheus.Metric) {
	top, rest := d.top()
	for _, p := range top {
		to <- prometheus.MustNewConstMetric(d.desc, prometheus.GaugeValue, float64(p.denied), p.project)
	}
	to <- prometheus.MustNewConstMetric(d.desc, prometheus.GaugeValue, float64(rest), other)
}

// offender is a project and how often it was denied.
type offender struct {
	project string
	denied  int
}

// top gives the projects to show, and what all the others have together.
func (d *denials) top() (top []offender, rest int) {
	now := slotOf(time.Now())
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(now)
	rest = d.rest.sum(now)
	for project, w := range d.projects {
		// A name of ours, and what is no text, can be no series.
		if n := w.sum(now); project == other || project != strings.ToValidUTF8(project, "") {
			rest += n
		} else {
			top = append(top, offender{project, n})
		}
	}
	slices.SortFunc(top, func(a, b offender) int {
		return cmp.Or(cmp.Compare(b.denied, a.denied), cmp.Compare(a.project, b.project))
	})
	for _, p := range top[min(len(top), projectsShown):] {
		rest += p.denied
	}
	return top[:min(len(top), projectsShown)], rest
}
