package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"dialtone/internal/probe"
)

// What the server may ask for in an authentication message.
const (
	authOK        = 0
	authClear     = 3
	authMD5       = 5
	authSASL      = 10
	authSASLMore  = 11
	authSASLFinal = 12
)

// backendTypes are the messages that a server sends.
const backendTypes = "RKSZENvAICDTGHWVcdnst123"

// watch stands between the driver and its connection, above the encryption. It
// reads the server's messages along until the server is ready for statements,
// and asks for permission before the driver sends credentials. The driver obeys
// every demand for them that comes before that, also one after it was let in:
// so more than one is refused here.
type watch struct {
	attempt *attempt
	reader  io.Reader
	writer  io.Writer
	permit  func() error

	over     bool   // the server is ready for statements
	accepted bool   // it has let us in
	demanded uint32 // what it has asked for, once
	header   []byte
	length   int    // bytes of the current message still to come
	body     []byte // its beginning
}

// keepBody is how much of a message is looked at: a list of mechanisms, or a
// challenge, which has about 90 bytes.
const keepBody = 1024

func (w *watch) Read(p []byte) (int, error) {
	n, err := w.reader.Read(p)
	for _, c := range p[:n] {
		if w.over {
			break
		}
		if stop := w.follow(c); stop != nil {
			w.attempt.refusal = stop
			return 0, stop
		}
	}
	return n, err
}

// follow takes one byte of the server's.
func (w *watch) follow(c byte) error {
	if len(w.header) < 5 {
		w.header = append(w.header, c)
		if len(w.header) < 5 {
			return nil
		}
		size := binary.BigEndian.Uint32(w.header[1:])
		if !strings.ContainsRune(backendTypes, rune(w.header[0])) || size < 4 || size > maxMessage {
			return probe.Fail(probe.CodeProtocolMismatch, errors.New("not a message of PostgreSQL's"))
		}
		w.length, w.body = int(size)-4, w.body[:0]
	} else {
		if len(w.body) < keepBody {
			w.body = append(w.body, c)
		}
		w.length--
	}
	if w.length > 0 {
		return nil
	}
	kind := w.header[0]
	w.header = w.header[:0]
	switch kind {
	case 'Z':
		w.over = w.accepted // the driver refuses one that comes before
		return nil
	case 'R':
		return w.demand()
	default:
		return nil
	}
}

// demand judges an authentication message.
func (w *watch) demand() error {
	if len(w.body) < 4 {
		return probe.Fail(probe.CodeProtocolMismatch, errors.New("an authentication message of less than four bytes"))
	}
	s := w.attempt.session
	kind := binary.BigEndian.Uint32(w.body)
	if w.demanded == 0 && gaussDB(kind, w.body[4:]) {
		return &probe.Error{Code: probe.CodeProtocolMismatch, LooksLike: "gaussdb", Err: errors.New("the server asks for a login of GaussDB's")}
	}
	if !s.Login {
		return errProven
	}
	if !w.inTurn(kind) {
		return probe.Fail(probe.CodeProtocolMismatch, fmt.Errorf("authentication message %d out of turn", kind))
	}
	switch kind {
	case authOK:
		w.accepted = true
		s.Enter(probe.PhaseSession)
		return nil
	case authSASLMore:
		return challenge(w.body[4:])
	case authSASLFinal:
		return nil
	}
	w.demanded = kind
	name, usable := method(kind, w.body[4:])
	s.Mechanism(name)
	switch {
	case !usable:
		s.Enter(probe.PhaseLogin)
		return probe.Fail(probe.CodeAuthMechanism, fmt.Errorf("the server asks for %s", name))
	case !s.Target.Password.IsSet():
		s.Enter(probe.PhaseLogin)
		return probe.Fail(probe.CodeAuthRequired, errors.New("the server asks for a password and there is none"))
	case kind == authClear && !w.attempt.readable():
		s.Enter(probe.PhaseLogin)
		return probe.Fail(probe.CodeInsecureLogin, errors.New("the server asks for the password in clear text"))
	}
	return nil
}

// gaussDB knows a demand of GaussDB's. It has numbers of PostgreSQL's for logins
// of its own: sha256, where a number follows instead of the name of a mechanism,
// and md5 over sha256, in place of what goes on with SASL; and sm3.
func gaussDB(kind uint32, rest []byte) bool {
	switch kind {
	case authSASL:
		return len(rest) >= 4 && rest[0] == 0 && rest[1] == 0
	case authSASLMore:
		return len(rest) == 68 && !bytes.Contains(rest, []byte("r="))
	case 13:
		return true
	default:
		return false
	}
}

// inTurn says whether an authentication message may come now: one demand, what
// belongs to it, and the acceptance.
func (w *watch) inTurn(kind uint32) bool {
	switch kind {
	case authOK:
		return !w.accepted
	case authSASLMore, authSASLFinal:
		return !w.accepted && w.demanded == authSASL
	default:
		return !w.accepted && w.demanded == 0
	}
}

// method names a method of authentication and says whether the driver can do it.
func method(kind uint32, rest []byte) (string, bool) {
	switch kind {
	case authClear:
		return "password", true
	case authMD5:
		return "md5", true
	case authSASL:
		var offered []string
		for name := range bytes.SplitSeq(rest, []byte{0}) {
			if len(name) > 0 {
				offered = append(offered, string(name))
			}
		}
		return strings.Join(offered, ","), slices.Contains(offered, "SCRAM-SHA-256")
	case 2:
		return "kerberos", false
	case 7:
		return "gssapi", false
	case 9:
		return "sspi", false
	default:
		return fmt.Sprintf("method %d", kind), false
	}
}

// credentials is the type of every message that carries any.
const credentials = 'p'

// Write is what the driver sends. It goes by the type of the message and not
// by what the server was heard to ask for: so no credential leaves without
// permission whatever the driver does, and none is asked for when the driver
// only says goodbye.
func (w *watch) Write(p []byte) (int, error) {
	if len(p) > 0 && p[0] == credentials {
		if err := w.permit(); err != nil {
			w.attempt.refusal = err
			return 0, err
		}
		w.chosen(p)
	}
	return w.writer.Write(p)
}

// chosen notes which of the mechanisms offered the driver has taken: its
// answer is a type, a length, and the name.
func (w *watch) chosen(p []byte) {
	if len(p) <= 5 || !bytes.HasPrefix(p[5:], []byte("SCRAM-")) {
		return
	}
	name, _, _ := bytes.Cut(p[5:], []byte{0})
	w.attempt.session.Mechanism(string(name))
}
