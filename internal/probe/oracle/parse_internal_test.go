package oracle

import (
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"dialtone/internal/probe"
)

// What real servers have sent, as their users published it.
func TestParseAccept(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		packet string
		want   acceptance
	}{
		"11.2 XE": {
			"0020000002000000 013a 0401 2000 2000 0100 0000 0020 c500 0000000000000000",
			acceptance{version: 314, room: 8192},
		},
		"12.1": {
			"0029000002000000 013b 0c01 0000 0000 0100 0000 0029 4101 0000000000000000 00002000 0000ffff 00",
			acceptance{version: 315, room: 8192},
		},
		"demands encryption": {
			"0029000002000000 013e 0c01 0000 0000 0100 0000 0029 1101 0000000000000000 00001000 00001000 00",
			acceptance{version: 318, room: 4096, encryption: true},
		},
		"room for nothing": {
			"0020000002000000 013a 0401 0001 0001 0100 0000 0020 c500 0000000000000000",
			acceptance{version: 314, room: minPacket},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := hex.DecodeString(strings.ReplaceAll(tc.packet, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			kind, _, size, err := parseHeader([headerSize]byte(b), false)
			if err != nil || kind != packetAccept || size != len(b)-headerSize {
				t.Fatalf("parseHeader() = %d, %d, %v", kind, size, err)
			}
			if got, err := parseAccept(b[headerSize:]); err != nil || got != tc.want {
				t.Errorf("parseAccept() = %+v, %v; want %+v", got, err, tc.want)
			}
		})
	}
}

func TestParseRedirect(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text string
		want redirection
		ok   bool
	}{
		"address":       {"(ADDRESS=(PROTOCOL=TCP)(HOST=10.0.0.1)(PORT=1521))", redirection{probe.Address{Host: "10.0.0.1", Port: 1521}, false, ""}, true},
		"with connect":  {"(ADDRESS=(PROTOCOL=tcp)(HOST=a.b)(PORT=1))\x00(DESCRIPTION=(X=y))\x00", redirection{probe.Address{Host: "a.b", Port: 1}, false, "(DESCRIPTION=(X=y))"}, true},
		"spaces":        {"( address = ( protocol = tcps ) ( host = ::1 ) ( port = 2484 ) )", redirection{probe.Address{Host: "::1", Port: 2484}, true, ""}, true},
		"another HOST":  {"(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME=)(CID=(HOST=me)))(ADDRESS=(PROTOCOL=tcp)(HOST=node)(PORT=1521)))", redirection{probe.Address{Host: "node", Port: 1521}, false, ""}, true},
		"list":          {"(DESCRIPTION=(ADDRESS_LIST=(ADDRESS=(PROTOCOL=tcp)(HOST=n)(PORT=2))))", redirection{probe.Address{Host: "n", Port: 2}, false, ""}, true},
		"port 0":        {"(ADDRESS=(PROTOCOL=tcp)(HOST=n)(PORT=0))", redirection{}, false},
		"port too high": {"(ADDRESS=(PROTOCOL=tcp)(HOST=n)(PORT=65536))", redirection{}, false},
		"no host":       {"(ADDRESS=(PROTOCOL=tcp)(PORT=1))", redirection{}, false},
		"empty":         {"", redirection{}, false},
		"unclosed":      {"(ADDRESS=(PROTOCOL=tcp)(HOST=n)(PORT=1", redirection{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, ok := parseRedirect(tc.text); got != tc.want || ok != tc.ok {
				t.Errorf("parseRedirect() = %+v, %v; want %+v, %v", got, ok, tc.want, tc.ok)
			}
		})
	}
}

func TestParseRefuse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"(DESCRIPTION=(TMP=)(VSNNUM=318767104)(ERR=12514)(ERROR_STACK=(ERROR=(CODE=12514)(EMFI=4))))": 12514,
		"(DESCRIPTION=(ERROR_STACK=(ERROR=(CODE=12505)(EMFI=4))))":                                    12505,
		"(DESCRIPTION=(ERR=99999999))":                                                                0,
		"(DESCRIPTION=(ERR=x))":                                                                       0,
		"":                                                                                            0,
	} {
		body := append([]byte{4, 0, byte(len(text) >> 8), byte(len(text))}, text...)
		refused, ok := errors.AsType[*refusal](parseRefuse(body))
		if !ok || refused.code != want || refused.text != text {
			t.Errorf("parseRefuse(%q) = %+v, want %d", text, refused, want)
		}
	}
}

func TestVersionText(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{
		0x0a200500: "10.2.0.5.0", 0x0b200400: "11.2.0.4.0", 0x0c100200: "12.1.0.2.0", 0x13030000: "19.3.0.0.0", 0x170400a1: "23.4.0.10.1",
	} {
		if got := versionText(n); got != want {
			t.Errorf("versionText(%#x) = %s, want %s", n, got, want)
		}
	}
}

// pieces gives the bytes of a fuzzer in packets of n bytes.
func pieces(b []byte, n int) func() ([]byte, error) {
	return func() ([]byte, error) {
		if len(b) == 0 {
			return nil, io.EOF
		}
		piece := b[:min(n, len(b))]
		b = b[len(piece):]
		return piece, nil
	}
}

func FuzzPackets(f *testing.F) {
	f.Add([]byte{0, 32, 0, 0, 2, 0, 0, 0, 1, 58, 4, 1, 32, 0, 32, 0, 1, 0, 0, 0, 0, 32, 197, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte("\x00\x1e\x00\x00\x04\x00\x00\x00\x00\x00\x00\x12(ERR=12514)(CODE=1)"))
	f.Add([]byte("\x00\x40\x00\x00\x05\x00\x00\x00\x00\x30(ADDRESS=(PROTOCOL=tcp)(HOST=n)(PORT=1))"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= headerSize {
			for _, large := range []bool{false, true} {
				if _, _, size, err := parseHeader([headerSize]byte(b), large); err == nil && (size < 0 || size > maxPacket-headerSize) {
					t.Errorf("a body of %d bytes", size)
				}
			}
		}
		if a, err := parseAccept(b); err == nil && (a.room < minPacket || a.room > maxPacket) {
			t.Errorf("room for %d bytes", a.room)
		}
		_ = parseRefuse(b)
		if to, ok := parseRedirect(string(b)); ok && (to.address.Port == 0 || to.address.Host == "" || strings.ContainsAny(to.address.Host, "()\x00 ")) {
			t.Errorf("a redirect to %q", to.address)
		}
	})
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte("\x08\x01\x01\x01\x0d\x0dAUTH_VFR_DATA\x01\x04\x04ABCD\x02\x48\x15\x09\x00\x00"), byte(12), byte(7))
	f.Add([]byte("\x04\x00\x00\x00\x02\x03\xf9"+strings.Repeat("\x00", 24)+"\x02\x03\xf9\x00\x09ORA-01017"), byte(12), byte(200))
	f.Add([]byte("\x17\x05\x01\x01\x01\x01\x01\x01\x00\x01\x02\x02AB\x01\x10\x00\x0f\x02\x6d\x62\x01\x01\x00\x01x\x09\x00\x00"), byte(6), byte(3))
	f.Add([]byte("\x01\x06\x00x\x00\x69\x03\x01\x00\x00\x00\x0b\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\xd0\x12"+strings.Repeat("\x01", 18)+"\x01\x00"), byte(12), byte(5))
	f.Fuzz(func(t *testing.T, b []byte, fields, size byte) {
		n := int(size) + 1
		c := &caller{fields: fields, status: true, sequence: true, bigChunks: size&1 != 0}
		read := func() *reader { return &reader{next: pieces(b, n), bigChunks: c.bigChunks} }
		if a, err := c.parseAnswer(read()); err == nil {
			if asked, err := parseChallenge(a); err == nil && (asked.rounds > maxRounds || asked.mixRounds > maxRounds || len(asked.salt) > maxSalt) {
				t.Errorf("the challenge is %+v", asked)
			}
		}
		r := read()
		if g := parseGreeting(r); r.err == nil && len(g.compile) <= capSequence {
			t.Errorf("%d capabilities", len(g.compile))
		}
		_ = parseTypes(read(), size&2 != 0)
	})
}
