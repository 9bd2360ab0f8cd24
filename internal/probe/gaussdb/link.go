package gaussdb

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"dialtone/internal/probe"
)

// The types of the messages that a test needs, as PostgreSQL's manual names
// them (chapter 55.7, "Message Formats").
const (
	typeAuthentication = 'R'
	typeParameter      = 'S'
	typeKeyData        = 'K'
	typeReady          = 'Z'
	typeError          = 'E'
	typeNotice         = 'N'
	typeNegotiate      = 'v'
	typeRowDescription = 'T'
	typeDataRow        = 'D'
	typeComplete       = 'C'

	typePassword  = 'p'
	typeQuery     = 'Q'
	typeTerminate = 'X'
)

// known are all types of messages that a server sends.
const known = "RKSZENvAICDTGHWVcdnst123"

// What a startup message begins with (pqcomm.h of openGauss-server).
const (
	codeTLS         = 1234<<16 | 5679
	protocolVersion = 3<<16 | 51
)

// What a server may send in one test: some thirty messages are usual, of some
// hundred bytes at most.
const (
	longest = 1 << 20
	most    = 1000
)

// message is one message of the server's.
type message struct {
	kind byte
	body []byte
}

// link is a connection on which messages go to and fro.
type link struct {
	conn     net.Conn
	in       *bufio.Reader
	received int
}

func newLink(conn net.Conn) *link { return &link{conn: conn, in: bufio.NewReader(conn)} }

// receive reads a message.
func (l *link) receive() (message, error) {
	if l.received++; l.received > most {
		return message{}, probe.Fail(probe.CodePeerAbusive, errors.New("the server sends messages without end"))
	}
	return readMessage(l.in)
}

// readMessage makes nothing as long as a header says before that much has come.
func readMessage(r io.Reader) (message, error) {
	var header [5]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return message{}, err
	}
	size := int64(binary.BigEndian.Uint32(header[1:])) - 4
	if !strings.ContainsRune(known, rune(header[0])) || size < 0 || size > longest {
		return message{}, probe.Fail(probe.CodeProtocolMismatch, errors.New("not a message of GaussDB's"))
	}
	var body bytes.Buffer
	if _, err := io.CopyN(&body, r, size); err != nil {
		return message{}, fmt.Errorf("in a message: %w", err)
	}
	return message{header[0], body.Bytes()}, nil
}

func (l *link) send(kind byte, body []byte) error {
	b := binary.BigEndian.AppendUint32([]byte{kind}, uint32(4+len(body))) //nolint:gosec // our own, and short
	_, err := l.conn.Write(append(b, body...))
	return err
}

// start sends the startup message, which has no type.
func (l *link) start(parameters map[string]string) error {
	body := binary.BigEndian.AppendUint32(nil, protocolVersion)
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		body = append(append(append(append(body, name...), 0), parameters[name]...), 0)
	}
	return l.sendUntyped(append(body, 0))
}

func (l *link) requestTLS() error {
	return l.sendUntyped(binary.BigEndian.AppendUint32(nil, codeTLS))
}

func (l *link) sendUntyped(body []byte) error {
	b := binary.BigEndian.AppendUint32(nil, uint32(4+len(body))) //nolint:gosec // our own, and short
	_, err := l.conn.Write(append(b, body...))
	return err
}

// answerToTLS looks at the answer to the question for TLS, which is one byte,
// and says whether there is more behind it. An error is left where it is, as
// the message that it is.
func (l *link) answerToTLS() (answer byte, more bool, err error) {
	first, err := l.in.Peek(1)
	if err != nil {
		return 0, false, err
	}
	if answer = first[0]; answer != 'S' && answer != 'N' && answer != typeError {
		l.identify()
	}
	return answer, l.in.Buffered() > 1, nil
}

// identify reads a little more of an answer that is not GaussDB's: the edge
// keeps the first bytes, by which the product is known.
func (l *link) identify() {
	if l.conn.SetReadDeadline(time.Now().Add(100*time.Millisecond)) == nil {
		_, _ = l.in.Peek(16)
	}
}
