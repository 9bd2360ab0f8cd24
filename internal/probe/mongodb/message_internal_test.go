package mongodb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// everyType is a document with every type there is, as MongoDB's library
// writes them, and "last" behind them all.
func everyType(tb testing.TB) []byte {
	tb.Helper()
	decimal, err := bson.ParseDecimal128("1.5")
	if err != nil {
		tb.Fatal(err)
	}
	b, err := bson.Marshal(bson.D{
		{Key: "double", Value: 21.0},
		{Key: "string", Value: "héllo"},
		{Key: "document", Value: bson.D{{Key: "a", Value: "b"}}},
		{Key: "array", Value: bson.A{"one", int32(2), "three", bson.D{}}},
		{Key: "binary", Value: bson.Binary{Data: []byte{1, 2, 3}}},
		{Key: "old binary", Value: bson.Binary{Subtype: 2, Data: []byte{1, 2, 3}}},
		{Key: "undefined", Value: bson.Undefined{}},
		{Key: "id", Value: bson.NewObjectID()},
		{Key: "true", Value: true},
		{Key: "date", Value: time.Unix(1, 0)},
		{Key: "null", Value: nil},
		{Key: "regex", Value: bson.Regex{Pattern: "^a", Options: "i"}},
		{Key: "pointer", Value: bson.DBPointer{DB: "db.c", Pointer: bson.NewObjectID()}},
		{Key: "code", Value: bson.JavaScript("f()")},
		{Key: "symbol", Value: bson.Symbol("s")},
		{Key: "scoped", Value: bson.CodeWithScope{Code: "f()", Scope: bson.D{{Key: "x", Value: int32(1)}}}},
		{Key: "int32", Value: int32(-7)},
		{Key: "timestamp", Value: bson.Timestamp{T: 1, I: 2}},
		{Key: "int64", Value: int64(1) << 40},
		{Key: "decimal", Value: decimal},
		{Key: "min", Value: bson.MinKey{}},
		{Key: "max", Value: bson.MaxKey{}},
		{Key: "last", Value: "end"},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestParse(t *testing.T) {
	t.Parallel()
	whole := everyType(t)
	d, rest, err := parse(append(bytes.Clone(whole), "more"...))
	if err != nil || string(rest) != "more" {
		t.Fatalf("parse() leaves %q, error %v", rest, err)
	}
	type read struct {
		Text   string
		Number int
		Truth  bool
		Bytes  []byte
		Texts  []string
	}
	want := map[string]read{
		"double": {Number: 21, Truth: true}, "string": {Text: "héllo"}, "array": {Texts: []string{"one", "three"}},
		"binary": {Bytes: []byte{1, 2, 3}}, "true": {Truth: true}, "int32": {Number: -7, Truth: true},
		"int64": {Number: 1 << 40, Truth: true}, "last": {Text: "end"}, "date": {}, "null": {}, "missing": {}, "document": {}, "decimal": {},
	}
	for name, w := range want {
		v := d.get(name)
		n, _ := v.number()
		if diff := cmp.Diff(w, read{v.text(), n, v.truth(), v.bytes(), v.texts()}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	n := 0
	for range d.elements() {
		n++
	}
	if n != 23 {
		t.Errorf("%d elements, want 23", n)
	}
	for i := range whole {
		if _, _, err := parse(whole[:i]); !errors.Is(err, errBSON) {
			t.Errorf("parse() of the first %d bytes: %v", i, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]string{
		"a negative length":        "\xff\xff\xff\xff\x00",
		"a length of four":         "\x04\x00\x00\x00",
		"no zero at the end":       "\x05\x00\x00\x00\x01",
		"a name without end":       "\x08\x00\x00\x00\x10ab\x00",
		"an unknown type":          "\x08\x00\x00\x00\x20a\x00\x00",
		"a number cut short":       "\x0a\x00\x00\x00\x10a\x00\x01\x02\x00",
		"a string of no length":    "\x0d\x00\x00\x00\x02a\x00\x00\x00\x00\x00\x00\x00",
		"a string beyond the end":  "\x0d\x00\x00\x00\x02a\x00\x09\x00\x00\x00\x00\x00",
		"a string without zero":    "\x0e\x00\x00\x00\x02a\x00\x01\x00\x00\x00x\x00\x00",
		"binary beyond the end":    "\x0d\x00\x00\x00\x05a\x00\xff\xff\xff\x7f\x00\x00",
		"binary of all the length": "\x0d\x00\x00\x00\x05a\x00\xff\xff\xff\xff\x00\x00",
		"a document beyond it":     "\x0d\x00\x00\x00\x03a\x00\x7f\x00\x00\x00\x00\x00",
	} {
		if _, _, err := parse([]byte(b)); !errors.Is(err, errBSON) {
			t.Errorf("%s: parse() error = %v, want %v", name, err, errBSON)
		}
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e300} {
		b := binary.LittleEndian.AppendUint64(nil, math.Float64bits(f))
		if n, ok := (value{typeDouble, b}).number(); ok {
			t.Errorf("%v is the number %d", f, n)
		}
	}
}

// TestEncode: MongoDB's library reads what we write.
func TestEncode(t *testing.T) {
	t.Parallel()
	raw := bson.Raw(encode(
		field{"command", int32(1)}, field{"text", "grüße"}, field{"empty", ""}, field{"yes", true}, field{"no", false},
		field{"payload", []byte("n,,n=u")}, field{"inner", []field{{"a", "b"}, {"deeper", []field{}}}},
	))
	if err := raw.Validate(); err != nil {
		t.Fatal(err)
	}
	var got bson.D
	if err := bson.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	want := bson.D{
		{Key: "command", Value: int32(1)},
		{Key: "text", Value: "grüße"},
		{Key: "empty", Value: ""},
		{Key: "yes", Value: true},
		{Key: "no", Value: false},
		{Key: "payload", Value: bson.Binary{Data: []byte("n,,n=u")}},
		{Key: "inner", Value: bson.D{{Key: "a", Value: "b"}, {Key: "deeper", Value: bson.D{}}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what was read (-want +got):\n%s", diff)
	}
}

// wire is a connection on which a server has said all it will say.
type wire struct {
	net.Conn

	io.Reader
}

func (w wire) Read(p []byte) (int, error) { return w.Reader.Read(p) }

func answering(b []byte) *conn { return &conn{Conn: wire{Reader: bytes.NewReader(b)}, last: 7} }

// framed is a message with the right length.
func framed(code byte, body ...[]byte) []byte {
	b := append([]byte{0, 0, 0, 0, 9, 0, 0, 0, 7, 0, 0, 0, code, 0, 0, 0}, bytes.Join(body, nil)...)
	if code == opMsg&0xff {
		b[13] = opMsg >> 8
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	return b
}

func TestRead(t *testing.T) {
	t.Parallel()
	const modern = opMsg & 0xff
	yes := encode(field{"ok", true})
	reply := func(documents byte) []byte { b := make([]byte, 20); b[16] = documents; return b }
	section := func(flags byte, kind byte) []byte { return []byte{flags, 0, 0, 0, kind} }
	change := func(b []byte, at int, to byte) []byte { b[at] = to; return b }
	for _, tc := range []struct {
		name string
		in   []byte
		want error
	}{
		{"an old answer", framed(opReply, reply(1), yes), nil},
		{"an answer", framed(modern, section(0, 0), yes), nil},
		{"an answer with its checksum", framed(modern, section(1, 0), yes, []byte("crc!")), nil},
		{"a checksum that was not announced", framed(modern, section(0, 0), yes, []byte("crc!")), errMessage},
		{"a checksum that is missing", framed(modern, section(1, 0), yes), errMessage},
		{"more to come", framed(modern, section(2, 0), yes), errMessage},
		{"another kind of section", framed(modern, section(0, 1), yes), errMessage},
		{"two documents", framed(opReply, reply(2), yes, yes), errMessage},
		{"no document", framed(opReply, reply(0)), errMessage},
		{"bytes behind it", framed(opReply, reply(1), yes, []byte{0}), errMessage},
		{"no body", framed(opReply), errMessage},
		{"a broken document", framed(modern, section(0, 0), yes[:len(yes)-1]), errMessage},
		{"another request's", change(framed(opReply, reply(1), yes), 8, 6), errMessage},
		{"compressed", change(framed(modern, section(0, 0), yes), 12, 0xdc), errMessage},
		{"too long", change(framed(opReply, reply(1), yes), 2, 0xff), errMessage},
		{"too short", change(framed(opReply, reply(1), yes), 0, 15), errMessage},
		{"ends in its header", framed(opReply, reply(1), yes)[:9], io.ErrUnexpectedEOF},
		{"ends behind its header", framed(opReply, reply(1), yes)[:16], io.ErrUnexpectedEOF},
		{"ends in its body", framed(opReply, reply(1), yes)[:30], io.ErrUnexpectedEOF},
		{"ends before it begins", nil, io.EOF},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d, err := answering(tc.in).read()
			if !errors.Is(err, tc.want) || (err == nil) != d.get("ok").truth() {
				t.Errorf("read() = %x, %v; want error %v", d, err, tc.want)
			}
		})
	}
}

// FuzzRead: whatever a server says, reading it ends, and what our reader takes
// for a whole answer it reads as MongoDB's library does.
func FuzzRead(f *testing.F) {
	section := []byte{0, 0, 0, 0, 0}
	f.Add(framed(opMsg&0xff, section, everyType(f)))
	f.Add(framed(opReply, append(make([]byte, 16), 1, 0, 0, 0), encode(field{"ok", true}, field{"hosts", []field{{"0", "a:1"}}})))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := answering(b).read()
		if err != nil {
			return
		}
		_, _ = readHello(d)
		raw := bson.Raw(d)
		if raw.Validate() != nil {
			return // there is something wrong deeper than we look
		}
		elements, err := raw.Elements()
		if err != nil {
			t.Fatal(err)
		}
		i := 0
		for name, v := range d.elements() {
			theirs := elements[i]
			if name != theirs.Key() || v.kind != byte(theirs.Value().Type) || !bytes.Equal(v.data, theirs.Value().Value) {
				t.Fatalf("element %d is %q %x %x, want %v", i, name, v.kind, v.data, theirs)
			}
			i++
		}
		if i != len(elements) {
			t.Fatalf("%d elements, want %d", i, len(elements))
		}
	})
}
