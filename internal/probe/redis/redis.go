// Package redis tests Redis, Redis Cluster and GaussDB(for Redis) endpoints. It
// speaks RESP2 itself: one connection, PING before any credential leaves, AUTH
// once, then PING, INFO, SELECT and, for a cluster, what clients ask before
// they follow its addresses. Redirections (MOVED, ASK) are never followed.
//
// Redis knows no login that hides the password. It is sent only to a server
// that has proven who it is (probe.Target.ProvesServer), or where
// Config.AllowRecoverable permits it.
//
// A second connection is made where the first leaves a doubt that the caller
// would have to clear up: to a server that hangs up on a plain PING without a
// word (does it want TLS?), and to one that says nothing to a handshake (does
// it answer in plain text?). No credential goes over it.
//
// Facts noted: redis_mode (standalone, cluster, sentinel), role (master,
// replica), master_link (of a replica: up, down), login_needed ("false": the
// server lets everybody in), info ("forbidden" to this account), cluster_state,
// cluster_slots (how many of 16384 are served), cluster_nodes (how many are
// announced), listed_not_announced (an address of the target that the cluster
// does not name; translation of addresses looks so too).
package redis

import (
	"cmp"
	"context"
	"errors"
	"io"
	"strings"
	"syscall"

	"dialtone/internal/probe"
)

// Config are the prober's tunables.
type Config struct {
	// AllowRecoverable permits sending the password to a server that has not
	// proven who it is. Default false.
	AllowRecoverable bool
	// ProgramName is the name of the connection in CLIENT LIST. Default
	// "dialtone".
	ProgramName string
}

// Prober tests Redis in its three forms.
type Prober struct{ cfg Config }

var _ probe.Prober = (*Prober)(nil)

// New makes a Prober.
func New(cfg Config) *Prober {
	// The server takes no name with a space in it.
	cfg.ProgramName = strings.ReplaceAll(cmp.Or(cfg.ProgramName, "dialtone"), " ", "_")
	return &Prober{cfg: cfg}
}

// Engines lists the engines that speak this protocol.
func (p *Prober) Engines() []probe.Engine {
	return []probe.Engine{probe.Redis, probe.RedisCluster, probe.GaussRedis}
}

// errProven ends a test that was to stop before the login.
var errProven = errors.New("proven up to the login")

// Probe tests the session's address. See probe.Prober.
func (p *Prober) Probe(ctx context.Context, s *probe.Session) error {
	a := &attempt{session: s, cfg: p.cfg}
	err := a.run(ctx)
	if errors.Is(err, errProven) {
		return nil
	}
	return err
}

// attempt is one test in progress.
type attempt struct {
	session *probe.Session
	cfg     Config
	// open: the server answers those who have not logged in.
	open bool
	// mode is what INFO calls redis_mode; empty until it was said.
	mode string
}

func (a *attempt) run(ctx context.Context) error {
	c, err := a.reach(ctx)
	if err != nil {
		return err
	}
	defer c.quit()
	if a.open {
		if err := a.introduce(c); err != nil {
			return err
		}
	}
	if err := a.login(ctx, c); err != nil {
		return err
	}
	a.session.Enter(probe.PhaseSession)
	if err := a.use(c); err != nil {
		return err
	}
	return a.structure(ctx, c)
}

// reach connects and proves that a Redis answers, with or without us being
// logged in.
func (a *attempt) reach(ctx context.Context) (*conn, error) {
	c, err := a.connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.greet(ctx, c); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

func (a *attempt) greet(ctx context.Context, c *conn) error {
	s := a.session
	s.Enter(probe.PhaseProtocol)
	pong, err := c.do("PING")
	if err != nil {
		if s.Target.TLS == nil && !c.in.heard && hungUp(err) && a.wantsTLS(ctx) {
			return probe.Fail(probe.CodeTLSRequired, err)
		}
		return err
	}
	switch {
	case pong.is("PONG"):
		a.open = true
		return nil
	case pong.kind != errorKind:
		return probe.Fail(probe.CodeProtocolMismatch, errNotRESP)
	}
	switch code := errorCode(pong.text); {
	case code == probe.CodeAuthRequired:
		return nil
	case code == probe.CodePermissionDenied && a.credentials():
		return nil // who has not logged in may not even ask
	default:
		return a.refused(pong)
	}
}

// hungUp says whether the other side has ended the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// credentials says whether the target has any.
func (a *attempt) credentials() bool {
	return a.session.Target.User != "" || a.session.Target.Password.IsSet()
}

// login sends the credentials, if there are any and they may be sent.
func (a *attempt) login(ctx context.Context, c *conn) error {
	s, t := a.session, a.session.Target
	if a.open {
		s.Fact("login_needed", "false")
	}
	switch {
	case !a.credentials():
		if a.open {
			return nil
		}
		return probe.Fail(probe.CodeAuthRequired, errors.New("the server wants a password"))
	case !s.Login:
		return errProven
	}
	s.Enter(probe.PhaseLogin)
	words := []string{"AUTH", t.Password.Reveal()}
	s.Mechanism("password")
	if t.User != "" {
		words = []string{"AUTH", t.User, t.Password.Reveal()}
		s.Mechanism("acl")
	}
	if t.Password.IsSet() && !a.cfg.AllowRecoverable && !t.ProvesServer() {
		return probe.Fail(probe.CodeInsecureLogin, errors.New("AUTH carries the password itself"))
	}
	if err := s.BeforeLogin(ctx); err != nil {
		return err
	}
	reply, err := c.do(words...)
	switch {
	case err != nil:
		return err
	case reply.is("OK"):
		return nil
	case reply.kind == errorKind:
		return a.denied(reply)
	default:
		return probe.Fail(probe.CodeProtocolMismatch, errNotRESP)
	}
}
