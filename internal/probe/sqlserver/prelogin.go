package sqlserver

import (
	"encoding/binary"
	"fmt"
)

// Options of PRELOGIN (MS-TDS 2.2.6.5).
const (
	optionVersion    = 0x00
	optionEncryption = 0x01
	optionInstance   = 0x02
	optionThread     = 0x03
	optionMARS       = 0x04
	optionEnd        = 0xff
)

// What the option for encryption says. A server that neither has to nor is
// asked to encrypt the session still encrypts the packet with the password.
const (
	encryptLogin  = 0x00 // ENCRYPT_OFF
	encryptAll    = 0x01 // ENCRYPT_ON
	encryptNever  = 0x02 // ENCRYPT_NOT_SUP
	encryptDemand = 0x03 // ENCRYPT_REQ
)

// longestPrelogin bounds the answer: real ones have some fifty bytes.
const longestPrelogin = packetLen

// preloginMessage asks who is there and for encryption. The instance is empty
// and so fits any: the port says which one is meant.
func preloginMessage(encryption byte) []byte {
	options := []struct {
		token byte
		data  []byte
	}{
		{optionVersion, make([]byte, 6)},
		{optionEncryption, []byte{encryption}},
		{optionInstance, []byte{0}},
		{optionThread, make([]byte, 4)},
		{optionMARS, []byte{0}},
	}
	var head, data []byte
	at := 5*len(options) + 1
	for _, o := range options {
		head = append(head, o.token)
		head = binary.BigEndian.AppendUint16(head, uint16(at+len(data))) //nolint:gosec // some fifty bytes
		head = binary.BigEndian.AppendUint16(head, uint16(len(o.data)))  //nolint:gosec // some bytes
		data = append(data, o.data...)
	}
	return append(append(head, optionEnd), data...)
}

// prelogin is the server's answer, as far as it matters.
type prelogin struct {
	version    string // major.minor.build
	encryption byte
}

func parsePrelogin(b []byte) (prelogin, error) {
	var p prelogin
	var versioned, encrypted bool
	for at := 0; ; at += 5 {
		if at >= len(b) || b[at] != optionEnd && at+5 > len(b) {
			return prelogin{}, fmt.Errorf("%w: the options of PRELOGIN do not end", errForeign)
		}
		if b[at] == optionEnd {
			break
		}
		from, size := int(binary.BigEndian.Uint16(b[at+1:])), int(binary.BigEndian.Uint16(b[at+3:]))
		if from+size > len(b) {
			return prelogin{}, fmt.Errorf("%w: an option of PRELOGIN leaves it", errForeign)
		}
		switch data := b[from : from+size]; {
		case b[at] == optionVersion && size >= 4:
			p.version, versioned = dotted(data), true
		case b[at] == optionEncryption && size == 1:
			p.encryption, encrypted = data[0], data[0] <= encryptDemand
		}
	}
	if !versioned || !encrypted {
		return prelogin{}, fmt.Errorf("%w: PRELOGIN without version or encryption", errForeign)
	}
	return p, nil
}

// dotted writes a version: major, minor and build as the server numbers them.
func dotted(b []byte) string {
	return fmt.Sprintf("%d.%d.%d", b[0], b[1], binary.BigEndian.Uint16(b[2:]))
}

// offer names for a report what a server says about encryption.
func (p prelogin) offer() string {
	switch p.encryption {
	case encryptLogin:
		return "login"
	case encryptAll:
		return "session"
	case encryptDemand:
		return "required"
	default:
		return "none"
	}
}
