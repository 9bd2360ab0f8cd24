package gaussdb

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"dialtone/internal/probe"
)

// Whatever the other side sends, reading it ends, in bounds.
func FuzzMessages(f *testing.F) {
	f.Add([]byte("R\x00\x00\x00\x08\x00\x00\x00\x05E\x00\x00\x00\x0fSFATAL\x00C28000\x00"))
	f.Add([]byte("D\x00\x00\x00\x16\x00\x02\x00\x00\x00\x01t\x00\x00\x00\x07(a b 1)"))
	f.Add(append([]byte("R\x00\x00\x00\x54\x00\x00\x00\x02"), bytes.Repeat([]byte("0"), saltHex+tokenHex+4)...))
	f.Add([]byte("D\x7f\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		for in := bytes.NewReader(sent); ; {
			m, err := readMessage(in)
			if err != nil {
				known, ok := errors.AsType[*probe.Error](err)
				if !ok && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) || ok && known.Code != probe.CodeProtocolMismatch {
					t.Fatalf("readMessage() error = %v", err)
				}
				return
			}
			if len(m.body) > min(longest, len(sent)) {
				t.Fatalf("a body of %d bytes out of %d", len(m.body), len(sent))
			}
			failed := parseError(m.body)
			if code, _ := failed.verdict(true); !code.Known() {
				t.Fatalf("verdict() = %q", code)
			}
			if row, err := parseRow(m.body); err == nil && len(row) > 1 {
				product(row[1], row[0])
			}
			if c, err := parseChallenge(m.body[min(4, len(m.body)):]); err == nil && (c.iterations < 1 || c.iterations > mostIterations) {
				t.Fatalf("parseChallenge() lets %d iterations pass", c.iterations)
			}
		}
	})
}

func TestParseRow(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, body string
		want       []string
	}{
		{"two", "\x00\x02\x00\x00\x00\x01t\x00\x00\x00\x02ab", []string{"t", "ab"}},
		{"a null", "\x00\x02\xff\xff\xff\xff\x00\x00\x00\x01b", []string{"", "b"}},
		{"none", "\x00\x00", nil},
		{"more than there is", "\x00\x01\x00\x00\x00\x05abcd", nil},
		{"more columns than there are", "\xff\xff\x00\x00\x00\x01t", nil},
		{"half a count", "\x00", nil},
	} {
		row, err := parseRow([]byte(tc.body))
		if !slices.Equal(row, tc.want) || (err == nil) != (tc.want != nil || tc.name == "none") {
			t.Errorf("%s: parseRow() = %q, %v; want %q", tc.name, row, err, tc.want)
		}
	}
}

func TestProduct(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ text, name, version string }{
		{"(openGauss 5.0.0 build a07d57c3) compiled at 2023-03-29", "openGauss", "5.0.0"},
		{"gaussdb (GaussDB Kernel V500R002C10 build 4a8f8a6e) compiled at", "GaussDB Kernel", "V500R002C10"},
		{"PostgreSQL 9.2.4 (GaussDB 8.1.3 build 39137c2d) compiled at", "GaussDB", "8.1.3"},
		{"(Vastbase G100 V2.2 (Build 5) Release) compiled at", "Vastbase G100", "V2.2"},
		{"something", "GaussDB", "9.2.4"},
		{"()", "GaussDB", "9.2.4"},
		{"(only build", "GaussDB", "9.2.4"},
		{"PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on x86_64-pc-linux-gnu", "GaussDB", "9.2.4"}, // behind a proxy
	} {
		if name, version := product(tc.text, "9.2.4"); name != tc.name || version != tc.version {
			t.Errorf("product(%q) = %q, %q; want %q, %q", tc.text, name, version, tc.name, tc.version)
		}
	}
}
