package canary_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// marker is a secret that is like no other, and is known by its cores: pieces
// of it that no escaping of text changes. Whoever cuts a secret, or escapes it
// in a way that nobody thought of, still shows one of them.
type marker struct {
	// field is where it was put: "TestEndPoint.db_password" for a field of the
	// document, the name of a variable, a header, a file.
	field string
	// use tells it from the others in the field.
	use string
	// value is all of it.
	value string
	cores []string
}

func (m *marker) String() string { return m.field + " (" + m.use + ")" }

// registry has every marker that a run has drawn. It is safe for concurrent
// use.
type registry struct {
	mu      sync.Mutex
	markers []*marker
}

// awkward has a character for each way of escaping: quotes of JSON, SQL and Go,
// what URLs, forms and HTML treat apart, a blank, and one beyond ASCII.
const awkward = `"<&%/+ é'\`

// The middle of a marker, by what its field admits.
const (
	anything  = awkward
	printable = `"<&%/+='`
	plain     = "0z"
)

// core is 16 characters, 80 bits, in both cases.
func core() string {
	b := []byte(rand.Text()[:16])
	for i := 0; i < len(b); i += 2 {
		b[i] |= 0x20 // digits have that bit already
	}
	return string(b)
}

// draw makes a marker for a field and gives its value.
func (r *registry) draw(field, use, middle string) string {
	head, tail := core(), core()
	return r.add(&marker{field: field, use: use, value: head + middle + tail, cores: []string{head, tail}})
}

// number draws a marker that is a number of JSON, which some print as a
// floating-point one.
func (r *registry) number(field, use string) string {
	var b strings.Builder
	b.WriteByte('7')
	for _, c := range []byte(rand.Text()[:17]) {
		b.WriteByte('0' + c%10)
	}
	digits := b.String()
	return r.add(&marker{field: field, use: use, value: digits, cores: []string{digits[:16], "7." + digits[1:13]}})
}

// found registers a secret that could not be drawn, a key or a file, by pieces
// of it.
func (r *registry) found(field, use, value string, cores ...string) {
	if len(cores) == 0 {
		cores = pieces(value)
	}
	r.add(&marker{field: field, use: use, value: value, cores: cores})
}

// pieces are three stretches of a longer secret.
func pieces(value string) []string {
	const long = 20
	if len(value) <= long {
		return []string{value}
	}
	last := len(value) - long
	return []string{value[last/4:][:long], value[last/2:][:long], value[last*3/4:][:long]}
}

func (r *registry) add(m *marker) string {
	for _, c := range m.cores {
		if len(c) < 12 {
			panic(fmt.Sprintf("%s is known by a piece so short that it may be anywhere", m))
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.markers = append(r.markers, m)
	return m.value
}

// all gives what was drawn so far.
func (r *registry) all() []*marker {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clip(r.markers)
}

// uses gives the uses of each field.
func (r *registry) uses() map[string][]string {
	uses := map[string][]string{}
	for _, m := range r.all() {
		uses[m.field] = append(uses[m.field], m.use)
	}
	return uses
}
