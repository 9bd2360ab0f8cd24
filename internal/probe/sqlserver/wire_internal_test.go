package sqlserver

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/probe"
)

// What real servers have said, as others recorded and published it. The login
// is the example of MS-TDS 4.3, from a SQL Server 2005.
const (
	prelogin2008 = `04 01 00 2b 00 00 01 00 00 00 1a 00 06 01 00 20 00 01 02 00 21 00 01 03 00 22 00 00 04 00 22 00
		01 ff 0a 00 09 e3 00 00 01 00 01`
	prelogin2012 = `04 01 00 2b 00 00 01 00 00 00 1a 00 06 01 00 20 00 01 02 00 21 00 01 03 00 22 00 00 04 00 22 00
		01 ff 0b 00 0b b8 00 00 01 00 01`
	login2005 = `04 01 01 61 00 00 01 00 e3 1b 00 01 06 6d 00 61 00 73 00 74 00 65 00 72 00 06 6d 00 61 00 73 00
		74 00 65 00 72 00 ab 58 00 45 16 00 00 02 00 25 00 43 00 68 00 61 00 6e 00 67 00 65 00 64 00 20
		00 64 00 61 00 74 00 61 00 62 00 61 00 73 00 65 00 20 00 63 00 6f 00 6e 00 74 00 65 00 78 00 74
		00 20 00 74 00 6f 00 20 00 27 00 6d 00 61 00 73 00 74 00 65 00 72 00 27 00 2e 00 00 00 00 00 00
		00 e3 08 00 07 05 09 04 d0 00 34 00 e3 17 00 02 0a 75 00 73 00 5f 00 65 00 6e 00 67 00 6c 00 69
		00 73 00 68 00 00 e3 13 00 04 04 34 00 30 00 39 00 36 00 04 34 00 30 00 39 00 36 00 ab 5c 00 47
		16 00 00 01 00 27 00 43 00 68 00 61 00 6e 00 67 00 65 00 64 00 20 00 6c 00 61 00 6e 00 67 00 75
		00 61 00 67 00 65 00 20 00 73 00 65 00 74 00 74 00 69 00 6e 00 67 00 20 00 74 00 6f 00 20 00 75
		00 73 00 5f 00 65 00 6e 00 67 00 6c 00 69 00 73 00 68 00 2e 00 00 00 00 00 00 00 ad 36 00 01 72
		09 00 02 16 4d 00 69 00 63 00 72 00 6f 00 73 00 6f 00 66 00 74 00 20 00 53 00 51 00 4c 00 20 00
		53 00 65 00 72 00 76 00 65 00 72 00 00 00 00 00 00 00 00 00 fd 00 00 00 00 00 00 00 00 00 00 00 00`
)

func unhex(tb testing.TB, text string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// from is a wire on which these bytes arrive.
func from(b []byte) *wire {
	return &wire{stream: struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(b), io.Discard}}
}

func TestPreloginOfRealServers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]prelogin{
		prelogin2008: {version: "10.0.2531", encryption: encryptAll},
		prelogin2012: {version: "11.0.3000", encryption: encryptAll},
	} {
		w := from(unhex(t, text))
		if err := w.begin(packetReply); err != nil {
			t.Fatal(err)
		}
		b, err := w.whole(longestPrelogin)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parsePrelogin(b); err != nil || got != want {
			t.Errorf("parsePrelogin() = %+v, %v; want %+v", got, err, want)
		}
	}
}

// The request is, but for our version and thread, the one of MS-TDS 4.1.
func TestPreloginRequest(t *testing.T) {
	t.Parallel()
	want := unhex(t, `12 01 00 2f 00 00 01 00 00 00 1a 00 06 01 00 20 00 01 02 00 21 00 01 03 00 22 00 04 04 00 26 00
		01 ff 00 00 00 00 00 00 01 00 00 00 00 00 00`)
	if got := packets(packetPrelogin, preloginMessage(encryptAll)); !bytes.Equal(got, want) {
		t.Errorf("the request is\n%x, want\n%x", got, want)
	}
}

func TestLoginOfRealServer(t *testing.T) {
	t.Parallel()
	w := from(unhex(t, login2005))
	if err := w.begin(packetReply); err != nil {
		t.Fatal(err)
	}
	var got answer
	if err := got.read(w); err != nil {
		t.Fatal(err)
	}
	want := answer{acked: true, done: true, product: "Microsoft SQL Server", tds: versionTDS72}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(answer{}, serverError{})); diff != "" {
		t.Errorf("the answer (-want +got):\n%s", diff)
	}
}

func TestPreloginThatIsNone(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty":                    "",
		"no end":                   "00 00 1a 00 06 01 00 20 00 01",
		"half an option":           "00 00 1a",
		"an option behind the end": "00 00 06 00 ff ff",
		"offsets that overflow":    "00 ff ff ff ff ff",
		"no version":               "01 00 06 00 01 ff 00",
		"no encryption":            "00 00 06 00 06 ff 0b 00 0b b8 00 00",
		"unknown encryption":       "00 00 0b 00 06 01 00 11 00 01 ff 0b 00 0b b8 00 00 04",
	} {
		if got, err := parsePrelogin(unhex(t, text)); !errors.Is(err, errForeign) {
			t.Errorf("%s: parsePrelogin() = %+v, %v; want an error", name, got, err)
		}
	}
}

// tokens makes the packet of one answer.
func tokens(parts ...string) []byte {
	return packets(packetReply, []byte(strings.Join(parts, "")))
}

// The forms that the servers of our own tests do not send.
func TestAnswer(t *testing.T) {
	t.Parallel()
	const (
		ack2000  = "\xad\x0c\x00\x01\x71\x00\x00\x01\x01S\x00\x08\x00\x07\xd0" // SQL Server 2000: TDS 7.1
		done2000 = "\xfd\x00\x00\x00\x00\x00\x00\x00\x00"
		done     = done2000 + "\x00\x00\x00\x00"
		failed   = "\xaa\x0c\x00\x18\x48\x00\x00\x01\x0e\x01\x00x\x00\x00\x00" // 18456
	)
	ours := cmp.AllowUnexported(answer{}, serverError{})
	let := answer{acked: true, done: true, product: "S", version: "8.0.2000", tds: 0x71000001}
	refused := answer{done: true, errors: []serverError{{18456, "x"}}}
	for _, tc := range []struct {
		name  string
		bytes []byte
		want  answer
		err   error
	}{
		{"an old server lets in", tokens(ack2000, done2000), let, nil},
		{"an old server says more behind DONE", tokens(ack2000, done2000, "\xe3\x01\x00\x02"), let, nil},
		{"an old server refuses", tokens(failed, done2000), refused, nil},
		{"a server refuses", tokens(failed, done), refused, nil},
		{"failed without a reason", tokens("\xfd\x02\x00" + done[3:]), answer{done: true, failed: true}, nil},
		{"the end of a procedure", tokens("\x79\x00\x00\x00\x00\xfe" + done[1:]), answer{done: true}, nil},
		{"a route to an instance", tokens("\xe3\x0a\x00\x14\x07\x00\x00\x99\x05\x01\x00h\x00"), answer{route: &probe.Address{Host: "h", Port: 1433}}, nil},
		{"unknown token", tokens("\x42"), answer{}, errForeign},
		{"rows that nobody asked for", tokens("\xd1\x01"), answer{}, errForeign},
		{"error without a text", tokens("\xaa\x02\x00\x00\x00"), answer{}, errForeign},
		{"text longer than its token", tokens("\xaa\x08\x00\x18\x48\x00\x00\x01\x0e\xff\xff"), answer{}, errForeign},
		{"name longer than LOGINACK", tokens("\xad\x06\x00\x01\x74\x00\x00\x04\xff"), answer{}, errForeign},
		{"route without a name", tokens("\xe3\x04\x00\x14\x01\x00\x00"), answer{}, errForeign},
		{"empty ENVCHANGE", tokens("\xe3\x00\x00"), answer{}, errForeign},
		{"ends in a length", tokens("\xaa\x08"), answer{}, io.ErrUnexpectedEOF},
		{"ends in a token", tokens("\xaa\xff\xff\x00"), answer{}, io.ErrUnexpectedEOF},
		{"the connection ends", tokens(done)[:12], answer{}, io.ErrUnexpectedEOF},
		{"two packets of different types", []byte{4, 0, 0, 9, 0, 0, 1, 0, 0xfd, 1, 1, 0, 9, 0, 0, 2, 0, 0}, answer{}, errForeign},
		{"a packet longer than any", []byte{4, 1, 0x80, 0, 0, 0, 1, 0}, answer{}, errForeign},
		{"a packet shorter than its header", []byte{4, 1, 0, 7, 0, 0, 1, 0}, answer{}, errForeign},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var got answer
			w := from(tc.bytes)
			err := w.begin(packetReply)
			if err == nil {
				err = got.read(w)
			}
			if !errors.Is(err, tc.err) {
				t.Errorf("error = %v, want %v", err, tc.err)
			}
			if diff := cmp.Diff(tc.want, got, ours); tc.err == nil && diff != "" {
				t.Errorf("the answer (-want +got):\n%s", diff)
			}
		})
	}
}

// A message in many packets is one, and none is longer than was agreed.
func TestLongMessage(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, packetLen - headerLen, packetLen - headerLen + 1, 3 * packetLen} {
		payload := bytes.Repeat([]byte{7}, size)
		sent := packets(packetLogin7, payload)
		for rest := sent; len(rest) > 0; rest = rest[binary.BigEndian.Uint16(rest[2:]):] {
			if n := binary.BigEndian.Uint16(rest[2:]); n > packetLen {
				t.Fatalf("a packet of %d bytes", n)
			}
		}
		w := from(sent)
		if err := w.begin(packetLogin7); err != nil {
			t.Fatal(err)
		}
		if got, err := w.whole(4 * packetLen); err != nil || !bytes.Equal(got, payload) {
			t.Errorf("%d bytes arrive as %d, %v", size, len(got), err)
		}
	}
}

func FuzzPrelogin(f *testing.F) {
	for _, seed := range []string{prelogin2008, prelogin2012} {
		f.Add(unhex(f, seed)[headerLen:])
	}
	f.Add(preloginMessage(encryptAll))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePrelogin(b)
		if err == nil && (p.version == "" || p.encryption > encryptDemand) {
			t.Errorf("parsePrelogin() = %+v without an error", p)
		}
	})
}

// Whatever comes, an answer is read or refused, and costs no more than it has
// bytes, times a little.
func FuzzAnswer(f *testing.F) {
	f.Add(unhex(f, login2005))
	f.Add(tokens("\xe3\x0a\x00\x14\x07\x00\x00\x99\x05\x01\x00h\x00"))
	f.Add(tokens("\xaa\x0c\x00\x18\x48\x00\x00\x01\x0e\x01\x00x\x00\x00\x00\xfd\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var a answer
		w := from(b)
		err := w.begin(packetReply)
		if err == nil {
			err = a.read(w)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > uint64(1<<20+64*len(b)) {
			t.Errorf("%d bytes cost %d", len(b), used)
		}
		if len(a.errors) > mostErrors {
			t.Errorf("%d errors are kept", len(a.errors))
		}
		if err != nil && !errors.Is(err, errForeign) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("an error of another kind: %v", err)
		}
	})
}
