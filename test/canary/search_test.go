package canary_test

import (
	"bytes"
	"fmt"
)

// searcher finds markers in bytes, whatever the case of their letters.
type searcher struct {
	// starts marks the first three bytes of every needle.
	starts [1 << 24 / 8]byte
	// needles are by their first three bytes.
	needles map[uint32][]needle
	count   int
}

type needle struct {
	text   []byte
	form   string
	marker *marker
}

// finding is a marker where it should not be.
type finding struct {
	marker *marker
	form   string
	offset int
	around string
}

func (f finding) String() string {
	return fmt.Sprintf("%s, %s, at byte %d: %q", f.marker, f.form, f.offset, f.around)
}

func newSearcher(markers []*marker) *searcher {
	s := &searcher{needles: map[uint32][]needle{}}
	known := map[string]bool{}
	for _, m := range markers {
		for _, c := range m.cores {
			for _, p := range patterns(c) {
				text := fold([]byte(p.text))
				if known[string(text)] {
					continue
				}
				known[string(text)] = true
				key := start(text)
				s.starts[key/8] |= 1 << (key % 8)
				s.needles[key] = append(s.needles[key], needle{text, p.form, m})
				s.count++
			}
		}
	}
	return s
}

func start(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }

// fold copies b with ASCII letters in lower case.
func fold(b []byte) []byte {
	folded := make([]byte, len(b))
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		folded[i] = c
	}
	return folded
}

// search gives every place where a marker is; of each marker and form the first
// one. What is text inside of text has more backslashes, which do not matter.
func (s *searcher) search(data []byte) []finding {
	found := s.scan(data)
	if bytes.Contains(data, []byte(`\\`)) {
		for _, f := range s.scan(fewerBackslashes(data)) {
			f.form += ", with more backslashes"
			found = append(found, f)
		}
	}
	return found
}

// fewerBackslashes is data with one in the place of each run of them.
func fewerBackslashes(data []byte) []byte {
	fewer := make([]byte, 0, len(data))
	for i, c := range data {
		if c != '\\' || i == 0 || data[i-1] != '\\' {
			fewer = append(fewer, c)
		}
	}
	return fewer
}

func (s *searcher) scan(data []byte) []finding {
	var found []finding
	seen := map[*marker]map[string]bool{}
	folded := fold(data)
	for i := 0; i+3 <= len(folded); i++ {
		key := start(folded[i:])
		if s.starts[key/8]&(1<<(key%8)) == 0 {
			continue
		}
		for _, n := range s.needles[key] {
			if !bytes.HasPrefix(folded[i:], n.text) || seen[n.marker][n.form] {
				continue
			}
			if seen[n.marker] == nil {
				seen[n.marker] = map[string]bool{}
			}
			seen[n.marker][n.form] = true
			found = append(found, finding{n.marker, n.form, i, string(data[max(0, i-120):min(len(data), i+len(n.text)+60)])})
		}
	}
	return found
}
