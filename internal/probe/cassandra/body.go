package cassandra

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"dialtone/internal/probe"
)

// body is read from the front. The first thing that does not fit makes all
// that follows empty, so that only the end needs to ask whether all was well.
type body struct {
	rest   []byte
	broken bool
}

var errMalformed = errors.New("malformed message")

// check is the verdict on all that was read before.
func (b *body) check() error {
	if b.broken {
		return probe.Fail(probe.CodeProtocolMismatch, errMalformed)
	}
	return nil
}

func (b *body) take(n int) []byte {
	if b.broken || n < 0 || n > len(b.rest) {
		b.broken, b.rest = true, nil
		return nil
	}
	taken := b.rest[:n]
	b.rest = b.rest[n:]
	return taken
}

func (b *body) short() uint16 {
	if n := b.take(2); n != nil {
		return binary.BigEndian.Uint16(n)
	}
	return 0
}

func (b *body) int() int32 {
	if n := b.take(4); n != nil {
		return int32(binary.BigEndian.Uint32(n)) //nolint:gosec // the wire's numbers are signed
	}
	return 0
}

// text is a [string] of the specification.
func (b *body) text() string { return string(b.take(int(b.short()))) }

// value is a [bytes], of which a negative length means null.
func (b *body) value() []byte {
	n := b.int()
	if n < 0 {
		return nil
	}
	return b.take(int(n))
}

// serverError is the server's own error.
type serverError struct {
	code int32
	text string
}

// Error leaves out the text, which is evidence only.
func (e *serverError) Error() string { return "the server answers with error " + e.number() }

// number is the code as the specification writes it.
func (e *serverError) number() string { return fmt.Sprintf("0x%04X", uint32(e.code)) } //nolint:gosec // the same bits

func readError(f frame) (*serverError, error) {
	b := body{rest: f.body}
	e := &serverError{code: b.int(), text: b.text()}
	return e, b.check()
}

// readOptions reads what a SUPPORTED message offers.
func readOptions(f frame) (map[string][]string, error) {
	b := body{rest: f.body}
	offered := map[string][]string{}
	for range b.short() {
		name := b.text()
		for range b.short() {
			if b.broken {
				break
			}
			offered[name] = append(offered[name], b.text())
		}
		if b.broken {
			break
		}
	}
	return offered, b.check()
}

// The kind of a RESULT that holds rows, and the flags of these.
const (
	resultRows = 2

	rowsGlobalTable = 0x1
	rowsMorePages   = 0x2
	rowsNoMetadata  = 0x4
)

// rows are the answer to a query: one list of values each, null being nil.
type rows struct {
	values [][][]byte
	more   bool // there are further pages
}

// readRows reads the answer to a query for so many columns of simple types.
func readRows(f frame, columns int) (rows, error) {
	b := body{rest: f.body}
	if kind := b.int(); kind != resultRows {
		return rows{}, probe.Fail(probe.CodeProtocolMismatch, fmt.Errorf("result of kind %d where rows were due", kind))
	}
	flags := b.int()
	if n := b.int(); int(n) != columns {
		return rows{}, probe.Fail(probe.CodeProtocolMismatch, fmt.Errorf("%d columns, asked for %d", n, columns))
	}
	found := rows{more: flags&rowsMorePages != 0}
	if found.more {
		b.value() // where the next page begins
	}
	if flags&rowsNoMetadata == 0 {
		b.skipColumns(columns, flags&rowsGlobalTable != 0)
	}
	for range b.int() {
		row := make([][]byte, columns)
		for i := range row {
			row[i] = b.value()
		}
		if b.broken {
			break
		}
		found.values = append(found.values, row)
	}
	return found, b.check()
}

// skipColumns passes over names and types. A type with parameters is none that
// was asked for.
func (b *body) skipColumns(columns int, global bool) {
	const lastSimple = 0x15 // duration
	if global {
		b.text()
		b.text()
	}
	for range columns {
		if !global {
			b.text()
			b.text()
		}
		b.text()
		if kind := b.short(); kind == 0 || kind > lastSimple {
			b.broken = true
		}
	}
}

func appendText(to []byte, s string) []byte {
	to = binary.BigEndian.AppendUint16(to, uint16(len(s))) //nolint:gosec // constants and a program name
	return append(to, s...)
}

func appendLong(to []byte, b []byte) []byte {
	to = binary.BigEndian.AppendUint32(to, uint32(len(b))) //nolint:gosec // a statement or a password
	return append(to, b...)
}

func appendTexts(to []byte, texts map[string]string) []byte {
	to = binary.BigEndian.AppendUint16(to, uint16(len(texts))) //nolint:gosec // three
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		to = appendText(appendText(to, name), texts[name])
	}
	return to
}

// pageSize is how many rows are asked for at a time.
const pageSize = 64

// queryBody is a statement to be executed on one node, and its first page.
func queryBody(version byte, statement string) []byte {
	const consistencyOne, flagPageSize = 1, 0x04
	b := appendLong(nil, []byte(statement))
	b = binary.BigEndian.AppendUint16(b, consistencyOne)
	if version >= v5 {
		b = binary.BigEndian.AppendUint32(b, flagPageSize)
	} else {
		b = append(b, flagPageSize)
	}
	return binary.BigEndian.AppendUint32(b, pageSize)
}
