// Package mongodb tests MongoDB endpoints, DDS among them, in their own wire
// protocol: one connection, no monitor, no pool. It is asked who it is, logged
// in to by SCRAM, and pinged; the members of a replica set that clients will
// need are reached too.
//
// The database of the target is the one that holds the account, "admin"
// without one. The wire knows no goodbye: the socket is closed.
package mongodb

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"

	"dialtone/internal/probe"
)

// Config are the prober's tunables.
type Config struct {
	// ProgramName is the application's name in the server's log and in
	// currentOp. Default "dialtone".
	ProgramName string
}

// Prober tests MongoDB.
type Prober struct{ cfg Config }

var _ probe.Prober = (*Prober)(nil)

// New makes a Prober.
func New(cfg Config) *Prober {
	const longest = 128 // more, and the server refuses the hello
	cfg.ProgramName = cmp.Or(cfg.ProgramName, "dialtone")
	cfg.ProgramName = cfg.ProgramName[:min(len(cfg.ProgramName), longest)]
	return &Prober{cfg: cfg}
}

// Engines lists the engines that speak this protocol.
func (p *Prober) Engines() []probe.Engine { return []probe.Engine{probe.MongoDB} }

// Probe tests the session's address. See probe.Prober.
func (p *Prober) Probe(ctx context.Context, s *probe.Session) error {
	a := &attempt{session: s, cfg: p.cfg, database: cmp.Or(s.Target.Database, "admin")}
	defer a.close()
	return a.judge(a.run(ctx))
}

// attempt is one test in progress.
type attempt struct {
	session  *probe.Session
	cfg      Config
	database string // where the account is
	conn     *conn
	socket   *socket
}

// socket remembers whether anything came.
type socket struct {
	net.Conn

	heard bool
}

func (c *socket) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.heard = c.heard || n > 0
	return n, err
}

func (a *attempt) close() {
	if a.conn != nil {
		_ = a.conn.Close()
	}
}

func (a *attempt) run(ctx context.Context) error {
	s := a.session
	s.Fact("auth_database", a.database)
	account := ""
	if s.Target.User != "" {
		account = a.database + "." + s.Target.User
	}
	h, err := a.meet(ctx, account)
	if err != nil {
		return err
	}
	s.Server("MongoDB", h.release())
	s.Fact("role", h.role())
	if h.setName != "" {
		s.Fact("replica_set", h.setName)
	}
	if !h.pending {
		s.Belongs(h.cluster())
	}
	if err := h.usable(); err != nil || !s.Login {
		return err
	}
	a.conn.modern = h.wire >= wireOpMsg
	if account != "" {
		if err := a.login(ctx, h); err != nil {
			return err
		}
	}
	s.Enter(probe.PhaseSession)
	if err := a.ask(); err != nil {
		return err
	}
	return a.topology(ctx, h)
}

// meet connects and asks the server who it is.
func (a *attempt) meet(ctx context.Context, account string) (hello, error) {
	s := a.session
	raw, err := s.Dial(ctx, "tcp", s.Address.String())
	if err != nil {
		return hello{}, err
	}
	a.socket = &socket{Conn: raw}
	a.conn = &conn{Conn: a.socket}
	if config := s.TLSConfig(); config != nil {
		s.Enter(probe.PhaseTLS)
		secured := tls.Client(a.socket, config)
		a.conn.Conn = secured
		if err := secured.HandshakeContext(ctx); err != nil {
			return hello{}, err
		}
	}
	s.Enter(probe.PhaseProtocol)
	return a.conn.greet(a.cfg.ProgramName, account)
}

// ask sends the lightest command that only works where there is a server to
// answer it, and that tells its version.
func (a *attempt) ask() error {
	build, err := a.conn.command("admin", field{"buildInfo", int32(1)})
	if _, refused := errors.AsType[*commandError](err); refused {
		_, err = a.conn.command(a.database, field{"ping", int32(1)})
	}
	if err != nil {
		return err
	}
	if version := build.get("ferretdbVersion").text(); version != "" {
		a.session.Server("FerretDB", version)
	} else if version := build.get("version").text(); version != "" {
		a.session.Server("MongoDB", version)
	}
	if a.session.Target.User == "" {
		// The others are answered to everybody, also where there are accounts.
		_, err = a.conn.command("admin", field{"listDatabases", int32(1)}, field{"nameOnly", true})
	}
	return err
}
