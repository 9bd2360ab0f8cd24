package oracletest

import (
	"encoding/binary"
	"fmt"
)

// The values of TTC messages, read. Numbers are their own length in a byte and
// then their bytes, the greatest first.

func (w *wire) raw(n int) []byte {
	b := make([]byte, 0, min(n, 1<<16))
	for len(b) < n && w.err == nil {
		w.fill()
		take := min(n-len(b), len(w.in))
		b, w.in = append(b, w.in[:take]...), w.in[take:]
	}
	if w.err != nil {
		return make([]byte, n)
	}
	return b
}

func (w *wire) byte() byte { return w.raw(1)[0] }

func (w *wire) number() uint64 {
	n := w.byte()
	if n > 8 {
		w.fail(fmt.Errorf("a number of %d bytes", n))
		return 0
	}
	b := make([]byte, 8)
	copy(b[8-n:], w.raw(int(n)))
	return binary.BigEndian.Uint64(b)
}

// bytes reads a value with its length, in one piece or in chunks.
func (w *wire) bytes() []byte {
	const chunked, null = 0xfe, 0xff
	switch n := w.byte(); n {
	case null:
		return nil
	case chunked:
		var all []byte
		for w.err == nil {
			var size uint64
			if w.bigChunks {
				size = w.number()
			} else {
				size = uint64(w.byte())
			}
			if size == 0 || size > 1<<16 {
				break
			}
			all = append(all, w.raw(int(size))...)
		}
		return all
	default:
		return w.raw(int(n))
	}
}

// text reads a value that is announced by a number and then has its length.
func (w *wire) text() string {
	if w.number() == 0 {
		return ""
	}
	return string(w.bytes())
}

// cString reads up to a zero byte.
func (w *wire) cString() string {
	var b []byte
	for w.err == nil {
		c := w.byte()
		if c == 0 {
			break
		}
		b = append(b, c)
	}
	return string(b)
}

// And written.

func (w *wire) put(b ...byte) { w.out = append(w.out, b...) }

func (w *wire) putNumber(n uint64) {
	switch {
	case n == 0:
		w.put(0)
	case n <= 0xff:
		w.put(1, byte(n))
	case n <= 0xffff:
		w.put(2)
		w.out = binary.BigEndian.AppendUint16(w.out, uint16(n))
	case n <= 0xffffffff:
		w.put(4)
		w.out = binary.BigEndian.AppendUint32(w.out, uint32(n))
	default:
		w.put(8)
		w.out = binary.BigEndian.AppendUint64(w.out, n)
	}
}

func (w *wire) putBytes(b string) {
	const longest, chunked = 252, 0xfe
	if len(b) <= longest {
		w.put(byte(len(b)))
		w.put([]byte(b)...)
		return
	}
	w.put(chunked)
	for len(b) > 0 {
		n := min(len(b), longest)
		if w.bigChunks {
			w.putNumber(uint64(n))
		} else {
			w.put(byte(n))
		}
		w.put([]byte(b[:n])...)
		b = b[n:]
	}
	w.put(0)
}

func (w *wire) putText(s string) {
	w.putNumber(uint64(len(s)))
	if s != "" {
		w.putBytes(s)
	}
}

// pair is one named value of a login.
type pair struct {
	name, value string
	flags       uint32
}

// putPairs writes the message in which a server returns named values.
func (w *wire) putPairs(pairs ...pair) {
	w.put(messageParameter)
	w.putNumber(uint64(len(pairs)))
	for _, p := range pairs {
		w.putText(p.name)
		w.putText(p.value)
		w.putNumber(uint64(p.flags))
	}
}
