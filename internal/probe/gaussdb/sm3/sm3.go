// Package sm3 is the hash function of GB/T 32905-2016, which GaussDB may store
// passwords with and Go does not have. It is for short inputs: a whole message
// in one call.
package sm3

import (
	"encoding/binary"
	"math/bits"
)

// Size is the length of a digest.
const Size = 32

// block is how many bytes are worked on at a time.
const block = 64

// Sum is the digest of data.
func Sum(data []byte) [Size]byte {
	v := [8]uint32{0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600, 0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e}
	for padded := pad(data); len(padded) > 0; padded = padded[block:] {
		v = compress(v, padded[:block])
	}
	var sum [Size]byte
	for i, word := range v {
		binary.BigEndian.PutUint32(sum[4*i:], word)
	}
	return sum
}

// pad appends a bit, zeros, and the length in bits (section 5.2).
func pad(data []byte) []byte {
	padded := append(append(make([]byte, 0, len(data)+2*block), data...), 0x80)
	for len(padded)%block != block-8 {
		padded = append(padded, 0)
	}
	return binary.BigEndian.AppendUint64(padded, 8*uint64(len(data)))
}

// compress is CF of section 5.3.3, with the letters of the standard.
func compress(v [8]uint32, b []byte) [8]uint32 {
	w := expand(b)
	a, bb, c, d, e, f, g, h := v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]
	for j := range 64 {
		t, ff, gg := uint32(0x7a879d8a), (a&bb)|(a&c)|(bb&c), (e&f)|(^e&g)
		if j < 16 {
			t, ff, gg = 0x79cc4519, a^bb^c, e^f^g
		}
		a12 := bits.RotateLeft32(a, 12)
		ss1 := bits.RotateLeft32(a12+e+bits.RotateLeft32(t, j%32), 7)
		tt1, tt2 := ff+d+(ss1^a12)+(w[j]^w[j+4]), gg+h+ss1+w[j]
		a, bb, c, d = tt1, a, bits.RotateLeft32(bb, 9), c
		e, f, g, h = tt2^bits.RotateLeft32(tt2, 9)^bits.RotateLeft32(tt2, 17), e, bits.RotateLeft32(f, 19), g
	}
	return [8]uint32{v[0] ^ a, v[1] ^ bb, v[2] ^ c, v[3] ^ d, v[4] ^ e, v[5] ^ f, v[6] ^ g, v[7] ^ h}
}

// expand makes the words of a block, section 5.3.2.
func expand(b []byte) (w [68]uint32) {
	for j := range 16 {
		w[j] = binary.BigEndian.Uint32(b[4*j:])
	}
	for j := 16; j < len(w); j++ {
		x := w[j-16] ^ w[j-9] ^ bits.RotateLeft32(w[j-3], 15)
		w[j] = x ^ bits.RotateLeft32(x, 15) ^ bits.RotateLeft32(x, 23) ^ bits.RotateLeft32(w[j-13], 7) ^ w[j-6]
	}
	return w
}
