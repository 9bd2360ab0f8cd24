package cassandra

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"dialtone/internal/probe"
)

// Since version 5 messages travel in segments with checksums, once the server
// has answered STARTUP (native_protocol_v5.spec, section 2.2). Here they are
// never compressed.
const (
	segmentHeader  = 6
	segmentTrailer = 4
	maxSegment     = 1<<17 - 1
	selfContained  = 1 << 17
)

// segments reads the payloads of segments as one stream: a message longer than
// a segment goes on in the next.
type segments struct {
	r    io.Reader
	rest []byte
}

func (s *segments) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *segments) next() error {
	var h [segmentHeader]byte
	if _, err := io.ReadFull(s.r, h[:]); err != nil {
		return err
	}
	header, sum := little24(h[:3]), little24(h[3:])
	if crc24(h[:3]) != sum {
		return probe.Fail(probe.CodeProtocolMismatch, errors.New("checksum of a segment's header"))
	}
	payload := make([]byte, int(header&maxSegment)+segmentTrailer)
	if _, err := io.ReadFull(s.r, payload); err != nil {
		return unexpected(err)
	}
	n := len(payload) - segmentTrailer
	if crc32Prefixed(payload[:n]) != binary.LittleEndian.Uint32(payload[n:]) {
		return probe.Fail(probe.CodeProtocolMismatch, errors.New("checksum of a segment"))
	}
	s.rest = payload[:n]
	return nil
}

// wrap makes one segment of a whole message.
func wrap(message []byte) ([]byte, error) {
	if len(message) > maxSegment {
		return nil, fmt.Errorf("message of %d bytes does not fit one segment", len(message))
	}
	b := appendLittle24(nil, uint32(len(message))|selfContained) //nolint:gosec // bounded above
	b = appendLittle24(b, crc24(b))
	b = append(b, message...)
	return binary.LittleEndian.AppendUint32(b, crc32Prefixed(message)), nil
}

func appendLittle24(to []byte, n uint32) []byte {
	return binary.LittleEndian.AppendUint32(to, n)[:len(to)+3]
}

func little24(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }

// crc24 is the checksum of a segment's header.
func crc24(b []byte) uint32 {
	const initial, polynomial, overflow = 0x875060, 0x1974F0B, 1 << 24
	sum := uint32(initial)
	for _, c := range b {
		sum ^= uint32(c) << 16
		for range 8 {
			if sum <<= 1; sum&overflow != 0 {
				sum ^= polynomial
			}
		}
	}
	return sum
}

// crc32Prefixed is the checksum of a segment's payload: CRC-32 that begins with four
// bytes of its own.
func crc32Prefixed(b []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE([]byte{0xFA, 0x2D, 0x55, 0xCA}), crc32.IEEETable, b)
}
