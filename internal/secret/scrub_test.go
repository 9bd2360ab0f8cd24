package secret_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"dialtone/internal/secret"
)

// password has a character for every escape: URL, JSON, HTML, quoting, and
// two beyond ASCII (one of them beyond the basic plane).
const password = `p/a ss"<w>&'ö+\😀%z`

func jsonText(t *testing.T, s string) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func bytesOf(s string) []any {
	all := make([]any, len(s))
	for i := range all {
		all[i] = s[i]
	}
	return all
}

// decimals writes the bytes as numbers.
func decimals(s, between string) string {
	return strings.TrimSuffix(fmt.Sprintf(strings.Repeat("%d"+between, len(s)), bytesOf(s)...), between)
}

// units writes every character as JSON's \u escape.
func units(s string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, `\u%04X`, u)
	}
	return b.String()
}

func entities(s string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, "&#x%x;", r)
	}
	return b.String()
}

// wide is s in UTF-16.
func wide(s string, order binary.AppendByteOrder) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, unit)
	}
	return string(b)
}

func TestScrubForms(t *testing.T) {
	t.Parallel()
	b64 := func(enc *base64.Encoding, before, after string) string {
		return enc.EncodeToString([]byte(before + password + after))
	}
	for _, tc := range []struct{ name, form string }{
		{"raw", password},
		{"upper case", strings.ToUpper("P/A SS\"<W>&'") + `ö+\😀%Z`},
		{"URL query", url.QueryEscape(password)},
		{"URL query, blank as %20", strings.ReplaceAll(url.QueryEscape(password), "+", "%20")},
		{"URL query, lower-case hex", strings.ToLower(url.QueryEscape(password))},
		{"URL path", url.PathEscape(password)},
		{"URL user", url.UserPassword("u", password).String()[2:]},
		{"base64 std", b64(base64.StdEncoding, "", "")},
		{"base64 std raw", b64(base64.RawStdEncoding, "", "")},
		{"base64 url", b64(base64.URLEncoding, "", "")},
		{"base64 url raw", b64(base64.RawURLEncoding, "", "")},
		{"hex", hex.EncodeToString([]byte(password))},
		{"hex, upper case", fmt.Sprintf("%X", password)},
		{"hex, spaced", fmt.Sprintf("% x", password)},
		{"hex, colons", strings.ReplaceAll(fmt.Sprintf("% x", password), " ", ":")},
		{"hex, a list", "0x" + strings.ReplaceAll(fmt.Sprintf("% x", password), " ", ", 0x")},
		{"hex, escapes", `\x` + strings.ReplaceAll(fmt.Sprintf("% X", password), " ", `\x`)},
		{"hex, of a DN", `\` + strings.ReplaceAll(fmt.Sprintf("% x", password), " ", `\`)},
		{"a list of bytes", decimals(password, " ")},
		{"a list of bytes in JSON", decimals(password, ",")},
		{"URL, every byte", "%" + strings.ReplaceAll(fmt.Sprintf("% x", password), " ", "%")},
		{"URL, twice", url.QueryEscape(strings.ReplaceAll(url.QueryEscape(password), "+", "%20"))},
		{"octal", fmt.Sprintf(strings.Repeat(`\%03o`, len(password)), bytesOf(password)...)},
		{"ASCII with question marks", strings.NewReplacer("ö", "?", "😀", "?").Replace(password)},
		{"ASCII with replacement characters", strings.NewReplacer("ö", "\ufffd", "😀", "\ufffd").Replace(password)},
		{"UTF-16", wide(password, binary.LittleEndian)},
		{"UTF-16, the other way round", wide(password, binary.BigEndian)},
		{"a distinguished name", strings.NewReplacer(`"`, `\"`, "+", `\+`, "<", `\<`, ">", `\>`, `\`, `\\`).Replace(password)},
		{"JSON", strings.Trim(jsonText(t, password), `"`)},
		{"JSON, HTML not escaped", strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(strings.Trim(jsonText(t, password), `"`))},
		{"JSON in ASCII", strings.NewReplacer("ö", `\u00f6`, "😀", `\ud83d\ude00`).Replace(strings.Trim(jsonText(t, password), `"`))},
		{"JSON, every character", units(password)},
		{"JSON, slashes escaped", strings.ReplaceAll(strings.Trim(jsonText(t, password), `"`), "/", `\/`)},
		{"JSON in JSON", strings.Trim(jsonText(t, jsonText(t, password)), `"\`)},
		{"JSON in JSON in JSON", strings.Trim(jsonText(t, jsonText(t, jsonText(t, password))), `"\`)},
		{"base64 in JSON, slashes escaped", strings.ReplaceAll(b64(base64.StdEncoding, "", ""), "/", `\/`)},
		{"HTML, every character", entities(password)},
		{"HTML", html.EscapeString(password)},
		{"HTML of JSON", html.EscapeString(strings.Trim(jsonText(t, password), `"`))},
		{"Go quoted", strings.Trim(strconv.Quote(password), `"`)},
		{"Go quoted in ASCII", strings.Trim(strconv.QuoteToASCII(password), `"`)},
		{"SQL, doubled quote", strings.ReplaceAll(password, "'", "''")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := secret.Scrub("before: "+tc.form+" :after", secret.New("other"), secret.New(password))
			if want := "before: [redacted] :after"; got != want {
				t.Errorf("Scrub(%q) = %q, want %q", tc.form, got, want)
			}
		})
	}
}

func TestScrubBase64InsideLongerText(t *testing.T) {
	t.Parallel()
	const hidden = "sW0rdfish!"
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		for _, before := range []string{"", "u", "us", "use", "\x00u\x00"} {
			for _, after := range []string{"", "x", "xy", "xyz"} {
				text := enc.EncodeToString([]byte(before + hidden + after))
				got := secret.Scrub(text, secret.New(hidden))
				// Nothing is left but letters that encode the surroundings.
				rest := strings.Split(got, "[redacted]")
				if len(rest) != 2 || len(rest[0]) > 4*len(before)/3 || len(strings.TrimRight(rest[1], "=")) > 4*len(after)/3+1 {
					t.Errorf("Scrub(base64(%q+secret+%q)) = %q of %q", before, after, got, text)
				}
			}
		}
	}
}

func TestScrubText(t *testing.T) {
	t.Parallel()
	pem := "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n-----END PRIVATE KEY-----\n"
	for _, tc := range []struct {
		name, text string
		secrets    []string
		want       string
	}{
		{"nothing to hide", "access denied for 'root'", nil, "access denied for 'root'"},
		{"absent secret", "access denied", []string{""}, "access denied"},
		{"two characters are too few", "abc ab", []string{"ab"}, "abc ab"},
		{"three characters", "xabcx", []string{"abc"}, "x[redacted]x"},
		{"three characters beyond ASCII", "x密码是x", []string{"密码是"}, "x[redacted]x"},
		{"two characters beyond ASCII", "x密码x", []string{"密码"}, "x密码x"},
		{"several secrets", "one1 and two2", []string{"one1", "two2"}, "[redacted] and [redacted]"},
		{"one secret inside another", "say secretive", []string{"secret", "secretive"}, "say [redacted]"},
		{"overlapping secrets", "abcdef!", []string{"abcd", "cdef"}, "[redacted]!"},
		{"secret that overlaps itself", "xababax", []string{"aba"}, "x[redacted]x"},
		{"cut off by the server", "no user with longersecr", []string{"longersecret"}, "no user with [redacted]"},
		{"cut off in its JSON", `{"user":"longer\\\"sec`, []string{`longer"secret`}, `{"user":"[redacted]`},
		{"UTF-16 in JSON", `user l\u0000o\u0000n\u0000g\u0000`, []string{"long"}, "user [redacted]"},
		{"Latin-1", "user gr\xfcn\xdf", []string{"grünß"}, "user [redacted]"},
		{"question marks", "what? who??? where", []string{"密码是"}, "what? who??? where"},
		{"cut off early", "no user with longers", []string{"longersecret"}, "no user with longers"},
		{"adjacent", "abcabc", []string{"abc"}, "[redacted]"},
		{"one line of a key", "bad line MIIEvQIBADANBgkqhkiG9w0BAQEFAASC here", []string{pem}, "bad line [redacted] here"},
		{"control characters", "a\r\nb\tc\x00d\x1b[31m\u202e", nil, "a  b c\ufffdd\ufffd[31m\ufffd"},
		{"invalid UTF-8", "a\xff\xfeb", nil, "a\ufffd\ufffdb"},
		{"blank around", "  text \n", nil, "text"},
		{"cut", strings.Repeat("é", 300), nil, strings.Repeat("é", 256)},
		{"redacted before the cut", strings.Repeat("x", 250) + "password123", []string{"password123"}, strings.Repeat("x", 250) + "[redac"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var secrets []secret.Text
			for _, s := range tc.secrets {
				secrets = append(secrets, secret.New(s))
			}
			if got := secret.Scrub(tc.text, secrets...); got != tc.want {
				t.Errorf("Scrub(%q) = %q, want %q", tc.text, got, tc.want)
			}
		})
	}
}

// A long text is read only in part; a secret that straddles the end of that
// part must not come out half, however much the redactions before it shrink.
func TestScrubLongText(t *testing.T) {
	t.Parallel()
	hidden := strings.Repeat("0123456789abcdef", 40) + "END"
	for shift := range 700 {
		text := strings.Repeat("-", shift) + strings.Repeat(hidden, 100)
		got := secret.Scrub(text, secret.New(hidden))
		if strings.Contains(got, "0123") {
			t.Fatalf("Scrub() after %d characters = %q", shift, got)
		}
	}
	if got := secret.Scrub(strings.Repeat("plain ", 1<<20)); len(got) != 256 {
		t.Errorf("Scrub(6 MiB) has %d bytes, want 256", len(got))
	}
}

func FuzzScrub(f *testing.F) {
	f.Add("dial user:", password, ": refused", "x")
	f.Add("", "aaa", "a", "aa\xffaa")
	f.Add("é\xff", "[redacted]", "\x00", "red")
	f.Add("u", "sW0rdfish!", "yz", "fish")
	f.Fuzz(func(t *testing.T, before, hidden, after, other string) {
		forms := []string{
			hidden, url.QueryEscape(hidden), url.PathEscape(hidden), hex.EncodeToString([]byte(hidden)),
			base64.StdEncoding.EncodeToString([]byte(hidden)), strconv.Quote(hidden),
			base64.RawURLEncoding.EncodeToString([]byte(before + hidden + after)),
			strings.Trim(jsonText(t, hidden), `"`),
		}
		for _, form := range forms {
			got := secret.Scrub(before+form+after, secret.New(hidden), secret.New(other))
			if !utf8.ValidString(got) || utf8.RuneCountInString(got) > 256 {
				t.Fatalf("Scrub() = %q: not valid UTF-8, or too long", got)
			}
			for _, r := range got {
				if !unicode.IsPrint(r) {
					t.Fatalf("Scrub() = %q holds %U", got, r)
				}
			}
			if utf8.RuneCountInString(hidden) < 3 {
				continue
			}
			// What printable replaces may look like the secret by chance;
			// only a secret that it leaves alone can be looked for.
			if strings.ContainsFunc(hidden, func(r rune) bool { return r == utf8.RuneError || r == ' ' || !unicode.IsPrint(r) }) {
				continue
			}
			for piece := range strings.SplitSeq(got, "[redacted]") {
				if strings.Contains(piece, hidden) {
					t.Fatalf("Scrub(%q) = %q holds the secret", before+form+after, got)
				}
			}
		}
	})
}
