package redis

import (
	"bufio"
	"errors"
	"io"
	"strconv"

	"dialtone/internal/probe"
)

// The types of RESP2, by the first byte of a reply
// (redis.io/docs/latest/develop/reference/protocol-spec).
const (
	simpleKind = '+'
	errorKind  = '-'
	numberKind = ':'
	bulkKind   = '$'
	arrayKind  = '*'
)

// What one reply may be made of. The greatest that we ask for is CLUSTER SLOTS
// of a large cluster whose slots have been moved about.
const (
	maxLine   = 4 << 10 // the refusal of protected mode has a thousand bytes
	maxBulk   = 256 << 10
	maxDepth  = 5
	maxValues = 1 << 17
)

var (
	errNotRESP  = errors.New("the reply is not RESP")
	errTooLarge = errors.New("the reply announces more than any that was asked for")
	errEndless  = errors.New("the reply has a line without end")
	errUnasked  = errors.New("a reply came that nobody asked for")
)

// value is one reply or a part of one. Numbers are kept as their text.
type value struct {
	kind  byte
	text  string
	items []value
}

// is says whether v is the simple string text.
func (v value) is(text string) bool { return v.kind == simpleKind && v.text == text }

// number is the value of an integer reply; false: it is none.
func (v value) number() (int, bool) {
	if v.kind != numberKind {
		return 0, false
	}
	n, err := strconv.Atoi(v.text)
	return n, err == nil
}

// reader reads replies. Whatever the other side sends, it holds no more than
// the limits above.
type reader struct {
	in    *bufio.Reader
	left  int  // values that the reply under way may still have
	heard bool // something has come
}

func newReader(from io.Reader) *reader { return &reader{in: bufio.NewReaderSize(from, maxLine)} }

// reply reads one reply. What is not RESP is an error with its verdict; those
// of the stream are left as they are.
func (r *reader) reply() (value, error) {
	r.left = maxValues
	return r.value(0)
}

func (r *reader) value(depth int) (value, error) {
	if r.left--; r.left < 0 || depth > maxDepth {
		return value{}, probe.Fail(probe.CodeProtocolMismatch, errTooLarge)
	}
	// The type is judged before the line is complete: what is not RESP may
	// never end one.
	kind, err := r.in.ReadByte()
	if err != nil {
		return value{}, err
	}
	r.heard = true
	v := value{kind: kind}
	switch kind {
	case simpleKind, errorKind, numberKind, bulkKind, arrayKind:
	default:
		return value{}, probe.Fail(probe.CodeProtocolMismatch, errNotRESP)
	}
	line, err := r.line()
	if err != nil {
		return value{}, err
	}
	switch kind {
	case bulkKind:
		v.text, err = r.bulk(line)
	case arrayKind:
		v.items, err = r.array(line, depth)
	case numberKind:
		if _, bad := strconv.ParseInt(line, 10, 64); bad != nil {
			return value{}, probe.Fail(probe.CodeProtocolMismatch, errNotRESP)
		}
		v.text = line
	default:
		v.text = line
	}
	return v, err
}

// line reads up to the end of the line, which it cuts off.
func (r *reader) line() (string, error) {
	line, err := r.in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", probe.Fail(probe.CodePeerAbusive, errEndless)
	case errors.Is(err, io.EOF):
		return "", io.ErrUnexpectedEOF
	case err != nil:
		return "", err
	case len(line) < 2 || line[len(line)-2] != '\r':
		return "", probe.Fail(probe.CodeProtocolMismatch, errNotRESP)
	default:
		return string(line[:len(line)-2]), nil
	}
}

// length reads an announced length; -1 is a null, which is as good as empty.
func length(line string, most int) (int, error) {
	n, err := strconv.Atoi(line)
	switch {
	case err != nil || n < -1:
		return 0, probe.Fail(probe.CodeProtocolMismatch, errNotRESP)
	case n > most:
		return 0, probe.Fail(probe.CodeProtocolMismatch, errTooLarge)
	default:
		return n, nil
	}
}

func (r *reader) bulk(line string) (string, error) {
	n, err := length(line, maxBulk)
	if err != nil || n < 0 {
		return "", err
	}
	body := make([]byte, n+2)
	if _, err := io.ReadFull(r.in, body); err != nil {
		return "", err
	}
	if body[n] != '\r' || body[n+1] != '\n' {
		return "", probe.Fail(probe.CodeProtocolMismatch, errNotRESP)
	}
	return string(body[:n]), nil
}

func (r *reader) array(line string, depth int) ([]value, error) {
	n, err := length(line, r.left)
	if err != nil {
		return nil, err
	}
	// Not made at once: what is announced need not come.
	var items []value
	for range n {
		item, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

// appendCommand adds a command to a request: an array of bulk strings.
func appendCommand(to []byte, words ...string) []byte {
	to = append(to, arrayKind)
	to = strconv.AppendInt(to, int64(len(words)), 10)
	to = append(to, "\r\n"...)
	for _, word := range words {
		to = append(to, bulkKind)
		to = strconv.AppendInt(to, int64(len(word)), 10)
		to = append(to, "\r\n"...)
		to = append(to, word...)
		to = append(to, "\r\n"...)
	}
	return to
}
