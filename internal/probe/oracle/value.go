package oracle

import (
	"encoding/binary"
	"slices"
)

// The values of TTC. Numbers are their own length in a byte and then their
// bytes, the greatest first; texts have their length before them, or come in
// chunks.

const (
	// maxShort is the longest text whose length is a single byte.
	maxShort = 252
	chunked  = 0xfe
	null     = 0xff
	// maxValue bounds a value of the server's; the longest known are some
	// hundred bytes.
	maxValue = 16 << 10
)

// reader reads values across packets. Its first error stays; after it, all
// that is read is zero.
type reader struct {
	next func() ([]byte, error)
	rest []byte
	err  error
	// bigChunks: the chunks of a long text have numbers for lengths.
	bigChunks bool
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// take reads n bytes; n is bounded by the caller.
func (r *reader) take(n int) []byte {
	for r.err == nil && len(r.rest) < n {
		more, err := r.next()
		if err != nil {
			r.fail(err)
			break
		}
		r.rest = append(slices.Clip(r.rest), more...)
	}
	if r.err != nil {
		return make([]byte, n)
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) octet() byte { return r.take(1)[0] }

func (r *reader) uint16() int { return int(binary.BigEndian.Uint16(r.take(2))) }

// number reads a number of at most eight bytes. A sign is read over: nothing
// that counts here has one.
func (r *reader) number() uint64 {
	const sign, most = 0x80, 8
	n := int(r.octet() &^ sign)
	if n > most {
		r.fail(mismatch("number of %d bytes", n))
		return 0
	}
	var b [most]byte
	copy(b[most-n:], r.take(n))
	return binary.BigEndian.Uint64(b[:])
}

// count reads a number that must not exceed a limit.
func (r *reader) count(most int) int {
	n := r.number()
	if r.err == nil && n > uint64(most) { //nolint:gosec // limits are positive
		r.fail(mismatch("%d where at most %d was expected", n, most))
	}
	if r.err != nil {
		return 0
	}
	return int(n) //nolint:gosec // bounded above
}

// text reads a text with its length.
func (r *reader) text() []byte {
	switch n := r.octet(); n {
	case 0, null:
		return nil
	case chunked:
		return r.chunks()
	default:
		return r.take(int(n))
	}
}

func (r *reader) chunks() []byte {
	var all []byte
	for r.err == nil {
		var size int
		if r.bigChunks {
			size = r.count(maxValue)
		} else {
			size = int(r.octet())
		}
		if size == 0 {
			break
		}
		all = append(all, r.take(size)...)
		if len(all) > maxValue {
			r.fail(mismatch("value of more than %d bytes", maxValue))
		}
	}
	return all
}

// announced reads a text that a number announces.
func (r *reader) announced() []byte {
	if r.number() == 0 {
		return nil
	}
	return r.text()
}

// pair reads a named value.
func (r *reader) pair() (name, value []byte, flags uint64) {
	return r.announced(), r.announced(), r.number()
}

// skip reads over n bytes.
func (r *reader) skip(n int) { r.take(n) }

// skipNumbers reads over n numbers.
func (r *reader) skipNumbers(n int) {
	for range n {
		r.number()
	}
}

// message is one to send.
type message struct {
	b         []byte
	bigChunks bool
}

func (m *message) octets(b ...byte) { m.b = append(m.b, b...) }

func (m *message) number(n int) {
	switch {
	case n == 0:
		m.octets(0)
	case n <= 0xff:
		m.octets(1, byte(n&0xff))
	case n <= 0xffff:
		m.octets(2, byte(n>>8&0xff), byte(n&0xff))
	default:
		m.octets(4, byte(n>>24&0xff), byte(n>>16&0xff), byte(n>>8&0xff), byte(n&0xff))
	}
}

func (m *message) text(s string) {
	if len(s) <= maxShort {
		m.octets(byte(len(s))) //nolint:gosec // bounded above
		m.octets([]byte(s)...)
		return
	}
	m.octets(chunked)
	for len(s) > 0 {
		n := min(len(s), maxShort)
		if m.bigChunks {
			m.number(n)
		} else {
			m.octets(byte(n))
		}
		m.octets([]byte(s[:n])...)
		s = s[n:]
	}
	m.octets(0)
}

func (m *message) announced(s string) {
	m.number(len(s))
	if s != "" {
		m.text(s)
	}
}

func (m *message) pair(name, value string, flags int) {
	m.announced(name)
	m.announced(value)
	m.number(flags)
}
