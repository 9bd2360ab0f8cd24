// Package probe tests one endpoint and says what it found: it holds the
// target, the report with its phases and verdict codes, and the Runner that
// gives every probe its way out, its deadline and its judgement. What a wire
// protocol looks like is the business of the packages below it; batches,
// queues and storage are not known here.
package probe

import (
	"context"
	"fmt"
)

// Prober speaks one wire protocol.
//
// Probe tests the one address of the session: it connects through s.Dial and
// nothing else, tells the session which phase it is in (s.Enter, the first time
// when s.Dial has returned), calls s.BeforeLogin just before the first byte of
// credentials, and ends the connection as the protocol demands. When s.Login is false it must stop
// before any credential is sent, with everything before that proven.
//
// It returns nil when the endpoint works. A prober that knows why it does not
// returns an *Error; any other error is judged by the Runner from what the
// edge saw. The error of s.BeforeLogin is returned as it is.
//
// Probe is called concurrently, runs under the Runner's recover, and must
// return soon after ctx ends; it starts no goroutine that outlives it and
// never retries.
type Prober interface {
	Engines() []Engine
	Probe(ctx context.Context, s *Session) error
}

// Error is a failure that the prober itself could tell.
type Error struct {
	Code Code
	// Phase overrides where the verdict belongs; normally empty.
	Phase Phase
	// LooksLike names the product that answered in the place of the one asked
	// for, when the prober could tell.
	LooksLike string
	Err       error
}

// Fail makes an Error from a code and its cause, which may be nil.
func Fail(code Code, err error) *Error { return &Error{Code: code, Err: err} }

func (e *Error) Error() string {
	if e.Err == nil {
		return string(e.Code)
	}
	return fmt.Sprintf("%s: %v", e.Code, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }
