package kerberos

import (
	"encoding/binary"
	"io"
)

// maxAnswer bounds a KDC's answer: tickets with the group memberships of Active
// Directory come to some ten thousand bytes.
const maxAnswer = 128 << 10

// Exchange sends one message over a connection to a KDC and reads its answer,
// each behind its length (RFC 4120, 7.2.2).
func Exchange(conn io.ReadWriter, message []byte) ([]byte, error) {
	framed := binary.BigEndian.AppendUint32(nil, uint32(len(message))) //nolint:gosec // our own, and short
	if _, err := conn.Write(append(framed, message...)); err != nil {
		return nil, err
	}
	var header [4]byte
	if _, err := io.ReadFull(conn, header[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(header[:])
	if size == 0 || size > maxAnswer {
		return nil, ErrMalformed
	}
	answer := make([]byte, size)
	_, err := io.ReadFull(conn, answer)
	return answer, err
}
