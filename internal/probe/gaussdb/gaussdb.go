// Package gaussdb tests GaussDB and openGauss. They speak PostgreSQL's protocol
// with version numbers and logins of their own, so none of its drivers gets in:
// the few messages that a test needs are written here. One connection carries
// it: encryption, login, one statement that tells a primary from a standby, and
// Terminate.
//
// The startup message asks for protocol 3.51, the only version that works with
// every server since 2019: from it on the server tells how often the password
// was hashed. Asked in 3.0 or 3.50 it keeps that to itself, drivers then assume
// 2048, and as the product's default is 10000, the right password is refused.
// Servers from before 3.51 answer version_unsupported.
//
// Without a database name the database "postgres" is asked for.
package gaussdb

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"

	"dialtone/internal/probe"
)

// Config are the prober's tunables.
type Config struct {
	// AllowRecoverable permits clear-text passwords to a server that has not
	// proven who it is (probe.Target.ProvesServer). Default false.
	AllowRecoverable bool
	// ProgramName is the application_name, as pg_stat_activity shows it. Some
	// names give a client special rights in the server, such as cm_agent.
	// Default "dialtone".
	ProgramName string
}

// Prober tests GaussDB and openGauss.
type Prober struct{ cfg Config }

var _ probe.Prober = (*Prober)(nil)

// New makes a Prober.
func New(cfg Config) *Prober {
	cfg.ProgramName = cmp.Or(cfg.ProgramName, "dialtone")
	return &Prober{cfg: cfg}
}

// Engines lists the engines that speak this protocol.
func (p *Prober) Engines() []probe.Engine {
	return []probe.Engine{probe.GaussDBv5, probe.GaussDBv5HA}
}

// errProven ends a test that was to stop before the login.
var errProven = errors.New("proven up to the login")

// Probe tests the session's address. See probe.Prober.
func (p *Prober) Probe(ctx context.Context, s *probe.Session) error {
	t := s.Target
	switch { // a NUL ends a text, and what follows would be another setting
	case strings.ContainsRune(t.User, 0):
		return probe.Fail(probe.CodeAuthFailed, errors.New("no user name has a NUL"))
	case strings.ContainsRune(t.Database, 0):
		return probe.Fail(probe.CodeDatabaseUnknown, errors.New("no database name has a NUL"))
	}
	conn, err := s.Dial(ctx, "tcp", s.Address.String())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	a := &attempt{session: s, cfg: p.cfg, link: newLink(conn)}
	err = a.run(ctx, conn)
	if errors.Is(err, errProven) {
		return nil
	}
	return err
}

// attempt is one test in progress.
type attempt struct {
	session *probe.Session
	cfg     Config
	link    *link

	demanded bool // the server has asked for credentials, once
	accepted bool // it has let us in
	version  string
	role     string
	noticed  bool
}

func (a *attempt) run(ctx context.Context, conn net.Conn) error {
	s := a.session
	if s.Target.TLS != nil {
		s.Enter(probe.PhaseTLS)
		secured, err := a.encrypt(ctx, conn)
		if err != nil {
			return err
		}
		a.link = newLink(secured)
	}
	s.Enter(probe.PhaseProtocol)
	err := a.link.start(map[string]string{
		"user": s.Target.User, "database": cmp.Or(s.Target.Database, "postgres"),
		"application_name": a.cfg.ProgramName, "client_encoding": "UTF8",
	})
	if err != nil {
		return err
	}
	if err := a.untilReady(ctx); err != nil {
		return err
	}
	err = a.ask()
	// The goodbye is a courtesy: the verdict stands already.
	_ = a.link.send(typeTerminate, nil)
	return err
}

// encrypt asks for TLS and makes the handshake.
func (a *attempt) encrypt(ctx context.Context, conn net.Conn) (net.Conn, error) {
	if err := a.link.requestTLS(); err != nil {
		return nil, err
	}
	answer, rest, err := a.link.answerToTLS()
	switch {
	case err != nil:
		return nil, err
	case answer == 'S' && rest:
		// Encryption begins with us: what is here already is not under it.
		return nil, probe.Fail(probe.CodeTLSHandshake, errors.New("the server went on in plain text"))
	case answer == 'S':
	case answer == 'N':
		return nil, probe.Fail(probe.CodeTLSNotSupported, errors.New("the server declines TLS"))
	case answer == typeError:
		// One that takes no connections now says so to whatever comes first.
		return nil, a.refusal()
	default:
		return nil, probe.Fail(probe.CodeProtocolMismatch, fmt.Errorf("the server answers the question for TLS with byte %#x", answer))
	}
	secured := tls.Client(conn, a.session.TLSConfig())
	return secured, secured.HandshakeContext(ctx)
}

// refusal reads the error that the server begins with.
func (a *attempt) refusal() error {
	m, err := a.link.receive()
	if err != nil {
		return err
	}
	return a.refused(parseError(m.body))
}

// untilReady follows the server through login and settings, until it waits for
// statements.
func (a *attempt) untilReady(ctx context.Context) error {
	for {
		m, err := a.link.receive()
		if err != nil {
			return err
		}
		switch m.kind {
		case typeAuthentication:
			err = a.authentication(ctx, m.body)
		case typeError:
			err = a.refused(parseError(m.body))
		case typeNotice:
			a.notice(m.body)
		case typeParameter:
			if name, value, _ := strings.Cut(string(m.body), "\x00"); name == "server_version" {
				a.version = strings.TrimSuffix(value, "\x00")
			}
		case typeKeyData:
		case typeReady:
			if a.accepted {
				return nil
			}
			err = probe.Fail(probe.CodeProtocolMismatch, errors.New("ready before the login"))
		case typeNegotiate:
			// PostgreSQL offers the newest version that it knows; GaussDB refuses.
			err = anotherProduct("postgresql", "the server negotiates the version as PostgreSQL does")
		default:
			err = probe.Fail(probe.CodeProtocolMismatch, fmt.Errorf("message of type %q before the login is done", m.kind))
		}
		if err != nil {
			return err
		}
	}
}

// notice keeps the first, which may say that the password runs out.
func (a *attempt) notice(body []byte) {
	if !a.noticed {
		a.session.Fact("server_notice", parseError(body).Message)
	}
	a.noticed = true
}

// readable says whether the password may be sent so that the server can read
// it: the other side must have proven who it is.
func (a *attempt) readable() bool {
	return a.cfg.AllowRecoverable || a.session.Target.ProvesServer()
}

func anotherProduct(name, why string) error {
	return &probe.Error{Code: probe.CodeProtocolMismatch, LooksLike: name, Err: errors.New(why)}
}
