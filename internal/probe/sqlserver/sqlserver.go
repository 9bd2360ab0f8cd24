// Package sqlserver tests Microsoft SQL Server and what speaks its protocol,
// TDS 7 (MS-TDS). One connection carries the whole test: PRELOGIN, TLS inside
// of TDS, the login, one statement that does nothing. TDS has no goodbye but
// the end of the connection.
//
// The protocol is spoken here and not by a driver: Microsoft's ignores its
// context until the login is over, answers with texts where the verdict needs
// numbers, and logs in a second time when the server routes it elsewhere.
//
// LOGIN7 holds the password in a form that whoever reads the packet can undo.
// It goes to a server that has proven who it is, or with AllowRecoverable to
// any; then, as is the protocol's own rule, still inside of TLS if the server
// has any. Windows accounts (SSPI, Kerberos), Entra ID and TDS 8 are not known
// here.
package sqlserver

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"dialtone/internal/probe"
)

// Config are the prober's tunables.
type Config struct {
	// AllowRecoverable permits logins at servers that have not proven who they
	// are (probe.Target.ProvesServer). Default false.
	AllowRecoverable bool
	// ProgramName is program_name and host_name in sys.dm_exec_sessions.
	// Default "dialtone".
	ProgramName string
}

// Prober tests SQL Server.
type Prober struct{ cfg Config }

var _ probe.Prober = (*Prober)(nil)

// New makes a Prober.
func New(cfg Config) *Prober {
	cfg.ProgramName = cmp.Or(cfg.ProgramName, "dialtone")
	return &Prober{cfg: cfg}
}

// Engines lists the engines that speak this protocol.
func (p *Prober) Engines() []probe.Engine { return []probe.Engine{probe.SQLServer} }

// product is who answers PRELOGIN, until the login says it better.
const product = "Microsoft SQL Server"

// errProven ends a test that was to stop before the login.
var errProven = errors.New("proven up to the login")

// Probe tests the session's address. See probe.Prober.
func (p *Prober) Probe(ctx context.Context, s *probe.Session) error {
	conn, err := s.Dial(ctx, "tcp", s.Address.String())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	s.Enter(probe.PhaseProtocol)
	a := &attempt{session: s, prober: p, socket: newSocket(conn)}
	err = a.run(ctx)
	if a.encrypted != nil {
		_ = a.encrypted.Close() // TLS does have a goodbye
	}
	if errors.Is(err, errProven) {
		return nil
	}
	return err
}

// attempt is one test in progress.
type attempt struct {
	session *probe.Session
	prober  *Prober
	socket  *socket
	// encrypted is the session's encryption, if it is encrypted as a whole.
	encrypted *tls.Conn
}

func (a *attempt) run(ctx context.Context) error {
	hello, err := a.greet()
	if err != nil {
		return err
	}
	login, session, err := a.channels(ctx, hello)
	if err != nil {
		return err
	}
	in, err := a.login(ctx, login, session)
	if err != nil {
		return err
	}
	a.session.Server(cmp.Or(in.product, product), cmp.Or(in.version, hello.version))
	if in.route != nil {
		return a.routed(ctx, *in.route)
	}
	a.session.Enter(probe.PhaseSession)
	if err := session.send(packetBatch, checkStatement(in.tds)); err != nil {
		return err
	}
	_, err = a.hear(session)
	return err
}

// greet exchanges PRELOGIN.
func (a *attempt) greet() (prelogin, error) {
	s, w := a.session, wire{stream: a.socket}
	ask := byte(encryptLogin)
	if s.Target.TLS != nil {
		ask = encryptAll
	}
	if err := w.send(packetPrelogin, preloginMessage(ask)); err != nil {
		return prelogin{}, err
	}
	if err := w.begin(packetReply); err != nil {
		return prelogin{}, err
	}
	b, err := w.whole(longestPrelogin)
	if err != nil {
		return prelogin{}, err
	}
	if len(b) > 0 && b[0] == tokenError {
		return prelogin{}, a.turnedAway(b)
	}
	hello, err := parsePrelogin(b)
	if err == nil {
		s.Server(product, hello.version)
		s.Fact("encryption_offered", hello.offer())
	}
	return hello, err
}

// channels agrees on the encryption, and gives what carries the login packet
// and what carries all that follows.
func (a *attempt) channels(ctx context.Context, hello prelogin) (login, session *wire, err error) {
	s := a.session
	plain := &wire{stream: a.socket}
	demands := hello.encryption == encryptAll || hello.encryption == encryptDemand
	switch {
	case s.Target.TLS == nil && demands:
		s.Enter(probe.PhaseTLS)
		return nil, nil, probe.Fail(probe.CodeTLSRequired, errors.New("the server encrypts whole sessions only"))
	case s.Target.TLS != nil && !demands:
		s.Enter(probe.PhaseTLS)
		return nil, nil, probe.Fail(probe.CodeTLSNotSupported, errors.New("the server does not encrypt sessions"))
	case s.Target.TLS != nil:
		conn, err := a.secure(ctx, s.TLSConfig())
		if err != nil {
			return nil, nil, err
		}
		a.encrypted = conn
		all := &wire{stream: conn}
		return all, all, a.permitted("session")
	case hello.encryption == encryptNever:
		return plain, plain, a.permitted("none")
	default:
		if err := a.permitted("login"); err != nil {
			return nil, nil, err
		}
		conn, err := a.secure(ctx, a.loginOnly())
		if err != nil {
			return nil, nil, err
		}
		return &wire{stream: conn}, plain, nil
	}
}

// permitted says whether a login may be sent at all, encrypted thus far.
func (a *attempt) permitted(encrypted string) error {
	s := a.session
	if !s.Login {
		return errProven
	}
	s.Mechanism("SQL Server authentication")
	switch {
	case s.Target.User == "" || !s.Target.Password.IsSet():
		s.Enter(probe.PhaseLogin)
		return probe.Fail(probe.CodeAuthRequired, errors.New("no user name or no password was given"))
	case !a.prober.cfg.AllowRecoverable && !s.Target.ProvesServer():
		s.Enter(probe.PhaseLogin)
		return probe.Fail(probe.CodeInsecureLogin, errors.New("LOGIN7 lets the server read the password"))
	default:
		s.Fact("login_encryption", encrypted)
		return nil
	}
}

// login sends the credentials and hears what the server says to them.
func (a *attempt) login(ctx context.Context, login, session *wire) (*answer, error) {
	s := a.session
	message := loginMessage(s.Target, s.Address.Host, a.prober.cfg.ProgramName)
	if err := s.BeforeLogin(ctx); err != nil {
		return nil, err
	}
	if err := login.send(packetLogin7, message); err != nil {
		return nil, err
	}
	in, err := a.hear(session)
	switch {
	case err != nil:
		return nil, err
	case !in.acked:
		return nil, errors.New("the server neither lets the login in nor refuses it")
	}
	return in, nil
}

// hear reads one answer, and fails with what the server says is wrong.
func (a *attempt) hear(w *wire) (*answer, error) {
	var in answer
	if err := w.begin(packetReply); err != nil {
		return nil, err
	}
	if err := in.read(w); err != nil {
		return nil, err
	}
	switch {
	case len(in.errors) > 0:
		return nil, a.judge(in.errors)
	case !in.done:
		return nil, fmt.Errorf("%w: an answer without DONE", errForeign)
	case in.failed:
		return nil, probe.Fail(probe.CodeServerError, errors.New("the server failed and does not say why"))
	}
	return &in, nil
}

// turnedAway reads the errors that came in the place of an answer to PRELOGIN.
func (a *attempt) turnedAway(b []byte) error {
	var in answer
	if err := in.read(bytes.NewReader(b)); err != nil {
		return err
	}
	return a.judge(in.errors)
}
