package oracle

import (
	"encoding/binary"
	"fmt"
	"slices"

	"dialtone/internal/probe"
)

// Places in the compile-time capabilities, which both sides exchange.
const (
	capLogon    = 4
	capFields   = 7
	capCall     = 15
	capSequence = 16
	capTypes    = 27
	capChunks   = 37
	capsSize    = 45

	callStatus    = 0x01 // in capCall: answers carry the status of the call
	callSequence  = 0x01 // in capSequence: and a sequence number
	chunksBig     = 0x20 // in capChunks
	utf8          = 873  // AL32UTF8
	multiByte     = 0x01 | 0x02
	ttcProtocol   = 6 // that of Oracle 8.1 and all since
	representUni  = 1
	maxConversion = 1024
)

// The versions of the fields in messages, by the release that brought them.
const (
	fieldsLeast    = 4  // 9i
	fieldsExtended = 7  // 12.1: error numbers of four bytes
	fieldsNewTypes = 7  // 12.1: the data types from 590 on
	fieldsOurs     = 12 // 19c
)

// capabilities are ours: what this client could take if it executed anything,
// so that the server sees one of the kind it knows.
func capabilities(fields byte, wide bool) []byte {
	c := make([]byte, capsSize)
	c[0] = 6                              // version of SQL
	c[capLogon] = 2 | 8 | 32 | 64 | 128   // O5LOGON, without padding, with PBKDF2, long names and passwords
	c[capFields] = fields                 //
	c[8], c[9] = 1, 1                     // conversion by the server, selectors of queues
	c[capCall] = callStatus | 0x08 | 0x20 // and bit vectors
	c[capSequence] = 0x10 | 0x80          // propagation of sessions, application contexts
	c[17], c[18], c[19], c[21] = 3, 7, 3, 1
	c[23] = 0x01 | 0x02 | 0x08 // large objects
	c[26] = 4
	if wide {
		c[capTypes] = 1 // data types have two bytes
	}
	c[34] = 12 // the functions known
	c[capChunks] = chunksBig
	return c
}

// dataTypes are the types that a client of any release may name, which stay as
// they are, in the universal representation: pairs of a first and a last one.
//
//nolint:gochecknoglobals // a constant table
var dataTypes = []uint16{
	1, 1, 8, 8, 10, 11, 23, 26, 28, 33, 39, 41, 96, 96, 100, 102, 106, 106, 109, 109, 111, 115, 117, 117, 119, 120,
	127, 127, 146, 146, 178, 183, 185, 190, 198, 198, 208, 208, 231, 231, 233, 233, 252, 252, 290, 294, 298, 313,
	315, 323, 327, 329, 331, 331, 333, 346, 348, 349, 354, 355, 359, 359, 363, 363, 380, 391, 393, 401, 404, 407,
	413, 427, 429, 433, 449, 450, 454, 463, 466, 486, 490, 496, 498, 502, 509, 510, 513, 514, 516, 543, 560, 560,
	563, 565, 572, 576, 578, 585, 590, 605, 611, 616, 622, 632, 636, 640, 646, 647, 652, 652, 660, 661, 663, 663,
	665, 665, 668, 670,
}

// convertedTypes are those that become another one, or have Oracle's own
// representation (10): triples of type, other type and representation.
//
//nolint:gochecknoglobals // a constant table
var convertedTypes = []uint16{
	2, 2, 10, 12, 12, 10, 27, 27, 10, 3, 2, 10, 4, 2, 10, 5, 1, 1, 6, 2, 10, 7, 2, 10, 9, 1, 1, 15, 1, 1,
	68, 2, 10, 91, 2, 10, 94, 1, 1, 95, 23, 1, 97, 96, 1, 104, 11, 1, 108, 109, 1, 110, 111, 1, 116, 102, 1,
	152, 2, 10, 153, 2, 10, 154, 2, 10, 155, 1, 1, 156, 12, 10, 172, 2, 10, 184, 12, 10, 195, 112, 1, 196, 113, 1,
	197, 114, 1, 232, 231, 1, 241, 109, 1,
}

// firstNewType is the first of the types that servers before 12.1 do not know.
const firstNewType = 590

// greeting is what a server says in the negotiation of the protocol.
type greeting struct {
	banner  string
	compile []byte
}

// parseGreeting reads the answer to the protocol message.
func parseGreeting(r *reader) greeting {
	const known, minCompile = 7, capSequence + 1
	if kind := r.octet(); kind != messageProtocol {
		r.fail(mismatch("message of type %d where the protocol was due", kind))
	}
	if v := r.octet(); v != ttcProtocol {
		r.fail(mismatch("protocol version %d", v))
	}
	r.octet()
	var g greeting
	const maxBanner = 256
	for n := 0; ; n++ {
		c := r.octet()
		if c == 0 || r.err != nil {
			break
		}
		if n == maxBanner {
			r.fail(mismatch("banner without end"))
		}
		g.banner += string(rune(c))
	}
	r.skip(3) // character set, flags
	elements := int(binary.LittleEndian.Uint16(r.take(2)))
	if elements > maxConversion {
		r.fail(mismatch("%d conversions", elements))
	}
	if r.err != nil {
		return g
	}
	const elementSize = 5
	r.skip(elements * elementSize)
	size := r.uint16()
	if size < known || size > maxConversion {
		r.fail(mismatch("conversion of %d bytes", size))
	}
	if r.err != nil {
		return g
	}
	r.skip(size)
	g.compile = append(g.compile, r.text()...)
	r.text() // the run-time capabilities
	if r.err == nil && len(g.compile) < minCompile {
		r.fail(mismatch("%d capabilities", len(g.compile)))
	}
	return g
}

// has says whether a capability is there.
func (g greeting) has(place int, bit byte) bool {
	return len(g.compile) > place && g.compile[place]&bit != 0
}

// negotiate agrees on the protocol and on the data types.
func (c *caller) negotiate() error {
	hello := append([]byte{messageProtocol, ttcProtocol, 0}, clientName+"\x00"...)
	r, err := c.ask(hello)
	if err != nil {
		return err
	}
	g := parseGreeting(r)
	if r.err != nil {
		return r.err
	}
	c.fields = min(g.compile[capFields], fieldsOurs)
	if c.fields < fieldsLeast {
		return probe.Fail(probe.CodeVersionUnsupported, fmt.Errorf("fields of version %d", c.fields))
	}
	c.status, c.sequence = g.has(capCall, callStatus), g.has(capSequence, callSequence)
	c.bigChunks = g.has(capChunks, chunksBig)
	wide := g.has(capTypes, 0xff)
	if r, err = c.ask(c.typesMessage(wide)); err != nil {
		return err
	}
	return parseTypes(r, wide)
}

// typesMessage lists the data types; those beyond a byte only where the server
// has room for them.
func (c *caller) typesMessage(wide bool) []byte {
	m := &message{bigChunks: c.bigChunks}
	m.octets(messageDataTypes, utf8&0xff, utf8>>8, utf8&0xff, utf8>>8, multiByte)
	m.text(string(capabilities(c.fields, wide)))
	m.text("\x02\x00\x00\x00\x00\x00\x04")
	put := func(values ...uint16) {
		for _, v := range values {
			if wide {
				m.b = binary.BigEndian.AppendUint16(m.b, v)
			} else {
				m.octets(byte(v & 0xff))
			}
		}
	}
	known := func(kind uint16) bool {
		return (wide || kind <= 0xff) && (c.fields >= fieldsNewTypes || kind < firstNewType)
	}
	for span := range slices.Chunk(dataTypes, 2) {
		for kind := span[0]; kind <= span[1]; kind++ {
			if known(kind) {
				put(kind, kind, representUni, 0)
			}
		}
	}
	for t := range slices.Chunk(convertedTypes, 3) {
		put(t[0], t[1], t[2], 0)
	}
	put(0)
	return m.b
}

// parseTypes reads over the server's list.
func parseTypes(r *reader, wide bool) error {
	if kind := r.octet(); kind != messageDataTypes {
		r.fail(mismatch("message of type %d where the data types were due", kind))
	}
	get := func() int {
		if wide {
			return r.uint16()
		}
		return int(r.octet())
	}
	const most = 4096
	for range most {
		kind := get()
		if kind == 0 || r.err != nil {
			return r.err
		}
		if get() != 0 {
			get()
			get()
		}
	}
	return mismatch("more than %d data types", most)
}
