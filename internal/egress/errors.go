package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
)

var (
	// ErrDialBudget is what a dial or look-up gets when its edge has made as
	// many as it may.
	ErrDialBudget = errors.New("dial budget spent")
	// ErrReadCap is what a read gets when its edge has received as much as it may.
	ErrReadCap = errors.New("read cap reached")
)

// DeniedError says that policy forbids a destination. Nothing was sent to it.
type DeniedError struct {
	// Class is for our logs and metrics. A caller is told no more than that
	// the destination is not allowed.
	Class Class
	// Host is the name, if it was one that was judged.
	Host string
	// Addr is the address, unless a name was denied before its look-up.
	Addr netip.AddrPort
}

// Error names the class, never the destination.
func (e *DeniedError) Error() string { return "destination not allowed: " + string(e.Class) }

// LookupError says that a name gave no address.
type LookupError struct {
	Host string
	// NotFound: there is no such name, or it has no address. Otherwise the
	// resolver did not answer (Timeout) or could not (Temporary, or neither).
	NotFound, Temporary, Timeout bool
	// Server is the DNS server that was asked last, if known.
	Server string
	// Err is the resolver's error; nil for a name that cannot exist.
	Err error
}

// Error says what happened in a fixed text.
func (e *LookupError) Error() string {
	text := "look up " + strconv.Quote(e.Host) + ": "
	switch {
	case e.NotFound:
		return text + "no such name"
	case e.Timeout:
		return text + "timed out"
	default:
		return text + "the resolver could not answer"
	}
}

// Unwrap gives the resolver's error.
func (e *LookupError) Unwrap() error { return e.Err }

// lookupError translates what net gives.
func lookupError(host string, err error) error {
	e := &LookupError{Host: host, Err: err}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		e.NotFound, e.Temporary, e.Timeout, e.Server = dns.IsNotFound, dns.IsTemporary, dns.IsTimeout, dns.Server
	}
	e.Timeout = e.Timeout || errors.Is(err, context.DeadlineExceeded)
	return e
}

// DialError says that an allowed address could not be connected to.
type DialError struct {
	Addr netip.AddrPort
	// Err is net's error, down to the syscall.Errno.
	Err error
}

// Error says what happened in a text without anything from the other side.
func (e *DialError) Error() string {
	reason := "no connection"
	if errno, ok := errors.AsType[syscall.Errno](e.Err); ok {
		reason = errno.Error()
	} else if e.Timeout() {
		reason = "timed out"
	} else if errors.Is(e.Err, context.Canceled) {
		reason = "cancelled"
	}
	return "dial " + e.Addr.String() + ": " + reason
}

// Unwrap gives net's error.
func (e *DialError) Unwrap() error { return e.Err }

// Timeout says whether nobody answered in time.
func (e *DialError) Timeout() bool {
	timeout, ok := errors.AsType[net.Error](e.Err)
	return ok && timeout.Timeout()
}

// clearer chooses between the failures of two addresses the one that tells
// more: a refusal shows that the host was reached, an unreachable network may
// be no more than our own lack of IPv6.
func clearer(a, b error) error {
	if a == nil || telling(b) >= telling(a) {
		return b
	}
	return a
}

func telling(err error) int {
	failed, ok := errors.AsType[*DialError](err)
	switch {
	case !ok:
		return 0
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return 4
	case failed.Timeout():
		return 3
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
		return 1
	default:
		return 2
	}
}
