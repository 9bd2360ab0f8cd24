package oracletest

import (
	"encoding/binary"
	"fmt"
)

// Types of TTC messages.
const (
	messageProtocol  = 1
	messageDataTypes = 2
	messageFunction  = 3
	messageError     = 4
	messageParameter = 8
	messageStatus    = 9
	messageWarning   = 15
	messagePiggyback = 23
	messageEnd       = 29
	messageFastAuth  = 34
)

// TTC functions.
const (
	functionLogoff   = 9
	functionVersion  = 59
	functionExecute  = 94
	functionPhaseTwo = 115
	functionPhaseOne = 118
	functionPing     = 147
)

// Places in the compile-time capabilities.
const (
	capLogon  = 4
	capFields = 7
	capCall   = 15
	capSeq    = 16
	capTypes  = 27
	capChunks = 37
	capCount  = 45
)

// The field versions at which messages change.
const (
	fieldsExtended = 7  // 12.1: error numbers of four bytes
	fieldsSQLType  = 14 // 20.1: two more fields in errors
	fieldsToken    = 18 // 23.1: a token in every call
)

// session answers messages until the client goes.
func (t *talk) session() {
	for t.err == nil {
		switch kind := t.byte(); {
		case t.err != nil:
		case kind == messageProtocol:
			t.hearProtocol()
			t.sayProtocol()
			t.flush(0)
		case kind == messageDataTypes:
			types := t.hearDataTypes()
			t.sayDataTypes(types)
			t.flush(0)
		case kind == messageFastAuth:
			t.fastAuth()
		case kind == messageFunction:
			function := t.byte()
			_ = t.byte() // sequence
			if t.fields >= fieldsToken {
				_ = t.number()
			}
			t.call(function)
		default:
			t.fail(fmt.Errorf("message of type %d", kind))
		}
	}
}

// call serves one function.
func (t *talk) call(function byte) {
	switch function {
	case functionPhaseOne:
		t.phaseOne()
	case functionPhaseTwo:
		t.phaseTwo()
	case functionPing:
		t.visit.Pings++
		t.status()
	case functionLogoff:
		t.visit.LoggedOff = true
		t.status()
	case functionVersion:
		t.in = nil
		t.put(messageParameter)
		t.putText(t.Release.Banner)
		t.putNumber(uint64(t.Release.Number))
		t.status()
	case functionExecute:
		t.in = nil
		t.raise(942, "ORA-00942: table or view does not exist")
	default:
		t.fail(fmt.Errorf("function %d", function))
	}
}

// end closes a response.
func (t *talk) end() {
	if t.marks {
		t.put(messageEnd)
		t.flush(dataEndOfResponse)
		return
	}
	t.flush(0)
}

func (t *talk) status() {
	t.put(messageStatus)
	t.putNumber(0)
	t.putNumber(0)
	t.end()
}

// raise ends a call with an error.
func (t *talk) raise(code int, text string) {
	t.out = nil
	if !t.PlainErrors {
		t.reset()
	}
	t.putError(code, text)
	t.end()
}

// putError writes the message that ends a call, in success (0) or failure. An
// error that came with an earlier part of the response is cut off from it.
func (t *talk) putError(code int, text string) {
	t.put(messageError)
	t.putNumber(0) // status of the call
	t.putNumber(0) // sequence
	t.putNumber(0) // row
	t.putNumber(uint64(code & 0xffff))
	t.put(0, 0, 0, 0)       // two of array elements, cursor, position
	t.put(0, 0, 0, 0, 0, 0) // SQL type, fatal, flags, cursor options, UPI, warnings
	t.put(0, 0, 0, 0, 0)    // row id
	t.put(0, 0, 0, 0, 0)    // OS error, statement, call, padding, iterations
	t.put(0)                // logical row id
	if t.fields < fieldsExtended {
		t.put(0, 0, 0)
	} else {
		t.put(0, 0, 0) // batch errors
		t.putNumber(uint64(code))
		t.putNumber(0) // rows
	}
	if t.fields >= fieldsSQLType {
		t.put(0, 0)
	}
	if code != 0 {
		t.putBytes(text + "\n")
	}
}

func (t *talk) hearProtocol() {
	for t.err == nil && t.byte() != 0 { // the versions offered
	}
	t.cString()
}

// sayProtocol answers with who we are and what we can.
func (t *talk) sayProtocol() {
	const utf8, utf16 = 873, 2000
	t.bigChunks = t.Release.Fields >= fieldsExtended
	t.put(messageProtocol, 6, 0)
	t.put([]byte(t.Release.Banner + "\x00")...)
	t.out = binary.LittleEndian.AppendUint16(t.out, utf8)
	t.put(1)                  // flags
	t.put(1, 0)               // one conversion of character sets, of five bytes
	t.put(1, 0, 31, 0, 1)     //
	t.put(0, 11)              // the length of what follows
	t.put(make([]byte, 9)...) // with the national character set at its end
	t.out = binary.BigEndian.AppendUint16(t.out, utf16)

	compile := make([]byte, capCount)
	for i := range compile {
		compile[i] = 1
	}
	compile[capLogon] = 8 | 2 | 64 | 128
	if t.Release.Hashed {
		compile[capLogon] |= 32
	}
	compile[capFields] = t.Release.Fields
	compile[capCall], compile[capSeq] = 0x7f, 0xff
	compile[capTypes] = 1
	compile[capChunks] = 0
	if t.bigChunks {
		compile[capChunks] = 32
	}
	compile[40] = 0 // no boundaries of requests
	t.putBytes(string(compile))
	t.putBytes("\x02\x01\x00\x00\x00\x00\x00")
}

// hearDataTypes reads what the client can and says how many types it lists.
func (t *talk) hearDataTypes() int {
	t.raw(5) // character sets, flags
	compile, run := t.bytes(), t.bytes()
	if len(compile) <= capTypes || len(run) < 2 {
		t.fail(fmt.Errorf("capabilities of %d and %d bytes", len(compile), len(run)))
		return 0
	}
	t.fields = min(t.Release.Fields, compile[capFields])
	if t.bigTime = run[1]&1 != 0; t.bigTime {
		t.raw(11)
		if len(compile) > capChunks && compile[capChunks]&2 != 0 {
			t.raw(4)
		}
		t.raw(2) // the national character set again
	}
	return t.hearTypes()
}

func (t *talk) hearTypes() int {
	two := func() uint16 { return binary.BigEndian.Uint16(t.raw(2)) }
	for n := 0; ; n++ {
		if two() == 0 || t.err != nil {
			return n
		}
		if two() != 0 {
			t.raw(4)
		}
	}
}

func (t *talk) sayDataTypes(types int) {
	t.put(messageDataTypes)
	if t.bigTime {
		t.put(128, 0, 0, 0, 60, 60, 60, 128, 0, 0, 0)
	}
	for i := range min(types, 3) {
		kind := byte(i + 1)
		t.put(0, kind, 0, kind, 0, 1, 0, 0)
	}
	t.put(0, 0)
}

// fastAuth is negotiation and first step of the login in one.
func (t *talk) fastAuth() {
	t.raw(3) // version, flags
	t.byte() // message type
	t.hearProtocol()
	t.raw(6) // character sets, field version
	t.byte() // message type
	types := t.hearDataTypes()
	t.raw(3) // message type, function, sequence: no token yet
	t.sayProtocol()
	t.sayDataTypes(types)
	t.phaseOne()
}
