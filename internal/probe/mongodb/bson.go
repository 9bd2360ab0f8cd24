package mongodb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
	"math"
)

// Just enough of BSON (bsonspec.org, version 1.1) for the few commands of a
// test: every type can be skipped, few can be read or written.

// The element types that are read or written.
const (
	typeDouble   = 0x01
	typeString   = 0x02
	typeDocument = 0x03
	typeArray    = 0x04
	typeBinary   = 0x05
	typeBool     = 0x08
	typeInt32    = 0x10
	typeInt64    = 0x12
)

// errBSON is the answer to bytes that are no document.
var errBSON = errors.New("not a BSON document")

// document is a BSON document whose own elements are whole; those of the
// documents in it are looked at when they are asked for.
type document []byte

// value is one element of a document.
type value struct {
	kind byte
	data []byte
}

// parse takes the document that b begins with, and gives what follows it.
func parse(b []byte) (d document, rest []byte, err error) {
	n, ok := length(b)
	if !ok || n < 5 || n > len(b) || b[n-1] != 0 {
		return nil, nil, errBSON
	}
	d, rest = document(b[:n]), b[n:]
	for left := d.body(); len(left) > 0; {
		if _, _, left, ok = element(left); !ok {
			return nil, nil, errBSON
		}
	}
	return d, rest, nil
}

// body is what stands between the length and the closing zero; nothing in the
// zero document.
func (d document) body() []byte {
	if len(d) < 5 {
		return nil
	}
	return d[4 : len(d)-1]
}

// elements goes through the document in its order.
func (d document) elements() iter.Seq2[string, value] {
	return func(yield func(string, value) bool) {
		for left := d.body(); len(left) > 0; {
			name, v, rest, ok := element(left)
			if !ok || !yield(name, v) {
				return
			}
			left = rest
		}
	}
}

// get finds the first element of that name; without one the value is empty,
// and every reading of it fails.
func (d document) get(name string) value {
	for n, v := range d.elements() {
		if n == name {
			return v
		}
	}
	return value{}
}

// text reads a string.
func (v value) text() string {
	if v.kind != typeString {
		return ""
	}
	return string(v.data[4 : len(v.data)-1])
}

// number reads what is a number in any of its three forms, cut to an int.
func (v value) number() (int, bool) {
	switch v.kind {
	case typeInt32:
		return int(int32(binary.LittleEndian.Uint32(v.data))), true //nolint:gosec // the bits of a signed number
	case typeInt64:
		return int(binary.LittleEndian.Uint64(v.data)), true //nolint:gosec // the bits of a signed number
	case typeDouble:
		f := math.Float64frombits(binary.LittleEndian.Uint64(v.data))
		if math.IsNaN(f) || math.Abs(f) > math.MaxInt32 {
			return 0, false
		}
		return int(f), true
	default:
		return 0, false
	}
}

// truth reads a boolean, and a number as servers do that say ok: 1.
func (v value) truth() bool {
	if v.kind == typeBool {
		return v.data[0] != 0
	}
	n, ok := v.number()
	return ok && n != 0
}

// bytes reads binary data.
func (v value) bytes() []byte {
	if v.kind != typeBinary {
		return nil
	}
	return v.data[5:]
}

// texts reads an array's strings and leaves out what is none.
func (v value) texts() []string {
	if v.kind != typeArray {
		return nil
	}
	d, _, err := parse(v.data)
	if err != nil {
		return nil
	}
	var all []string
	for _, item := range d.elements() {
		if text := item.text(); text != "" {
			all = append(all, text)
		}
	}
	return all
}

// element takes the first element of b. Its data is whole.
func element(b []byte) (name string, v value, rest []byte, ok bool) {
	end := bytes.IndexByte(b[1:], 0)
	if end < 0 {
		return "", value{}, nil, false
	}
	name, rest = string(b[1:1+end]), b[end+2:]
	n, ok := size(b[0], rest)
	if !ok || n > len(rest) {
		return "", value{}, nil, false
	}
	return name, value{kind: b[0], data: rest[:n]}, rest[n:], true
}

// size is how many bytes a value of that type takes at the start of b; it may
// be more than there are.
func size(kind byte, b []byte) (int, bool) {
	switch kind {
	case 0x06, 0x0a, 0x7f, 0xff: // undefined, null, the greatest and the least key
		return 0, true
	case typeBool:
		return 1, true
	case typeInt32:
		return 4, true
	case typeDouble, 0x09, 0x11, typeInt64: // 9: a date, 11: a timestamp
		return 8, true
	case 0x07: // an object's id
		return 12, true
	case 0x13: // a decimal
		return 16, true
	case typeString, 0x0d, 0x0e: // d: code, e: a symbol
		return stringSize(b)
	case 0x0c: // a string and an object's id
		n, ok := stringSize(b)
		return n + 12, ok
	case typeDocument, typeArray, 0x0f: // f: code with its scope
		n, ok := length(b)
		return n, ok && n >= 5
	case typeBinary:
		n, ok := length(b)
		return 5 + n, ok
	case 0x0b: // a regular expression: two texts that end with zero
		first := bytes.IndexByte(b, 0)
		second := bytes.IndexByte(b[first+1:], 0)
		return first + second + 2, first >= 0 && second >= 0
	default:
		return 0, false
	}
}

// stringSize is the size of a length, that many bytes, and the zero at their end.
func stringSize(b []byte) (int, bool) {
	n, ok := length(b)
	if !ok || n < 1 || n > len(b)-4 || b[4+n-1] != 0 {
		return 0, false
	}
	return 4 + n, true
}

// length reads the length that b begins with. No message is longer than
// maxReply, and so nothing in it is.
func length(b []byte) (int, bool) {
	if len(b) < 4 {
		return 0, false
	}
	n := binary.LittleEndian.Uint32(b)
	return int(n), n <= maxReply
}

// field is an element to write: a string, an int32, a bool, bytes, or fields.
type field struct {
	name  string
	value any
}

// encode writes a document. A value of another type is a mistake of ours.
func encode(fields ...field) []byte {
	b := make([]byte, 4, 256)
	for _, f := range fields {
		at := len(b)
		b = append(b, 0)
		b = append(append(b, f.name...), 0)
		switch v := f.value.(type) {
		case string:
			b[at] = typeString
			b = appendInt32(b, len(v)+1)
			b = append(append(b, v...), 0)
		case int32:
			b[at] = typeInt32
			b = appendInt32(b, int(v))
		case bool:
			b[at] = typeBool
			if v {
				b = append(b, 1)
			} else {
				b = append(b, 0)
			}
		case []byte:
			b[at] = typeBinary
			b = appendInt32(b, len(v))
			b = append(append(b, 0), v...)
		case []field:
			b[at] = typeDocument
			b = append(b, encode(v...)...)
		default:
			panic("mongodb: no BSON type for the value of " + f.name)
		}
	}
	b = append(b, 0)
	binary.LittleEndian.PutUint32(b, uint32(len(b))) //nolint:gosec // our own documents are small
	return b
}

func appendInt32(b []byte, n int) []byte {
	return binary.LittleEndian.AppendUint32(b, uint32(n)) //nolint:gosec // our own messages are small
}
