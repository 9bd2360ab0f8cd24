package cassandratest

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

func text(to []byte, s string) []byte {
	to = binary.BigEndian.AppendUint16(to, uint16(len(s)))
	return append(to, s...)
}

func texts(to []byte, all ...string) []byte {
	to = binary.BigEndian.AppendUint16(to, uint16(len(all)))
	for _, s := range all {
		to = text(to, s)
	}
	return to
}

func long(to, b []byte) []byte {
	to = binary.BigEndian.AppendUint32(to, uint32(len(b)))
	return append(to, b...)
}

// longAt reads what stands behind a length of four bytes.
func longAt(b []byte) []byte {
	if len(b) < 4 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-4) {
		return nil
	}
	return b[4 : 4+binary.BigEndian.Uint32(b)]
}

func errorBody(code uint32, words string) []byte {
	return text(binary.BigEndian.AppendUint32(nil, code), words)
}

// options reads the map of a STARTUP.
func options(b []byte) map[string]string {
	found := map[string]string{}
	var words []string
	for b = b[min(2, len(b)):]; len(b) >= 2; {
		n := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+n {
			break
		}
		words = append(words, string(b[2:2+n]))
		b = b[2+n:]
	}
	for i := 0; i+1 < len(words); i += 2 {
		found[words[i]] = words[i+1]
	}
	return found
}

// segment wraps a message as version 5 does once the talk has begun.
func segment(payload []byte) []byte {
	n := len(payload)
	h := []byte{byte(n), byte(n >> 8), byte(n>>16&1) | 2}
	sum := headerSum(h)
	b := append(h, byte(sum), byte(sum>>8), byte(sum>>16))
	b = append(b, payload...)
	return binary.LittleEndian.AppendUint32(b, payloadSum(payload))
}

var errSum = errors.New("a checksum does not fit")

func readSegment(r io.Reader) ([]byte, error) {
	h := make([]byte, 6)
	if _, err := io.ReadFull(r, h); err != nil {
		return nil, err
	}
	if sum := headerSum(h[:3]); h[3] != byte(sum) || h[4] != byte(sum>>8) || h[5] != byte(sum>>16) {
		return nil, errSum
	}
	payload := make([]byte, int(h[0])|int(h[1])<<8|int(h[2]&1)<<16)
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, err
	}
	sum := make([]byte, 4)
	if _, err := io.ReadFull(r, sum); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(sum) != payloadSum(payload) {
		return nil, errSum
	}
	return payload, nil
}

// headerSum is the CRC-24 of the protocol, bit by bit.
func headerSum(b []byte) int {
	sum := 0x875060
	for _, c := range b {
		sum ^= int(c) << 16
		for range 8 {
			sum <<= 1
			if sum&0x1000000 != 0 {
				sum ^= 0x1974F0B
			}
		}
	}
	return sum
}

func payloadSum(b []byte) uint32 {
	sum := crc32.NewIEEE()
	_, _ = sum.Write([]byte{0xFA, 0x2D, 0x55, 0xCA})
	_, _ = sum.Write(b)
	return sum.Sum32()
}
