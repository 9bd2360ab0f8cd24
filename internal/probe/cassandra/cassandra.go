// Package cassandra tests endpoints that speak CQL, the native protocol of
// Apache Cassandra and its relatives. One connection carries the whole test:
// what the server supports, STARTUP, the login, and the statements with which
// every driver begins. The protocol knows no goodbye; the connection is closed.
//
// The protocol is spoken here and not by a driver: the common one can be made
// to panic in a goroutine of its own by what a server sends.
package cassandra

import (
	"cmp"
	"context"
	"strings"

	"dialtone/internal/probe"
)

// Config are the prober's tunables.
type Config struct {
	// AllowRecoverable permits logins, in which the server always can read the
	// password, to a server that has not proven who it is
	// (probe.Target.ProvesServer). Default false.
	AllowRecoverable bool
	// ProgramName is the driver_name, as system_views.clients shows it.
	// Default "dialtone".
	ProgramName string
}

// Prober tests Cassandra.
type Prober struct {
	cfg Config
	// version is the first that is tried.
	version byte
}

var _ probe.Prober = (*Prober)(nil)

// New makes a Prober.
func New(cfg Config) *Prober {
	cfg.ProgramName = cmp.Or(cfg.ProgramName, "dialtone")
	// All that is alive and not ancient speaks version 4.
	return &Prober{cfg: cfg, version: v4}
}

// Engines lists the engines that speak this protocol.
func (p *Prober) Engines() []probe.Engine { return []probe.Engine{probe.Cassandra} }

// Probe tests the session's address. See probe.Prober.
func (p *Prober) Probe(ctx context.Context, s *probe.Session) error {
	c, err := greet(ctx, s, p.version)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	a := &attempt{session: s, cfg: p.cfg}
	authenticator, err := a.start(c)
	switch {
	case err != nil || !s.Login:
		return err
	case authenticator == "":
		s.Mechanism("none")
	default:
		if err := a.login(ctx, c, authenticator); err != nil {
			return err
		}
	}
	s.Enter(probe.PhaseSession)
	if err := a.useKeyspace(c); err != nil {
		return err
	}
	dataCenter, err := a.identify(c)
	if err != nil {
		return err
	}
	return a.topology(ctx, c, dataCenter)
}

// attempt is one test in progress.
type attempt struct {
	session *probe.Session
	cfg     Config
}

// useKeyspace opens the keyspace named, if one is. Cassandra answers whether it
// exists, not whether the account may read it.
func (a *attempt) useKeyspace(c *conn) error {
	name := a.session.Target.Database
	if name == "" {
		return nil
	}
	f, err := c.ask(opQuery, queryBody(c.version, `USE "`+strings.ReplaceAll(name, `"`, `""`)+`"`))
	if err != nil {
		return err
	}
	switch f.op {
	case opResult:
		return nil
	case opError:
		e, err := readError(f)
		switch {
		case err != nil:
			return err
		case e.code == errInvalid:
			if name != strings.ToLower(name) {
				// Unquoted names are kept in lower case.
				a.session.Fact("keyspace_has_upper_case", "true")
			}
			return e.verdict(a.session, probe.CodeDatabaseUnknown)
		default:
			return e.inSession(a.session)
		}
	default:
		return unexpectedAnswer(f)
	}
}

// query has a statement executed that gives rows of so many columns.
func (a *attempt) query(c *conn, statement string, columns int) (rows, error) {
	f, err := c.ask(opQuery, queryBody(c.version, statement))
	if err != nil {
		return rows{}, err
	}
	switch f.op {
	case opResult:
		return readRows(f, columns)
	case opError:
		e, err := readError(f)
		if err != nil {
			return rows{}, err
		}
		return rows{}, e
	default:
		return rows{}, unexpectedAnswer(f)
	}
}
