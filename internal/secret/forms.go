package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// form is one way in which a secret may be written, folded to lower case.
type form struct {
	text string
	// inner marks the middle of a longer base64 text: the letters beside it
	// hold bits of the secret too and go with it.
	inner bool
}

// widen extends the span of an inner form by the base64 letter on each side.
func (f form) widen(text string, s span) span {
	if !f.inner {
		return s
	}
	if s.from > 0 && isBase64(text[s.from-1]) {
		s.from--
	}
	if s.to < len(text) && isBase64(text[s.to]) {
		s.to++
	}
	return s
}

func isBase64(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("+/-_", c) >= 0
}

// allForms lists every form of every secret, each once.
func allForms(secrets []Text) []form {
	var forms []form
	seen := map[form]bool{}
	add := func(s string, inner bool) {
		f := form{text: fold(s), inner: inner}
		if len(f.text) >= scrubLeast && !seen[f] {
			seen[f] = true
			forms = append(forms, f)
		}
	}
	for _, t := range secrets {
		for _, s := range parts(t.Reveal()) {
			if utf8.RuneCountInString(s) < scrubLeast {
				continue
			}
			for _, escaped := range escapedForms(s) {
				add(escaped, false)
			}
			for _, enc := range []*base64.Encoding{
				base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding,
			} {
				add(enc.EncodeToString([]byte(s)), false)
			}
			for offset := range 3 {
				add(innerBase64(base64.RawStdEncoding, s, offset), true)
				add(innerBase64(base64.RawURLEncoding, s, offset), true)
			}
		}
	}
	return forms
}

// dumpForms are the secrets in hexadecimal digits, with nothing between them.
func dumpForms(secrets []Text) []form {
	var forms []form
	for _, t := range secrets {
		for _, s := range parts(t.Reveal()) {
			if utf8.RuneCountInString(s) >= scrubLeast {
				forms = append(forms, form{text: hex.EncodeToString([]byte(s))})
			}
		}
	}
	return forms
}

// wide is s in UTF-16.
func wide(s string, order binary.AppendByteOrder) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, unit)
	}
	return string(b)
}

// lossy has a mark in the place of each character that is not of ASCII, as
// after a conversion to a character set without it. Where too little would be
// left it is s itself: marks alone are everywhere.
func lossy(s, mark string) string {
	var b strings.Builder
	kept := 0
	for _, r := range s {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
			kept++
		} else {
			b.WriteString(mark)
		}
	}
	if kept < scrubLeast {
		return s
	}
	return b.String()
}

// latin1 is s in ISO 8859-1, as far as that has its characters.
func latin1(s string) string {
	var b []byte
	for _, r := range s {
		if r > 0xFF {
			return s
		}
		b = append(b, byte(r&0xFF))
	}
	return string(b)
}

// decimals writes the bytes as numbers.
func decimals(s, between string) string {
	var b strings.Builder
	for i := range len(s) {
		if i > 0 {
			b.WriteString(between)
		}
		b.WriteString(strconv.Itoa(int(s[i])))
	}
	return b.String()
}

// parts returns the secret and, where it has several lines (a PEM key), each
// line that is long enough to be more than decoration.
func parts(s string) []string {
	all := []string{s}
	if !strings.Contains(s, "\n") {
		return all
	}
	for line := range strings.SplitSeq(s, "\n") {
		line = strings.TrimSpace(line)
		if len(line) >= 16 && !strings.HasPrefix(line, "-----") {
			all = append(all, line)
		}
	}
	return all
}

func escapedForms(s string) []string {
	query := url.QueryEscape(s)
	forms := []string{
		s,
		query,
		strings.ReplaceAll(query, "+", "%20"),
		url.PathEscape(s),
		url.User(s).String(),
		percentAll(s),
		hex.EncodeToString([]byte(s)),
		fmt.Sprintf("% x", s),
		wide(s, binary.LittleEndian), wide(s, binary.BigEndian),
		lossy(s, "?"), lossy(s, "\ufffd"), latin1(s),
		decimals(s, " "), decimals(s, ","), decimals(s, ", "),
		inner(strconv.Quote(s)),
		inner(strconv.QuoteToASCII(s)),
		html.EscapeString(s),
		// SQL text doubles quotes and escapes backslashes.
		strings.ReplaceAll(s, "'", "''"),
		strings.NewReplacer(`\`, `\\`, "'", `\'`, `"`, `\"`).Replace(s),
	}
	for _, escape := range []bool{true, false} {
		quoted := jsonQuote(s, escape)
		forms = append(forms, quoted, html.EscapeString(quoted), asciiJSON(quoted))
	}
	return forms
}

// jsonQuote is the inside of s as a JSON string, with or without <, > and &
// written as \u escapes.
func jsonQuote(s string, escapeHTML bool) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(escapeHTML)
	if enc.Encode(s) != nil {
		return s
	}
	return inner(strings.TrimSuffix(b.String(), "\n"))
}

// asciiJSON writes what is beyond ASCII as \u escapes, as many encoders do.
func asciiJSON(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		case r > 0xFFFF:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xD800+r>>10, 0xDC00+r&0x3FF)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// percentAll escapes all but letters, digits and -_.~ as RFC 3986 has it.
func percentAll(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// inner drops the quotes around s.
func inner(quoted string) string { return quoted[1 : len(quoted)-1] }

// innerBase64 is the run of letters that s alone decides when it is encoded
// as part of something longer, at the given offset modulo 3.
func innerBase64(enc *base64.Encoding, s string, offset int) string {
	padded := make([]byte, offset+len(s))
	copy(padded[offset:], s)
	encoded := enc.EncodeToString(padded)
	from := (offset*8 + 5) / 6
	to := len(padded) * 8 / 6
	return encoded[from:to]
}
