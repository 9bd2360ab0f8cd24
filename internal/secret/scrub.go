package secret

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// scrubRead bounds the work on one text; scrubKeep is what is kept of it.
	scrubRead = 16 << 10
	scrubKeep = 256
	// scrubLeast is the length from which a secret is looked for: shorter
	// ones occur in every text by chance.
	scrubLeast = 3
	// scrubBegun is the length from which a secret is found that the end of the
	// text cuts off: servers cut their texts, too.
	scrubBegun = 8
)

// Scrub makes text from elsewhere (a server's message, a driver's error) fit
// to show: every secret of at least 3 characters becomes "[redacted]", in any
// letter case and in its URL-, base64-, hex-, JSON-, Go-, HTML- and DN-escaped
// forms, one inside of another too, and as a list of bytes, also where the end of
// the text cuts it off after 8 bytes or more; then the text is cut to 256
// characters, all of them printable.
func Scrub(text string, secrets ...Text) string {
	return NewScrubber(secrets...).Scrub(text)
}

// Scrubber is Scrub for many texts: the forms of its secrets, of which there
// are a dozen each, are made once. It is safe for concurrent use.
type Scrubber struct {
	// forms are all of them, dumps those of a list of bytes in hexadecimal digits.
	forms, dumps []form
}

// NewScrubber makes a Scrubber that hides these secrets.
func NewScrubber(secrets ...Text) *Scrubber {
	return &Scrubber{forms: allForms(secrets), dumps: dumpForms(secrets)}
}

// Scrub is the function Scrub with the Scrubber's secrets.
func (c *Scrubber) Scrub(text string) string {
	forms := c.forms
	var spans []span
	if len(text) > scrubRead {
		text = text[:scrubRead]
		// The start of a secret may lie just before the cut, its end beyond.
		longest := 0
		for _, f := range forms {
			longest = max(longest, len(f.text)+1)
		}
		for _, f := range c.dumps { // of two digits for each byte; an escape has up to seven characters
			longest = max(longest, 7*len(f.text)/2)
		}
		spans = append(spans, span{max(0, len(text)-longest), len(text)})
	}
	spans = append(spans, find(text, forms)...)
	for _, v := range unescaped(text) {
		for _, s := range find(v.text, forms) {
			spans = append(spans, v.original(s))
		}
	}
	if len(c.dumps) > 0 {
		v := squeezed(text)
		for _, s := range find(v.text, c.dumps) {
			spans = append(spans, v.original(s))
		}
	}
	return printable(redact(text, merge(spans)))
}

// span is a half-open range of bytes of a text.
type span struct{ from, to int }

// find returns every span of text that a form covers.
func find(text string, forms []form) []span {
	folded := fold(text)
	var spans []span
	for _, f := range forms {
		for at := 0; ; {
			i := strings.Index(folded[at:], f.text)
			if i < 0 {
				break
			}
			spans = append(spans, f.widen(text, span{at + i, at + i + len(f.text)}))
			at += i + 1 // by one: a secret may overlap itself
		}
		if n := begun(folded, f.text); n > 0 {
			spans = append(spans, f.widen(text, span{len(text) - n, len(text)}))
		}
	}
	return spans
}

// begun is how much of a form the text ends with, 0 if that says nothing.
func begun(text, form string) int {
	for n := min(len(text), len(form)-1); n >= scrubBegun; n-- {
		if text[len(text)-n] == form[0] && strings.HasSuffix(text, form[:n]) {
			return n
		}
	}
	return 0
}

// merge puts spans in order and joins those that overlap or touch.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	merged := spans[:0]
	for _, s := range spans {
		if n := len(merged); n > 0 && s.from <= merged[n-1].to {
			merged[n-1].to = max(merged[n-1].to, s.to)
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

func redact(text string, spans []span) string {
	if len(spans) == 0 {
		return text
	}
	var b strings.Builder
	at := 0
	for _, s := range spans {
		b.WriteString(text[at:s.from])
		b.WriteString(redacted)
		at = s.to
	}
	b.WriteString(text[at:])
	return b.String()
}

// printable replaces what a terminal or a log could act on, and cuts.
func printable(text string) string {
	var b strings.Builder
	count := 0
	for _, r := range strings.TrimSpace(text) {
		if count == scrubKeep {
			break
		}
		count++
		switch {
		case unicode.IsSpace(r):
			b.WriteByte(' ')
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteRune(utf8.RuneError)
		}
	}
	return b.String()
}

// fold lowers ASCII letters and nothing else, so that offsets stay.
func fold(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
