package secret

import (
	"html"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxViews is how many layers of escapes are taken off a text: what a server
// puts into JSON, and another one into JSON again, is three.
const maxViews = 3

// view is a text with some of its writing undone, which knows where each of its
// bytes came from.
type view struct {
	text string
	// from has the span of the original that became each byte.
	from []span
}

// original is the span of the original that a span of the view stands for.
func (v view) original(s span) span { return span{v.from[s.from].from, v.from[s.to-1].to} }

// asItIs is the view that leaves everything alone.
func asItIs(text string) view {
	from := make([]span, len(text))
	for i := range from {
		from[i] = span{i, i + 1}
	}
	return view{text, from}
}

// rewrite makes a view of a view. read gives what stands for the beginning of a
// text and how many bytes of it that is; it takes at least one.
func (v view) rewrite(read func(string) (plain string, taken int)) view {
	var b strings.Builder
	next := view{from: make([]span, 0, len(v.from))}
	for i := 0; i < len(v.text); {
		plain, taken := read(v.text[i:])
		b.WriteString(plain)
		for range len(plain) {
			next.from = append(next.from, span{v.from[i].from, v.from[i+taken-1].to})
		}
		i += taken
	}
	next.text = b.String()
	return next
}

// unescaped gives the text with one layer of escapes taken off after the other,
// as often as there are any. The zeros of UTF-16 count as one.
func unescaped(text string) []view {
	var views []view
	for v := asItIs(text); len(views) < maxViews && strings.ContainsAny(v.text, "%\\&\x00"); {
		read := unescape
		if strings.IndexByte(v.text, 0) >= 0 {
			read = withoutZeros
		}
		next := v.rewrite(read)
		if next.text == v.text {
			break
		}
		views, v = append(views, next), next
	}
	return views
}

// withoutZeros reads UTF-16 of either order, as far as half of it is zeros.
func withoutZeros(text string) (plain string, taken int) {
	_, size := utf8.DecodeRuneInString(text)
	switch {
	case size > 1: // somebody took its bytes for text
		return text[:size], size
	case len(text) > 1 && text[0] != 0 && text[1] == 0:
		return string(rune(text[0])), 2
	case len(text) > 1 && text[0] == 0 && text[1] >= utf8.RuneSelf:
		return string(rune(text[1])), 2
	case text[0] == 0:
		return "", 1
	default:
		return text[:1], 1
	}
}

// unescape reads one character, or one escape: of URLs, of JSON, Go and SQL, of
// HTML, of distinguished names, where a backslash protects any character.
func unescape(text string) (plain string, taken int) {
	switch text[0] {
	case '%':
		if b, ok := hexByte(text, 1); ok {
			return string([]byte{b}), 3
		}
	case '&':
		if end := strings.IndexByte(text[:min(len(text), 10)], ';'); end > 0 {
			if plain = html.UnescapeString(text[:end+1]); plain != text[:end+1] {
				return plain, end + 1
			}
		}
	case '\\':
		return unescapeBackslash(text)
	}
	return text[:1], 1
}

func unescapeBackslash(text string) (plain string, taken int) {
	if len(text) < 2 {
		return text, len(text)
	}
	switch c := text[1]; {
	case c == 'x' || c == 'X':
		if b, ok := hexByte(text, 2); ok {
			return string([]byte{b}), 4
		}
	case c == 'u':
		if r, ok := hexRune(text, 2, 4); ok {
			if low, ok := hexRune(text, 8, 4); ok && utf16.IsSurrogate(r) && text[6:8] == `\u` {
				return string(utf16.DecodeRune(r, low)), 12
			}
			return string(r), 6
		}
	case c == 'U':
		if r, ok := hexRune(text, 2, 8); ok {
			return string(r), 10
		}
	case '0' <= c && c <= '3' && len(text) >= 4:
		if n, err := strconv.ParseUint(text[1:4], 8, 8); err == nil {
			return string([]byte{byte(n)}), 4
		}
	}
	if b, ok := hexByte(text, 1); ok { // of distinguished names
		return string([]byte{b}), 3
	}
	if i := strings.IndexByte("abfnrtv", text[1]); i >= 0 {
		return "\a\b\f\n\r\t\v"[i : i+1], 2
	}
	return text[1:2], 2
}

func hexByte(text string, from int) (byte, bool) {
	if len(text) < from+2 {
		return 0, false
	}
	n, err := strconv.ParseUint(text[from:from+2], 16, 8)
	return byte(n), err == nil
}

func hexRune(text string, from, digits int) (rune, bool) {
	if len(text) < from+digits {
		return 0, false
	}
	n, err := strconv.ParseInt(text[from:from+digits], 16, 32)
	return rune(n), err == nil && 0 <= n && n <= utf8.MaxRune
}

// squeezed is the text without what stands between the bytes of a hex dump.
func squeezed(text string) view {
	return asItIs(text).rewrite(func(rest string) (string, int) {
		if len(rest) > 2 && (rest[0] == '0' || rest[0] == '\\') && (rest[1] == 'x' || rest[1] == 'X') {
			return rest[2:3], 3
		}
		if strings.IndexByte(" ,:;-\t\r\n", rest[0]) >= 0 {
			return "", 1
		}
		return rest[:1], 1
	})
}
