package canary_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
)

// form is a way in which a secret may be written.
type form struct {
	name  string
	write func(string) string
}

// forms are those that are looked for. They share no code with what scrubs.
func forms() []form {
	all := []form{
		{"raw", func(s string) string { return s }},
		{"URL query", url.QueryEscape},
		{"URL query, lower-case hex", lowerEscapes(url.QueryEscape)},
		{"URL query, blank as %20", func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }},
		{"URL path", url.PathEscape},
		{"URL path, lower-case hex", lowerEscapes(url.PathEscape)},
		{"URL userinfo", func(s string) string { return url.UserPassword("u", s).String()[2:] }},
		{"URL, every byte", eachByte("%%%02X")},
		{"hex", func(s string) string { return hex.EncodeToString([]byte(s)) }},
		{"hex, upper case", func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) }},
		{"hex, spaced", func(s string) string { return fmt.Sprintf("% x", s) }},
		{"hex, a list", func(s string) string { return strings.TrimSuffix(eachByte("0x%02x, ")(s), ", ") }},
		{`\x escapes`, eachByte(`\x%02x`)},
		{"decimal list", decimals},
		{"JSON", func(s string) string { return jsonInner(s) }},
		{"JSON, HTML not escaped", jsonPlain},
		{"JSON in ASCII", func(s string) string { return toASCII(jsonInner(s)) }},
		{"JSON, every character", func(s string) string { return eachUnit(s) }},
		{"JSON in JSON", func(s string) string { return jsonInner(jsonInner(s)) }},
		{"Go quoted", func(s string) string { return strings.Trim(strconv.Quote(s), `"`) }},
		{"Go quoted in ASCII", func(s string) string { return strings.Trim(strconv.QuoteToASCII(s), `"`) }},
		{"HTML", html.EscapeString},
		{"SQL", func(s string) string { return strings.ReplaceAll(s, "'", "''") }},
		{"UTF-16", utf16LE},
		{"Latin-1", func(s string) string { return strings.ReplaceAll(s, "é", "\xe9") }},
		{"ASCII with question marks", func(s string) string { return strings.ReplaceAll(s, "é", "?") }},
		{"lower case", strings.ToLower},
	}
	for _, enc := range []struct {
		name string
		enc  *base64.Encoding
	}{{"Base64", base64.StdEncoding}, {"Base64 URL", base64.URLEncoding}} {
		for before := range 3 {
			all = append(all, form{fmt.Sprintf("%s after %d bytes", enc.name, before), func(s string) string {
				return enc.enc.EncodeToString([]byte("abc"[:before] + s + "xyz"))
			}})
		}
	}
	return all
}

// eachByte writes every byte by a verb.
func eachByte(verb string) func(string) string {
	return func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			fmt.Fprintf(&b, verb, s[i])
		}
		return b.String()
	}
}

func decimals(s string) string { return strings.TrimSuffix(eachByte("%d ")(s), " ") }

// eachUnit writes every character as JSON's \u escape.
func eachUnit(s string) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, `\u%04x`, unit)
	}
	return b.String()
}

func utf16LE(s string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return string(b)
}

var percent = regexp.MustCompile(`%[0-9A-F]{2}`)

func lowerEscapes(escape func(string) string) func(string) string {
	return func(s string) string { return percent.ReplaceAllStringFunc(escape(s), strings.ToLower) }
}

// jsonInner is s inside of a JSON string, with <, > and & escaped.
func jsonInner(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return s
	}
	return string(b[1 : len(b)-1])
}

func jsonPlain(s string) string {
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(jsonInner(s))
}

// toASCII writes what is beyond ASCII as \u escapes.
func toASCII(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < 0x80 {
			b.WriteRune(r)
			continue
		}
		b.WriteString(eachUnit(string(r)))
	}
	return b.String()
}

// pattern is what is looked for of one core.
type pattern struct {
	form string
	text string
}

// patterns are the ways to write a core, each as far as it does not depend on
// what stands beside it. Text escapes leave a core alone, so that its raw form
// stands for all of them.
func patterns(core string) []pattern {
	all := []pattern{
		{"raw or as escaped text", core},
		{"URL, every byte", eachByte("%%%02x")(core)},
		{"hex", hex.EncodeToString([]byte(core))},
		{"hex, spaced", fmt.Sprintf("% x", core)},
		{"hex, a list", strings.TrimSuffix(eachByte("0x%02x, ")(core), ", ")},
		{`\x escapes`, eachByte(`\x%02x`)(core)},
		{"decimal list", decimals(core)},
		{"JSON, every character", eachUnit(core)},
	}
	for _, zero := range []string{"\x00", `\u0000`, `\x00`, "\ufffd"} {
		all = append(all, pattern{"UTF-16", strings.Join(strings.Split(core, ""), zero)})
	}
	for _, escape := range []func(string) string{url.QueryEscape, jsonInner} { // a core of a file's bytes, or of Base64
		if written := escape(core); written != core {
			all = append(all, pattern{"escaped", written})
		}
	}
	for before := range 3 {
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			encoded := enc.EncodeToString([]byte("abc"[:before] + core))
			// Of the first and the last character some bits are the neighbour's.
			from, to := (before*8+5)/6, (before+len(core))*8/6
			all = append(all, pattern{fmt.Sprintf("Base64 after %d bytes", before), encoded[from:to]})
		}
	}
	return all
}
