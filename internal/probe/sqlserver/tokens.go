package sqlserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"dialtone/internal/probe"
)

// Tokens of an answer that a login or our statement may have (MS-TDS 2.2.7).
const (
	tokenReturn   = 0x79
	tokenError    = 0xaa
	tokenInfo     = 0xab
	tokenLoginAck = 0xad
	tokenEnv      = 0xe3
	tokenDone     = 0xfd
	tokenDoneProc = 0xfe
	tokenDoneIn   = 0xff

	envRouting = 20

	doneError = 0x0002
	doneFatal = 0x0100
)

// serverError is one error of the server's.
type serverError struct {
	number int32
	text   string
}

// answer is what there was to learn from a stream of tokens.
type answer struct {
	errors []serverError
	// done: the answer is complete; failed: and what was asked was not done.
	done, failed bool
	// acked: the login is let in, by a server of this product and version that
	// speaks this version of TDS.
	acked            bool
	product, version string
	tds              uint32
	// route is where clients are sent, if they are.
	route *probe.Address
}

// mostErrors is how many errors of one answer are kept.
const mostErrors = 8

// read takes in the tokens of one message. What is kept is bounded by the
// lengths of two bytes in front of tokens.
func (a *answer) read(r io.Reader) error {
	for {
		var token [1]byte
		switch _, err := io.ReadFull(r, token[:]); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := a.token(r, token[0]); err != nil {
			return cut(err) // a message may end between tokens only
		}
	}
}

func (a *answer) token(r io.Reader, kind byte) error {
	switch kind {
	case tokenDone, tokenDoneProc, tokenDoneIn:
		return a.end(r)
	case tokenReturn:
		_, err := body(r, 4)
		return err
	case tokenError, tokenInfo, tokenLoginAck, tokenEnv:
	default:
		return fmt.Errorf("%w: token %#x", errForeign, kind)
	}
	head, err := body(r, 2)
	if err != nil {
		return err
	}
	b, err := body(r, int(binary.LittleEndian.Uint16(head)))
	if err != nil {
		return err
	}
	switch kind {
	case tokenError:
		return a.error(b)
	case tokenLoginAck:
		return a.loginAck(b)
	case tokenEnv:
		return a.env(b)
	default:
		return nil
	}
}

func body(r io.Reader, size int) ([]byte, error) {
	b := make([]byte, size)
	_, err := io.ReadFull(r, b)
	return b, err
}

var errToken = fmt.Errorf("%w: a token that is too short", errForeign)

// error takes number, state, class and text; the names and the line behind
// them say nothing to whoever cannot log in.
func (a *answer) error(b []byte) error {
	if len(b) < 8 {
		return errToken
	}
	text, ok := counted(b[6:])
	if !ok {
		return errToken
	}
	if len(a.errors) < mostErrors {
		number := int32(binary.LittleEndian.Uint32(b)) //nolint:gosec // it is signed
		a.errors = append(a.errors, serverError{number: number, text: text})
	}
	return nil
}

func (a *answer) loginAck(b []byte) error {
	// Interface, version of TDS, name behind its length, version.
	if len(b) < 6 {
		return errToken
	}
	end := 6 + 2*int(b[5])
	if len(b) < end+4 {
		return errToken
	}
	a.acked, a.tds = true, binary.BigEndian.Uint32(b[1:])
	a.product = strings.Trim(fromUTF16(b[6:end]), "\x00 ")
	if v := dotted(b[end:]); v != "0.0.0" {
		a.version = v
	}
	return nil
}

// env takes note of a route alone: the database and the language are as asked
// for.
func (a *answer) env(b []byte) error {
	if len(b) == 0 {
		return errToken
	}
	if b[0] != envRouting {
		return nil
	}
	// Length of the rest, protocol, port, name.
	if len(b) < 8 {
		return errToken
	}
	host, ok := counted(b[6:])
	if !ok {
		return errToken
	}
	host, _, _ = strings.Cut(host, `\`) // an instance, which the port stands for
	a.route = &probe.Address{Host: host, Port: binary.LittleEndian.Uint16(b[4:])}
	return nil
}

// end ends a statement. The count of rows in it has eight bytes since TDS 7.2
// and four before.
func (a *answer) end(r io.Reader) error {
	b, err := body(r, 8)
	if err != nil {
		return err
	}
	a.done = true
	a.failed = a.failed || binary.LittleEndian.Uint16(b)&(doneError|doneFatal) != 0
	if a.acked && a.tds < versionTDS72 {
		return nil
	}
	// An old server that refuses a login does not say how old it is.
	if _, err = body(r, 4); errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// counted reads a text behind its length of two bytes.
func counted(b []byte) (string, bool) {
	if len(b) < 2 {
		return "", false
	}
	end := 2 + 2*int(binary.LittleEndian.Uint16(b))
	if len(b) < end {
		return "", false
	}
	return fromUTF16(b[2:end]), true
}
