package gaussdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"dialtone/internal/probe"
)

// question tells a primary from a standby; any account may ask it.
const question = "select pg_is_in_recovery(), version()"

// What a server is to its cluster.
const (
	rolePrimary = "primary"
	roleStandby = "standby"
)

// ask makes the one statement of a test and notes what it tells.
func (a *attempt) ask() error {
	a.session.Server(product("", a.version))
	if err := a.link.send(typeQuery, []byte(question+"\x00")); err != nil {
		return err
	}
	var failed error
	for {
		m, err := a.link.receive()
		if err != nil {
			if failed != nil {
				return failed // and then it hung up, as after any FATAL
			}
			return err
		}
		switch m.kind {
		case typeDataRow:
			err = a.answered(m.body)
		case typeError:
			failed = a.unanswered(parseError(m.body))
		case typeNotice:
			a.notice(m.body)
		case typeRowDescription, typeComplete, typeParameter:
		case typeReady:
			if failed == nil && a.role == roleStandby {
				a.session.Enter(probe.PhaseTopology)
				a.session.Warn(probe.PhaseTopology, probe.CodeStandbyServer)
			}
			return failed
		default:
			err = probe.Fail(probe.CodeProtocolMismatch, fmt.Errorf("message of type %q in answer to a statement", m.kind))
		}
		if err != nil {
			return err
		}
	}
}

// answered reads the row.
func (a *attempt) answered(body []byte) error {
	row, err := parseRow(body)
	if err != nil || len(row) != 2 {
		return malformed("the row")
	}
	role := rolePrimary
	if row[0] == "t" {
		role = roleStandby
	}
	a.role = role
	a.session.Fact("role", role)
	a.session.Server(product(row[1], a.version))
	return nil
}

// unanswered judges an error in place of the row. A server that does not know
// or permit what is asked for has answered a statement all the same.
func (a *attempt) unanswered(f failure) error {
	if class := "42"; strings.HasPrefix(f.Code, class) { // syntax, or a right that is missing
		a.session.Fact("role", "unknown")
		return nil
	}
	return a.refused(f)
}

// parseRow reads the values of a DataRow; a null is an empty text.
func parseRow(b []byte) ([]string, error) {
	short := errors.New("a row that is shorter than it says")
	if len(b) < 2 {
		return nil, short
	}
	var row []string
	count, b := binary.BigEndian.Uint16(b), b[2:]
	for range count {
		if len(b) < 4 {
			return nil, short
		}
		size := int64(int32(binary.BigEndian.Uint32(b))) //nolint:gosec // -1 is a null
		if b = b[4:]; size > int64(len(b)) {
			return nil, short
		}
		size = max(size, 0)
		row, b = append(row, string(b[:size])), b[size:]
	}
	return row, nil
}

// product reads name and version from the text of version(), which has them in
// parentheses before the word build: "(openGauss 5.0.0 build a07d57c3) compiled
// at ...", "gaussdb (GaussDB Kernel 505.1.0 build ...", "(Vastbase G100 V2.2
// (Build 5) ...". The setting server_version has to do where there is no such
// text; it names the PostgreSQL that all of these descend from.
func product(text, setting string) (name, version string) {
	_, text, _ = strings.Cut(text, "(")
	end := strings.Index(strings.ToLower(text), "build")
	if end < 0 {
		return "GaussDB", setting
	}
	text = strings.TrimRight(text[:end], " (")
	at := strings.LastIndexByte(text, ' ')
	if at < 0 {
		return "GaussDB", setting
	}
	return text[:at], text[at+1:]
}
