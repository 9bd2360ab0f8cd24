// Package oracle tests Oracle endpoints. It speaks the network protocol (TNS)
// and as much of the call protocol above it (TTC) as a login takes, itself: one
// connection carries the CONNECT to the listener, the negotiation, the login
// (O5LOGON), a ping and the logoff.
//
// The database of a target is a service name. Only if the listener knows no
// such service it is asked once more, on a second connection and before any
// login, whether it knows the name as a SID.
//
// A listener may redirect a client, as a SCAN listener does to a node. One
// redirect is followed, through the session like any dial, never from TLS to
// plain text.
//
// The login has two steps. The first one sends the user name, and nothing that
// the server counts; it comes before the login mark. The second sends a session
// key and the password, both encrypted under keys that are derived from the
// password, and comes after it. The password cannot be read from them, but
// whoever answered can try guesses at leisure, as with the challenge of MySQL.
// A server that takes no password proves afterwards that it knew it.
//
// Facts noted: listener_version (what a listener that refuses says of itself),
// redirected_to (the address that it named), native_encryption ("required" if
// the server says so, "may_be_required" if it hangs up where it would not speak
// without), server_warning (what came with a login that passed, as ORA-28002).
package oracle

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"dialtone/internal/probe"
)

// Config are the prober's tunables.
type Config struct {
	// ProgramName is the program in v$session, which has 48 characters for it.
	// Default "dialtone".
	ProgramName string
}

// Prober tests Oracle.
type Prober struct{ program string }

var _ probe.Prober = (*Prober)(nil)

// New makes a Prober.
func New(cfg Config) *Prober {
	// It becomes part of a connect descriptor.
	clean := strings.Map(func(r rune) rune {
		if strings.ContainsRune(reserved, r) || r < ' ' || r > '~' {
			return '_'
		}
		return r
	}, cmp.Or(cfg.ProgramName, "dialtone"))
	const room = 48
	return &Prober{program: clean[:min(len(clean), room)]}
}

// Engines lists the engines that speak this protocol.
func (p *Prober) Engines() []probe.Engine { return []probe.Engine{probe.Oracle} }

// Probe tests the session's address. See probe.Prober.
func (p *Prober) Probe(ctx context.Context, s *probe.Session) error {
	if strings.ContainsFunc(s.Target.Database, unfit) {
		return &probe.Error{Code: probe.CodeDatabaseUnknown, Phase: probe.PhaseInput, Err: errors.New("no service name has such characters")}
	}
	a := &attempt{session: s, program: p.program}
	defer a.close()
	err := a.run(ctx)
	if unknown, ok := errors.AsType[*refusal](err); ok {
		return a.refused(ctx, unknown)
	}
	return err
}

// attempt is one test in progress.
type attempt struct {
	session *probe.Session
	program string
	sockets []net.Conn
	// limit is earlier than the probe's deadline where it is not worth waiting
	// for; zero: there is none.
	limit time.Time
}

func (a *attempt) run(ctx context.Context) error {
	s := a.session
	w, err := a.connect(ctx, a.descriptor("SERVICE_NAME"))
	if err != nil {
		return err
	}
	// Said within the probe's time or not at all.
	defer w.goodbye()
	c := &caller{wire: w}
	if err := c.negotiate(); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			// What some servers do that demand native encryption, or more of it
			// than this client has.
			s.Fact("native_encryption", "may_be_required")
		}
		return err
	}
	if !s.Login {
		return nil
	}
	if err := a.login(ctx, c); err != nil {
		return err
	}
	s.Enter(probe.PhaseSession)
	if err := c.simple(functionPing); err != nil {
		return a.failed(err)
	}
	return a.failed(c.simple(functionLogoff))
}

// close closes what was dialled.
func (a *attempt) close() {
	for _, socket := range a.sockets {
		_ = socket.Close()
	}
}
