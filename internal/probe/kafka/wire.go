package kafka

import (
	"encoding/binary"
	"errors"

	"dialtone/internal/probe"
)

// reader takes an answer apart, from the front. After the first fault it gives
// zeros, and no count is larger than what is left to be counted, so that a loop
// over it ends soon.
type reader struct {
	rest []byte
	bad  bool
	// flexible answers have the compact lengths and the tags of KIP-482.
	flexible bool
}

func (r *reader) err() error {
	if r.bad {
		return probe.Fail(probe.CodeProtocolMismatch, errors.New("not an answer of Kafka's"))
	}
	return nil
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.rest) {
		r.bad, r.rest = true, nil
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b)) //nolint:gosec // its two's complement
	}
	return 0
}

func (r *reader) int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b)) //nolint:gosec // its two's complement
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.take(-1)
		return 0
	}
	r.take(size)
	return n
}

// length is that of a thing which may be null; fixed reads it where it is not
// compact, as it is one higher. Null is -1.
func (r *reader) length(fixed func() int) int {
	if !r.flexible {
		return fixed()
	}
	n := r.uvarint()
	if n > uint64(len(r.rest))+1 {
		r.take(-1)
		return 0
	}
	return int(n) - 1 //nolint:gosec // compared above
}

// text is a string, which may be null.
func (r *reader) text() string {
	n := r.length(func() int { return int(r.int16()) })
	if n == -1 {
		return ""
	}
	return string(r.take(n))
}

// bytes are a byte string, which may be null.
func (r *reader) bytes() []byte {
	n := r.length(func() int { return int(r.int32()) })
	if n == -1 {
		return nil
	}
	return r.take(n)
}

// count is how many things a list has: each takes a byte at least.
func (r *reader) count() int {
	n := r.length(func() int { return int(r.int32()) })
	if n < -1 || n > len(r.rest) {
		r.take(-1)
		return 0
	}
	return n
}

// tags skips what newer versions append to a thing.
func (r *reader) tags() {
	if !r.flexible {
		return
	}
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		r.uvarint()
		size := r.uvarint()
		if size > uint64(len(r.rest)) {
			r.take(-1)
			return
		}
		r.take(int(size)) //nolint:gosec // compared above
	}
}
