package sqlserver

import (
	"encoding/binary"
	"unicode/utf16"

	"dialtone/internal/probe"
)

// The fixed part of LOGIN7 (MS-TDS 2.2.6.4).
const (
	login7Len = 94
	// versionTDS74 is what is asked for, SQL Server 2012 and later; an older
	// server answers with its own.
	versionTDS74 = 0x74000004
	versionTDS72 = 0x72090002

	// OptionFlags1: say when the database changes, and end the login when the
	// one that was named cannot be opened, instead of opening another; say when
	// the language changes.
	flagUseDatabase  = 0x20
	flagInitDatabase = 0x40
	flagSetLanguage  = 0x80
	// OptionFlags2: as ODBC clients are treated, which is as most are.
	flagODBC = 0x02

	languageEnglish = 1033
)

// loginMessage holds the credentials: a SQL Server login, no Windows account.
func loginMessage(t *probe.Target, host, program string) []byte {
	le := binary.LittleEndian
	b := make([]byte, login7Len)
	le.PutUint32(b[4:], versionTDS74)
	le.PutUint32(b[8:], packetLen)
	b[24] = flagUseDatabase | flagInitDatabase | flagSetLanguage
	b[25] = flagODBC
	le.PutUint32(b[32:], languageEnglish)

	empty := []byte(nil)
	for i, text := range [][]byte{
		utf16le(program), // the client's host: a constant instead of ours
		utf16le(t.User),
		obscured(utf16le(t.Password.Reveal())),
		utf16le(program),
		utf16le(host), // by which a gateway knows the server that is meant
		empty,         // extensions
		utf16le(program),
		empty, // language: the account's own
		utf16le(t.Database),
	} {
		b = field(b, 36+4*i, text)
	}
	// Behind the client's hardware address, which stays zero: SSPI, a file to
	// attach, a new password. All are empty.
	for _, at := range []int{78, 82, 86} {
		b = field(b, at, nil)
	}
	le.PutUint32(b, uint32(len(b))) //nolint:gosec // bounded by what a request may hold
	return b
}

// field appends a text and notes at its place where it is, with its length in
// characters.
func field(b []byte, at int, text []byte) []byte {
	binary.LittleEndian.PutUint16(b[at:], uint16(len(b)))        //nolint:gosec // bounded by what a request may hold
	binary.LittleEndian.PutUint16(b[at+2:], uint16(len(text)/2)) //nolint:gosec // bounded by what a request may hold
	return append(b, text...)
}

// obscured swaps the halves of each byte and turns every second bit, as the
// protocol wants a password. It hides nothing from who knows that.
func obscured(b []byte) []byte {
	for i, c := range b {
		b[i] = (c<<4 | c>>4) ^ 0xa5
	}
	return b
}

func utf16le(s string) []byte {
	units := utf16.Encode([]rune(s))
	b := make([]byte, 0, 2*len(units))
	for _, u := range units {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

func fromUTF16(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}

// checkStatement is the lightest there is: no row, no table, no right is
// needed. The transaction descriptor in front of it (MS-TDS 2.2.5.3) says that
// there is no transaction; servers before TDS 7.2 know no such headers.
func checkStatement(version uint32) []byte {
	var b []byte
	if version >= versionTDS72 {
		le := binary.LittleEndian
		b = le.AppendUint32(b, 22) // all headers
		b = le.AppendUint32(b, 18) // this one
		b = le.AppendUint16(b, 2)  // transaction descriptor
		b = le.AppendUint64(b, 0)
		b = le.AppendUint32(b, 1) // requests under way
	}
	return append(b, utf16le("set nocount on")...)
}
