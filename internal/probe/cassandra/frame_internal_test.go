package cassandra

import (
	"bytes"
	"io"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whether the checksums are the protocol's, the real server says.
func TestSegments(t *testing.T) {
	t.Parallel()
	long := bytes.Repeat([]byte("cassandra"), 20000) // two segments
	var stream []byte
	for part := range slices.Chunk(long, maxSegment) {
		segment, err := wrap(part)
		if err != nil {
			t.Fatal(err)
		}
		stream = append(stream, segment...)
	}
	got, err := io.ReadAll(&segments{r: bytes.NewReader(stream)})
	if err != nil || !bytes.Equal(got, long) {
		t.Errorf("read %d bytes, %v; want %d", len(got), err, len(long))
	}
	if _, err := wrap(make([]byte, maxSegment+1)); err == nil {
		t.Error("a message that fits no segment was wrapped")
	}
	for _, at := range []int{0, 5, 6, len(stream) - 1} {
		damaged := bytes.Clone(stream)
		damaged[at] ^= 0x10
		if _, err := io.ReadAll(&segments{r: bytes.NewReader(damaged)}); err == nil {
			t.Errorf("byte %d was damaged, and nobody noticed", at)
		}
	}
}

// What the flags say stands before the message is skipped.
func TestExtras(t *testing.T) {
	t.Parallel()
	body := []byte("0123456789abcdef" + // the number of a trace
		"\x00\x01\x00\x02ho" + // one warning
		"\x00\x01\x00\x01k\x00\x00\x00\x01v" + // a payload
		"done")
	b := append([]byte{0x84, flagTracing | flagWarning | flagCustomPayload, 0, 0, byte(opReady), 0, 0, 0, byte(len(body))}, body...)
	f, err := readFrame(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("done", string(f.body)); diff != "" {
		t.Errorf("the rest of the body (-want +got):\n%s", diff)
	}
	b[1] = flagCompressed
	if _, err := readFrame(bytes.NewReader(b)); err == nil {
		t.Error("a compressed message was taken")
	}
}

// No bytes make the parsers panic or hold more than they were given.
func FuzzMessages(f *testing.F) {
	for _, b := range [][]byte{
		{0x84, 0, 0, 0, byte(opSupported), 0, 0, 0, 8, 0, 1, 0, 1, 'a', 0, 1, 0},
		{0x84, flagWarning, 0, 0, byte(opError), 0, 0, 0, 10, 0, 0, 0, 0, 1, 0, 0, 2, 'n', 'o'},
		append([]byte{0x85, 0, 0, 0, byte(opResult), 0, 0, 0, 45}, "\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x01\x00\x06system\x00\x05local\x00\x03key\x00\x0d\x00\x00\x00\x01\x00\x00\x00\x05local"...),
	} {
		f.Add(b)
		wrapped, err := wrap(b)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wrapped)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, r := range []io.Reader{bytes.NewReader(b), &segments{r: bytes.NewReader(b)}} {
			for {
				m, err := readFrame(r)
				if err != nil {
					break
				}
				if len(m.body) > len(b) {
					t.Fatalf("a body of %d bytes out of %d", len(m.body), len(b))
				}
				if m.version < v3 || m.version > highest {
					t.Fatalf("version %d was taken", m.version)
				}
				readAll(t, m)
			}
		}
	})
}

func readAll(t *testing.T, m frame) {
	t.Helper()
	if e, err := readError(m); err == nil && len(e.text) > len(m.body) {
		t.Fatalf("a text of %d bytes out of %d", len(e.text), len(m.body))
	}
	if offered, err := readOptions(m); err == nil && len(offered) > len(m.body) {
		t.Fatalf("%d options out of %d bytes", len(offered), len(m.body))
	}
	for columns := 1; columns <= 4; columns++ {
		if found, err := readRows(m, columns); err == nil && len(found.values)*columns*4 > len(m.body) {
			t.Fatalf("%d rows of %d columns out of %d bytes", len(found.values), columns, len(m.body))
		}
	}
}
