package oracle

import (
	"errors"
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
)

// Functions of the server.
const (
	functionLogoff   = 9
	functionPhaseTwo = 115
	functionPhaseOne = 118
	functionPing     = 147
)

// caller makes calls, one at a time.
type caller struct {
	wire *wire
	// What was negotiated.
	fields                      byte
	status, sequence, bigChunks bool

	calls byte
}

// serverError is an error that the instance answered with.
type serverError struct {
	code int
	text string
}

func (e *serverError) Error() string { return fmt.Sprintf("server error %d", e.code) }

// ask sends a message of the negotiation, and gives a reader of the answer.
func (c *caller) ask(message []byte) (*reader, error) {
	if err := c.wire.data(message); err != nil {
		return nil, err
	}
	return c.reader(), nil
}

func (c *caller) reader() *reader { return &reader{next: c.wire.next, bigChunks: c.bigChunks} }

// function begins a call.
func (c *caller) function(number byte) *message {
	c.calls++
	return &message{b: []byte{messageFunction, number, c.calls}, bigChunks: c.bigChunks}
}

// simple makes a call without arguments and results.
func (c *caller) simple(function byte) error {
	_, err := c.call(c.function(function))
	return err
}

// answer is what a call has returned.
type answer struct {
	// values are the named ones, of those that a login knows.
	values map[string]string
	// verifier comes with AUTH_VFR_DATA.
	verifier uint64
	// warning is the number of an error that is none.
	warning int
}

// call sends a message and reads the answer. An answer that the server breaks
// off is followed, after a reset, by the true one.
func (c *caller) call(m *message) (*answer, error) {
	if err := c.wire.data(m.b); err != nil {
		return nil, err
	}
	a, err := c.parseAnswer(c.reader())
	if errors.Is(err, errInterrupted) {
		if err := c.wire.reset(); err != nil {
			return nil, err
		}
		r := c.reader()
		r.next = skipMarkers(r.next)
		a, err = c.parseAnswer(r)
	}
	return a, err
}

// skipMarkers reads over the markers that some servers repeat before the
// answer.
func skipMarkers(next func() ([]byte, error)) func() ([]byte, error) {
	const most = 8
	begun := false
	return func() ([]byte, error) {
		for range most {
			b, err := next()
			if begun || !errors.Is(err, errInterrupted) {
				begun = true
				if errors.Is(err, errInterrupted) {
					err = mismatch("a second interruption")
				}
				return b, err
			}
		}
		return nil, mismatch("markers without end")
	}
}

// parseAnswer reads messages until the one that ends a call.
func (c *caller) parseAnswer(r *reader) (*answer, error) {
	a := &answer{values: map[string]string{}}
	for r.err == nil {
		switch kind := r.octet(); kind {
		case messageParameter:
			a.parseValues(r)
		case messageWarning:
			a.parseWarning(r)
		case messagePiggyback:
			parsePiggyback(r)
		case messageStatus:
			c.parseStatus(r)
			return a, r.err
		case messageError:
			failed := c.parseError(r)
			switch {
			case r.err != nil:
				return nil, r.err
			case failed.code != 0:
				return nil, failed
			}
			return a, nil
		default:
			r.fail(mismatch("message of type %d in an answer", kind))
		}
	}
	return nil, r.err
}

// The values of a login that count here.
const (
	nameSessionKey = "AUTH_SESSKEY"
	nameVerifier   = "AUTH_VFR_DATA"
	nameMixSalt    = "AUTH_PBKDF2_CSK_SALT"
	nameRounds     = "AUTH_PBKDF2_VGEN_COUNT"
	nameMixRounds  = "AUTH_PBKDF2_SDER_COUNT"
	nameProof      = "AUTH_SVR_RESPONSE"
	nameVersion    = "AUTH_VERSION_NO"
)

func (a *answer) parseValues(r *reader) {
	const most = 1000
	for range r.count(most) {
		name, value, flags := r.pair()
		if r.err != nil {
			return
		}
		switch string(name) {
		case nameVerifier:
			a.verifier = flags
			a.values[nameVerifier] = string(value)
		case nameSessionKey, nameMixSalt, nameRounds, nameMixRounds, nameProof, nameVersion:
			a.values[string(name)] = string(value)
		}
	}
}

func (a *answer) parseWarning(r *reader) {
	const mostCode, mostText = 1<<16 - 1, maxValue
	code, length := r.count(mostCode), r.count(mostText)
	r.number()
	if code != 0 && length != 0 {
		r.text()
		a.warning = code
	}
}

func (c *caller) parseStatus(r *reader) {
	if c.status {
		r.number()
	}
	if c.sequence {
		r.number()
	}
}

// parseError reads the message that ends a call, in success (0) or failure.
func (c *caller) parseError(r *reader) *serverError {
	const most = 1 << 20
	c.parseStatus(r)
	r.number() // row
	code := r.count(most)
	r.skipNumbers(4) // errors of array elements, cursor, position
	r.skip(6)        // type of SQL, fatal, flags, options, interface, warnings
	r.skipNumbers(2) // row id: block address, partition
	r.skip(1)
	r.skipNumbers(2) // block, slot
	r.number()       // error of the operating system
	r.skip(2)        // statement, call
	r.skipNumbers(2) // padding, iterations
	r.announced()    // logical row id
	if c.fields < fieldsExtended {
		for range 3 {
			r.announced()
		}
	} else {
		// A login has no batches, and so none of their errors.
		for range 3 {
			if r.number() != 0 {
				r.fail(mismatch("errors of a batch"))
			}
		}
		code = r.count(most)
		r.number() // rows
	}
	e := &serverError{code: code}
	if code != 0 {
		e.text = string(r.text())
	}
	return e
}

// Piggybacks: what a server tells beside its answer. All of it is read over.
const (
	piggyCache     = 1
	piggyProcess   = 2
	piggyTrace     = 3
	piggyReturn    = 4
	piggySync      = 5
	piggyLogical   = 7
	piggyReplay    = 8
	piggyExtended  = 9
	piggySignature = 10
)

func parsePiggyback(r *reader) {
	const most = 1000
	types := func() { r.number(); r.skip(1) }
	switch kind := r.octet(); kind {
	case piggyCache, piggyTrace:
	case piggyProcess:
		r.number()
		r.text()
	case piggyReturn:
		types()
		if n := r.count(most); n > 0 {
			r.skip(1)
			for range n {
				r.pair()
			}
		}
		r.skipNumbers(3) // flags, session, serial number
	case piggySync:
		types()
		n := r.count(most)
		r.skip(1)
		for range n {
			r.pair()
			if r.err != nil {
				return
			}
		}
		r.number()
	case piggyLogical:
		r.announced()
	case piggyReplay:
		types()
		r.skipNumbers(2)
		r.skip(1)
		r.announced()
	case piggyExtended:
		types()
	case piggySignature:
		types()
		r.skipNumbers(3)
	default:
		r.fail(mismatch("notice of type %d", kind))
	}
}
