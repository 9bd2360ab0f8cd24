// Package postgres tests PostgreSQL endpoints with pgconn. One connection
// carries the whole test: encryption, login, an empty statement, and
// Terminate.
//
// pgconn reads its surroundings: PG* variables, a password file, a service
// file. Here it is configured once from a constant that leaves none of them a
// say, and every field that matters is overwritten for each test. What server
// and driver say to each other is read along above the encryption, so that the
// login mark comes between the server's demand for credentials and our answer.
//
// Without a database name the database "postgres" is asked for.
package postgres

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"dialtone/internal/probe"
)

// Config are the prober's tunables.
type Config struct {
	// AllowRecoverable permits clear-text passwords to a server that has not
	// proven who it is (probe.Target.ProvesServer). Default false.
	AllowRecoverable bool
	// ProgramName is the application_name, as pg_stat_activity shows it.
	// Default "dialtone".
	ProgramName string
}

// Prober tests PostgreSQL.
type Prober struct {
	cfg      Config
	template *pgconn.Config
	err      error // why there is no template
}

var _ probe.Prober = (*Prober)(nil)

// New makes a Prober.
func New(cfg Config) *Prober {
	cfg.ProgramName = cmp.Or(cfg.ProgramName, "dialtone")
	template, err := newTemplate()
	return &Prober{cfg: cfg, template: template, err: err}
}

// Engines lists the engines that speak this protocol.
func (p *Prober) Engines() []probe.Engine { return []probe.Engine{probe.PostgreSQL} }

// errProven ends a test that was to stop before the login.
var errProven = errors.New("proven up to the login")

// maxMessage bounds one message of the server's; the driver has no limit.
const maxMessage = 1 << 20

// Probe tests the session's address. See probe.Prober.
func (p *Prober) Probe(ctx context.Context, s *probe.Session) error {
	if p.err != nil {
		return probe.Fail(probe.CodeInternal, p.err)
	}
	a := &attempt{session: s, cfg: p.cfg}
	err := a.run(ctx, p.template.Copy())
	if a.refusal != nil {
		err = a.refusal // the driver made a text of it
	}
	if errors.Is(err, errProven) {
		return nil
	}
	return a.judge(err)
}

// attempt is one test in progress.
type attempt struct {
	session *probe.Session
	cfg     Config
	socket  *socket
	dialled atomic.Bool
	// refusal is our own reason for ending the connection.
	refusal error
}

func (a *attempt) run(ctx context.Context, c *pgconn.Config) error {
	a.configure(ctx, c)
	conn, err := pgconn.ConnectConfig(ctx, c)
	if err != nil {
		return err
	}
	if version := conn.ParameterStatus("server_version"); version != "" {
		a.session.Server("PostgreSQL", version)
	}
	// A pooler lets in whom it knows, and only a statement shows whether
	// there is a server behind it.
	err = conn.Ping(ctx)
	// The goodbye is sent within the probe's time, or not at all. Closing the
	// socket ends what the driver may still have going on in the background.
	_ = conn.Close(ctx)
	_ = a.socket.Close()
	select {
	case <-conn.CleanupDone():
	case <-ctx.Done():
	}
	return err
}

// configure overwrites every field that has to do with this test.
func (a *attempt) configure(ctx context.Context, c *pgconn.Config) {
	s, t := a.session, a.session.Target
	c.Host, c.Port = s.Address.Host, s.Address.Port
	c.User, c.Password = t.User, t.Password.Reveal()
	c.Database = cmp.Or(t.Database, "postgres")
	c.TLSConfig = a.tlsConfig()
	c.RuntimeParams = map[string]string{"application_name": a.cfg.ProgramName}
	c.Fallbacks = nil
	c.MaxProtocolMessageBodyLen = maxMessage
	c.ValidateConnect, c.AfterConnect, c.AfterNetConnect = nil, nil, nil
	c.KerberosSrvName, c.KerberosSpn, c.OAuthTokenProvider = "", "", nil
	c.RequireAuth = "none,scram-sha-256,md5"
	if a.readable() {
		c.RequireAuth += ",password"
	}
	c.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	c.DialFunc = func(context.Context, string, string) (net.Conn, error) {
		// Whatever address the driver has in mind, there is one to test. Its
		// context has no deadline that ours has not.
		return a.dial(ctx)
	}
	c.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		if t.TLS == nil {
			s.Enter(probe.PhaseProtocol)
		}
		watch := &watch{attempt: a, reader: r, writer: w, permit: func() error { return s.BeforeLogin(ctx) }}
		return pgproto3.NewFrontend(watch, watch)
	}
}

// tlsConfig is the session's, and notes when the handshake is over: the driver
// makes it with the first message that it sends.
func (a *attempt) tlsConfig() *tls.Config {
	c := a.session.TLSConfig()
	if c == nil {
		return nil
	}
	verify := c.VerifyConnection
	c.VerifyConnection = func(state tls.ConnectionState) error {
		err := verify(state)
		if err == nil {
			a.session.Enter(probe.PhaseProtocol)
		}
		return err
	}
	return c
}

// readable says whether the password may be sent so that the server can read
// it: the other side must have proven who it is.
func (a *attempt) readable() bool {
	return a.cfg.AllowRecoverable || a.session.Target.ProvesServer()
}

// errSecondDial refuses what the driver does after some failures: it connects
// again to ask that the statement be cancelled.
var errSecondDial = errors.New("one connection per test")

func (a *attempt) dial(ctx context.Context) (net.Conn, error) {
	if a.dialled.Swap(true) {
		return nil, errSecondDial
	}
	s := a.session
	raw, err := s.Dial(ctx, "tcp", s.Address.String())
	if err != nil {
		return nil, err
	}
	if s.Target.TLS != nil {
		s.Enter(probe.PhaseTLS)
	}
	a.socket = &socket{Conn: raw, asked: s.Target.TLS != nil}
	return a.socket, nil
}

// socket remembers the first byte that came, which the driver swallows: the
// answer to the question for TLS.
type socket struct {
	net.Conn
	asked bool // for TLS
	heard bool
	first byte
}

func (c *socket) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.heard {
		c.heard, c.first = true, p[0]
		if c.asked && n == 1 && p[0] != 'S' && p[0] != 'N' {
			c.identify()
		}
	}
	return n, err
}

// identify reads a little more of an answer that is none of PostgreSQL's: the
// edge keeps the first bytes, by which the product is known.
func (c *socket) identify() {
	if c.SetReadDeadline(time.Now().Add(100*time.Millisecond)) == nil {
		_, _ = io.ReadFull(c.Conn, make([]byte, 15))
	}
}

// notOffered says whether the server declined the question for TLS, and if it
// answered something else, that it is no PostgreSQL.
func (a *attempt) notOffered() error {
	if a.session.Target.TLS == nil || a.socket == nil || !a.socket.heard || a.socket.first == 'S' {
		return nil
	}
	if a.socket.first == 'N' {
		return probe.Fail(probe.CodeTLSNotSupported, errors.New("the server declines TLS"))
	}
	return probe.Fail(probe.CodeProtocolMismatch, fmt.Errorf("the server answers the question for TLS with byte %#x", a.socket.first))
}
