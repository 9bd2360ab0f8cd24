package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// progress shows on a terminal how far the tests are and what they wait for.
// Elsewhere it is silent.
type progress struct {
	c     console
	total int
	began time.Time
	quit  chan struct{}
	idle  sync.WaitGroup

	mu      sync.Mutex
	running []string
	done    int
	failed  int
}

func newProgress(c console, total int) *progress {
	p := &progress{c: c, total: total, began: time.Now(), quit: make(chan struct{})}
	if c.terminal {
		p.idle.Go(p.animate)
	}
	return p
}

// start notes that the endpoint of this name is being tested.
func (p *progress) start(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = append(p.running, name)
}

// finish notes that it is not any more.
func (p *progress) finish(name string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.running, name); i >= 0 {
		p.running = slices.Delete(p.running, i, i+1)
	}
	p.done++
	if !ok {
		p.failed++
	}
}

// end takes the line away.
func (p *progress) end() {
	close(p.quit)
	p.idle.Wait()
}

func (p *progress) animate() {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for frame := 0; ; frame++ {
		select {
		case <-p.quit:
			p.draw("")
			return
		case <-tick.C:
			p.draw(clip(p.line(frame), cmp.Or(p.c.columns, 80)-1))
		}
	}
}

// draw replaces the line. A terminal that is gone is no reason to stop.
func (p *progress) draw(line string) { _, _ = fmt.Fprint(p.c.stderr, "\r\x1b[K"+line) }

// line is one frame.
func (p *progress) line(frame int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	signs := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	text := fmt.Sprintf("%c %d of %d tested", signs[frame%len(signs)], p.done, p.total)
	if p.failed > 0 {
		text += fmt.Sprintf(", %d failed", p.failed)
	}
	text += fmt.Sprintf(", %.1f s", time.Since(p.began).Seconds())
	if len(p.running) > 0 {
		text += ": " + strings.Join(p.running, ", ")
	}
	return text
}
