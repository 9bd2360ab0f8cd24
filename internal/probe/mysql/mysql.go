// Package mysql tests MySQL, MariaDB and TaurusDB endpoints with the
// go-sql-driver. One connection carries the whole test: greeting, encryption,
// login, the statement DO 1, and COM_QUIT.
//
// The driver is never alone with the socket. The greeting is read and checked
// here before the driver sees it, the encryption is made here, and all that the
// two sides say until the login is over passes through package code that knows
// what it is: so the login mark comes before the first credential, no password
// leaves in a form that the other side could read unless it has proven who it
// is, and nothing comes in that would make the driver panic, after which it
// would leave a goroutine behind.
//
// A server that is asked up to the protocol only (Session.Login false) sees a
// connection that ends after its greeting. It counts that as one interrupted
// connection of our address; the next good login sets the count back.
//
// Facts noted: tls_offered (the greeting offers TLS), auth_plugin_default (the
// plugin that the greeting names), account_may_require_tls (the login was
// refused without TLS where TLS is offered: the server uses the same words for
// a wrong password and for an account with REQUIRE SSL).
package mysql

import (
	"cmp"
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"net"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"

	"dialtone/internal/probe"
	"dialtone/internal/sabotage"
)

// Config are the prober's tunables.
type Config struct {
	// AllowRecoverable permits logins that hand the server the password in a
	// form it can read, though it has not proven who it is
	// (probe.Target.ProvesServer): clear text, or RSA with a key that the server
	// itself has sent. Default false.
	AllowRecoverable bool
	// ProgramName is the program_name of the connection attributes, as the
	// server's session lists show it. Default "dialtone".
	ProgramName string
}

// Prober tests MySQL, MariaDB and TaurusDB.
type Prober struct{ cfg Config }

var _ probe.Prober = (*Prober)(nil)

// New makes a Prober.
func New(cfg Config) *Prober {
	// A comma or colon would begin an attribute of its own.
	cfg.ProgramName = strings.NewReplacer(",", "_", ":", "_").Replace(cmp.Or(cfg.ProgramName, "dialtone"))
	return &Prober{cfg: cfg}
}

// Engines lists the engines that speak this protocol.
func (p *Prober) Engines() []probe.Engine { return []probe.Engine{probe.MySQL, probe.Taurus} }

// errProven ends a test that was to stop before the login.
var errProven = errors.New("proven up to the login")

// maxPacket bounds what the driver would send at once.
const maxPacket = 1 << 20

// Probe tests the session's address. See probe.Prober.
func (p *Prober) Probe(ctx context.Context, s *probe.Session) error {
	a := &attempt{session: s, cfg: p.cfg}
	err := a.run(ctx, a.config(ctx))
	if a.refusal != nil {
		err = a.refusal // the driver made something else of it
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
	greet   *greeting
	// refusal is our own reason for ending the connection.
	refusal error
	// lost is the first error of the socket, which the driver only logs.
	lost error
}

// Print takes what the driver logs, and drops it: the causes are in lost.
func (a *attempt) Print(...any) {}

func (a *attempt) run(ctx context.Context, c *mysql.Config) error {
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return probe.Fail(probe.CodeInternal, err)
	}
	conn, err := connector.Connect(ctx)
	if err != nil {
		return err
	}
	// The driver says goodbye (COM_QUIT) when it is closed.
	if !sabotage.On(sabotage.HangUpWithoutGoodbye) {
		defer func() { _ = conn.Close() }()
	}
	a.session.Enter(probe.PhaseSession)
	statements, ok := conn.(driver.ExecerContext)
	if !ok {
		return probe.Fail(probe.CodeInternal, errors.New("the driver executes nothing"))
	}
	// Not a ping: that is answered even when the password has expired.
	_, err = statements.ExecContext(ctx, "DO 1", nil)
	return err
}

// config is written field by field: nothing of the target is ever parsed as a
// list of options.
func (a *attempt) config(ctx context.Context) *mysql.Config {
	t := a.session.Target
	c := mysql.NewConfig()
	c.Net, c.Addr = "tcp", a.session.Address.String()
	c.User, c.Passwd, c.DBName = t.User, t.Password.Reveal(), t.Database
	c.Logger = a
	c.MaxAllowedPacket = maxPacket
	c.ConnectionAttributes = "program_name:" + a.cfg.ProgramName
	c.AllowCleartextPasswords = a.readable()
	c.CheckConnLiveness = false
	c.DialFunc = func(context.Context, string, string) (net.Conn, error) {
		// The driver's context has no deadline that ours has not.
		return a.dial(ctx)
	}
	return c
}

// readable says whether the password may be sent so that the server can read
// it: the other side must have proven who it is.
func (a *attempt) readable() bool {
	return a.cfg.AllowRecoverable || a.session.Target.ProvesServer()
}

// permit asks for the login. An error ends the connection.
func (a *attempt) permit(ctx context.Context) error {
	err := errProven
	if a.session.Login {
		err = a.session.BeforeLogin(ctx)
	}
	if err != nil {
		a.refusal = err
	}
	return err
}

// dial connects, hears the greeting, and gives the driver what it may use.
func (a *attempt) dial(ctx context.Context) (net.Conn, error) {
	s := a.session
	raw, err := s.Dial(ctx, "tcp", s.Address.String())
	if err != nil {
		return nil, err
	}
	conn, err := a.receive(ctx, raw)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}

func (a *attempt) receive(ctx context.Context, raw net.Conn) (net.Conn, error) {
	s := a.session
	s.Enter(probe.PhaseProtocol)
	packet, err := readGreeting(ctx, raw)
	if err != nil {
		return nil, err
	}
	if a.greet, err = parseGreeting(packet); err != nil {
		return nil, err
	}
	s.Server(a.greet.product, a.greet.version)
	s.Fact("auth_plugin_default", a.greet.plugin)
	s.Fact("tls_offered", strconv.FormatBool(a.greet.offersTLS()))

	switch {
	case s.Target.TLS != nil && !a.greet.offersTLS():
		return nil, probe.Fail(probe.CodeTLSNotSupported, mysql.ErrNoTLS)
	case s.Target.TLS == nil && !s.Login:
		return nil, errProven
	}
	w := &watched{Conn: raw, stream: raw, attempt: a, login: true, permit: func() error { return a.permit(ctx) }}
	w.pending = a.greet.forDriver(packet, s.Target.TLS != nil)
	if s.Target.TLS != nil {
		s.Enter(probe.PhaseTLS)
		w.encrypt = func(login []byte) (net.Conn, error) { return a.encrypt(ctx, raw, login) }
	}
	return w, nil
}

// encrypt asks for TLS, with what the driver's login says of the client, and
// makes the handshake. It is not left to the driver, whose talk could not be
// watched then.
func (a *attempt) encrypt(ctx context.Context, raw net.Conn, login []byte) (net.Conn, error) {
	request, err := sslRequest(login)
	if err != nil {
		return nil, err
	}
	if _, err := raw.Write(request); err != nil {
		return nil, err
	}
	conn := tls.Client(raw, a.session.TLSConfig())
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return conn, nil
}
