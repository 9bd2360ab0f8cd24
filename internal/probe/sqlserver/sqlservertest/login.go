package sqlservertest

import (
	"encoding/binary"
	"fmt"
	"unicode/utf16"
)

// Login is what a client says of itself (MS-TDS 2.2.6.4, LOGIN7).
type Login struct {
	// Version is the version of TDS that the client asks for.
	Version uint32
	// PacketSize is what the client wants, and what it will get.
	PacketSize                           uint32
	Host, User, Password, Program        string
	Server, Library, Language, Database  string
	DatabaseMust, Integrated, ReadIntent bool
	// Encrypted: the packet came through TLS. Session: all after it, too.
	Encrypted, Session bool
}

// The fixed part of the packet, and what is in it.
const (
	login7Len     = 94
	atFlags1      = 24
	atFlags2      = 25
	atType        = 26
	atFirstOffset = 36

	flagDatabaseMust = 0x40 // OptionFlags1, fDatabase
	flagIntegrated   = 0x80 // OptionFlags2, fIntSecurity
	flagReadIntent   = 0x20 // TypeFlags, fReadOnlyIntent
)

func parseLogin(b []byte) (Login, error) {
	if len(b) < login7Len || int64(binary.LittleEndian.Uint32(b)) != int64(len(b)) {
		return Login{}, fmt.Errorf("%w: LOGIN7 of %d bytes", errMessage, len(b))
	}
	l := Login{
		Version: binary.LittleEndian.Uint32(b[4:]), PacketSize: binary.LittleEndian.Uint32(b[8:]),
		DatabaseMust: b[atFlags1]&flagDatabaseMust != 0,
		Integrated:   b[atFlags2]&flagIntegrated != 0,
		ReadIntent:   b[atType]&flagReadIntent != 0,
	}
	// Offset and length in characters of each; the fifth is the extension.
	texts := []*string{&l.Host, &l.User, &l.Password, &l.Program, &l.Server, nil, &l.Library, &l.Language, &l.Database}
	for i, text := range texts {
		if text == nil {
			continue
		}
		at := atFirstOffset + 4*i
		from, chars := int(binary.LittleEndian.Uint16(b[at:])), int(binary.LittleEndian.Uint16(b[at+2:]))
		if from+2*chars > len(b) {
			return Login{}, fmt.Errorf("%w: text %d of LOGIN7 leaves it", errMessage, i)
		}
		raw := b[from : from+2*chars]
		if text == &l.Password {
			raw = reveal(raw)
		}
		*text = decode(raw)
	}
	return l, nil
}

// reveal undoes what a client does to a password: it swaps the halves of each
// byte and then turns every second bit. Whoever has the packet has the password.
func reveal(hidden []byte) []byte {
	out := make([]byte, len(hidden))
	for i, b := range hidden {
		b ^= 0xa5
		out[i] = b<<4 | b>>4
	}
	return out
}

func decode(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}

func encode(s string) []byte {
	var out []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		out = binary.LittleEndian.AppendUint16(out, unit)
	}
	return out
}
