package canary_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// place is somewhere that something is written or shown. What is added to it
// is kept apart, so that nothing is found across two things. It is safe for
// concurrent use.
type place struct {
	name string
	// holds are texts that are no secrets and must be found, or else the search
	// was of nothing.
	holds []string
	// admits are fields whose markers belong here, and why.
	admits map[string]string

	mu    sync.Mutex
	parts [][]byte
}

func (p *place) add(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parts = append(p.parts, bytes.Clone(b))
}

// stream gives what adds to one part.
func (p *place) stream() *stream {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parts = append(p.parts, nil)
	return &stream{p, len(p.parts) - 1}
}

// stream is a part that grows.
type stream struct {
	place *place
	part  int
}

func (s *stream) Write(b []byte) (int, error) {
	s.place.mu.Lock()
	defer s.place.mu.Unlock()
	s.place.parts[s.part] = append(s.place.parts[s.part], b...)
	return len(b), nil
}

// addFiles adds the files of a directory and their names, but for those that
// skip names.
func (p *place) addFiles(t *testing.T, dir string, skip ...string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		for _, name := range skip {
			if d.Name() == name {
				return nil
			}
		}
		p.add([]byte(path))
		raw, err := os.ReadFile(path)
		if err == nil {
			p.add(raw)
		}
		return err
	})
	if err != nil {
		t.Errorf("read %s: %v", p.name, err)
	}
}

// size is how many bytes there are.
func (p *place) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, part := range p.parts {
		n += len(part)
	}
	return n
}

// has says whether a text is somewhere.
func (p *place) has(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, part := range p.parts {
		if bytes.Contains(part, []byte(text)) {
			return true
		}
	}
	return false
}

// missing are the texts that should be here and are not.
func (p *place) missing() []string {
	var missing []string
	for _, text := range p.holds {
		if !p.has(text) {
			missing = append(missing, text)
		}
	}
	return missing
}

// search gives what is here and does not belong here.
func (p *place) search(s *searcher) []finding {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []finding
	for _, part := range p.parts {
		for _, f := range s.search(part) {
			if _, admitted := p.admits[f.marker.field]; !admitted {
				found = append(found, f)
			}
		}
	}
	return found
}

// report fails the test for what is found in a place, and for what is missing.
func (p *place) report(t *testing.T, s *searcher) (found int) {
	t.Helper()
	all := p.search(s)
	for i, f := range all {
		if i == 20 {
			t.Errorf("%s: and %d more", p.name, len(all)-i)
			break
		}
		t.Errorf("%s holds %s", p.name, f)
	}
	if missing := p.missing(); len(missing) > 0 {
		t.Errorf("%s does not hold %s: it was not the whole of it that was searched", p.name, strings.Join(missing, ", "))
	}
	return len(all)
}
