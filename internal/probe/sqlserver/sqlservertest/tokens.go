package sqlservertest

import (
	"encoding/binary"
)

// Tokens of an answer (MS-TDS 2.2.7).
const (
	tokenColumns  = 0x81
	tokenError    = 0xaa
	tokenInfo     = 0xab
	tokenLoginAck = 0xad
	tokenRow      = 0xd1
	tokenEnv      = 0xe3
	tokenDone     = 0xfd

	envDatabase   = 1
	envPacketSize = 4
	envRouting    = 20

	doneError = 0x0002
	doneCount = 0x0010
	doneFatal = 0x0100 // DONE_SRVERROR: the session is over

	versionTDS74 = 0x74000004
)

// Error is one message of the server's.
type Error struct {
	Number int32
	State  byte
	// Class is the severity; 10 and less is no error, 20 and more ends the
	// session.
	Class byte
	Text  string
}

// Failed is what a server says to a password that is wrong.
func Failed(user string) []Error {
	return []Error{{Number: 18456, State: 1, Class: 14, Text: "Login failed for user '" + user + "'."}}
}

// NoDatabase is what a server says to a database that it does not have.
func NoDatabase(database, user string) []Error {
	return append([]Error{{
		Number: 4060, State: 1, Class: 11,
		Text: "Cannot open database \"" + database + "\" requested by the login. The login failed.",
	}}, Failed(user)...)
}

// answer is a token stream in the making.
type answer struct{ bytes []byte }

func (a *answer) u16(n int)     { a.bytes = binary.LittleEndian.AppendUint16(a.bytes, uint16(n)) }
func (a *answer) u32(n uint32)  { a.bytes = binary.LittleEndian.AppendUint32(a.bytes, n) }
func (a *answer) raw(b ...byte) { a.bytes = append(a.bytes, b...) }

// short and long are texts behind a length in characters of one or two bytes.
func (a *answer) short(s string) {
	b := encode(s)
	a.raw(byte(len(b) / 2))
	a.raw(b...)
}

func (a *answer) long(s string) {
	b := encode(s)
	a.u16(len(b) / 2)
	a.raw(b...)
}

// token adds one with a length in front of its body.
func (a *answer) token(kind byte, fill func(*answer)) {
	var body answer
	fill(&body)
	a.raw(kind)
	a.u16(len(body.bytes))
	a.raw(body.bytes...)
}

func (a *answer) message(e Error) {
	kind := byte(tokenError)
	if e.Class <= 10 {
		kind = tokenInfo
	}
	a.token(kind, func(b *answer) {
		b.u32(uint32(e.Number))
		b.raw(e.State, e.Class)
		b.long(e.Text)
		b.short("TESTSERVER")
		b.short("")
		b.u32(1)
	})
}

func (a *answer) env(kind byte, now, before string) {
	a.token(tokenEnv, func(b *answer) {
		b.raw(kind)
		b.short(now)
		b.short(before)
	})
}

func (a *answer) route(r Route) {
	a.token(tokenEnv, func(b *answer) {
		var value answer
		value.raw(0) // TCP
		value.u16(int(r.Port))
		value.long(r.Host)
		b.raw(envRouting)
		b.u16(len(value.bytes))
		b.raw(value.bytes...)
		b.u16(0)
	})
}

func (a *answer) loginAck(program string, version [4]byte) {
	a.token(tokenLoginAck, func(b *answer) {
		b.raw(1) // T-SQL
		b.bytes = binary.BigEndian.AppendUint32(b.bytes, versionTDS74)
		b.short(program)
		b.raw(version[:]...)
	})
}

func (a *answer) done(status int, rows uint64) {
	a.raw(tokenDone)
	a.u16(status)
	a.u16(0)
	a.bytes = binary.LittleEndian.AppendUint64(a.bytes, rows)
}

// one is the result of "select 1": a column without a name, and its row.
func (a *answer) one() {
	a.raw(tokenColumns)
	a.u16(1)        // columns
	a.u32(0)        // user type
	a.u16(0)        // flags
	a.raw(0x38)     // INT4TYPE
	a.short("")     // name
	a.raw(tokenRow) //
	a.u32(1)        // the value
	a.done(doneCount, 1)
}

// Refusal is a whole answer that consists of errors.
func Refusal(errors ...Error) []byte {
	var a answer
	for _, e := range errors {
		a.message(e)
	}
	a.done(doneError, 0)
	return a.bytes
}

// Notice is a token that informs and means nothing.
func Notice(text string) []byte {
	var a answer
	a.message(Error{Number: 5701, State: 2, Text: text})
	return a.bytes
}
