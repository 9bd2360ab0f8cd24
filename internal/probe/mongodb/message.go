package mongodb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// The wire protocol: a header of four numbers, then what its last one says
// (MongoDB manual, "MongoDB Wire Protocol").
const (
	opReply = 1    // the answer to opQuery
	opQuery = 2004 // all that servers before 3.6 know; later ones know it for hello alone
	opMsg   = 2013

	headerSize = 16
	// The flags of opMsg that an answer may have here: a checksum follows.
	flagChecksum = 1
	// wireOpMsg is the wire version (of MongoDB 3.6) from which servers know opMsg.
	wireOpMsg = 6
)

// maxReply bounds one message of the server's. The answer of a set of 50
// members has some 5 KB.
const maxReply = 256 << 10

// conn is a connection on which commands are sent, one at a time.
type conn struct {
	net.Conn
	last int32 // the number of the last request
	// modern: the server knows opMsg.
	modern bool
}

// commandError is a command that the server answered with an error.
type commandError struct {
	command string
	code    int
	text    string
}

// Error leaves the server's text out: that is evidence, and scrubbed there.
func (e *commandError) Error() string { return fmt.Sprintf("server error %d on %s", e.code, e.command) }

// errMessage is the answer to bytes that are no message of this protocol.
var errMessage = errors.New("not a MongoDB message")

// command sends a command, whose name is the first field's, and reads the
// answer. A refusal is a *commandError.
func (c *conn) command(database string, fields ...field) (document, error) {
	c.last++
	b := make([]byte, headerSize, 512)
	binary.LittleEndian.PutUint32(b[4:], uint32(c.last)) //nolint:gosec // small and positive
	if c.modern {
		binary.LittleEndian.PutUint32(b[12:], opMsg)
		b = appendInt32(b, 0)
		b = append(b, 0) // one section, of the kind "body"
		b = append(b, encode(append(fields, field{"$db", database})...)...)
	} else {
		binary.LittleEndian.PutUint32(b[12:], opQuery)
		b = appendInt32(b, 4) // flags: a secondary may answer
		b = append(append(b, database+".$cmd"...), 0)
		b = appendInt32(b, 0)
		b = appendInt32(b, -1) // one document, and no cursor
		b = append(b, encode(fields...)...)
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b))) //nolint:gosec // our own messages are small
	if _, err := c.Write(b); err != nil {
		return nil, err
	}
	answer, err := c.read()
	if err != nil {
		return nil, err
	}
	if answer.get("ok").truth() {
		return answer, nil
	}
	return nil, refusal(fields[0].name, answer)
}

// refusal reads the error of an answer. An answer that holds neither a success
// nor an error is no answer to a command.
func refusal(command string, answer document) error {
	code, numbered := answer.get("code").number()
	text := answer.get("errmsg").text()
	if text == "" {
		text = answer.get("$err").text()
	}
	if !numbered && text == "" {
		return errMessage
	}
	return &commandError{command: command, code: code, text: text}
}

// read takes the answer to the last request from the wire. Its length is
// judged before there is memory for it.
func (c *conn) read() (document, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(c.Conn, header[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(header[:])
	code := binary.LittleEndian.Uint32(header[12:])
	if n < headerSize || n > maxReply || (code != opReply && code != opMsg) {
		return nil, errMessage
	}
	if int32(binary.LittleEndian.Uint32(header[8:])) != c.last { //nolint:gosec // the bits of a signed number
		return nil, errMessage
	}
	body := make([]byte, n-headerSize)
	if _, err := io.ReadFull(c.Conn, body); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // after the header it is no clean end
		}
		return nil, err
	}
	return answerOf(code, body)
}

// answerOf takes the document out of a message's body.
func answerOf(code uint32, body []byte) (document, error) {
	const (
		replyFields = 20 // flags, a cursor, where it stands, how many documents
		msgFields   = 5  // flags, and the kind of the first section
		checksum    = 4
	)
	switch code {
	case opReply:
		if len(body) < replyFields || binary.LittleEndian.Uint32(body[16:]) != 1 {
			return nil, errMessage
		}
		d, rest, err := parse(body[replyFields:])
		if err != nil || len(rest) != 0 {
			return nil, errMessage
		}
		return d, nil
	case opMsg:
		if len(body) < msgFields || body[4] != 0 {
			return nil, errMessage
		}
		flags := binary.LittleEndian.Uint32(body)
		d, rest, err := parse(body[msgFields:])
		// More to come, or a second section, is nothing that was asked for.
		if err != nil || flags&^flagChecksum != 0 || len(rest) != int(flags*checksum) {
			return nil, errMessage
		}
		return d, nil
	default:
		return nil, errMessage
	}
}
