package kafka

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"dialtone/internal/probe"
	"dialtone/internal/probe/kerberos"
)

// Kerberos is the installation's own knowledge of a realm: a caller gives no
// more than a user and a password.
type Kerberos struct {
	// Realm is the users' and the brokers'. Empty: no GSSAPI.
	Realm string
	// KDCs are asked in this order until one answers. They are dialled as
	// every address is, under the policy of the test.
	KDCs []probe.Address
	// Keytab holds keys of users who may be named without a password. Nil: none.
	Keytab *kerberos.Keytab
	// Service is the first part of the brokers' principals. Default "kafka".
	Service string
	// ServiceHost is the second part. Default the host of the address.
	ServiceHost string
}

// gssapi logs in with a ticket (RFC 4752).
func (a *attempt) gssapi(ctx context.Context) error {
	id, err := a.identity()
	if err != nil {
		return err
	}
	ticket, err := a.ticket(ctx, id)
	if err != nil {
		return err
	}
	if err := a.session.BeforeLogin(ctx); err != nil {
		return err
	}
	token, err := ticket.Token()
	if err != nil {
		return ticketError(err)
	}
	offer, err := a.step(token)
	if err != nil {
		return err
	}
	layer, err := ticket.Layer(offer)
	if err != nil {
		return ticketError(err)
	}
	_, err = a.step(layer)
	return err
}

func ticketError(err error) error {
	return &probe.Error{Code: probe.CodeProtocolMismatch, Phase: probe.PhaseLogin, Err: err}
}

// identity is who logs in. The realm may be part of the user's name, but must
// be the one that we know.
func (a *attempt) identity() (kerberos.Identity, error) {
	t, k := a.session.Target, a.cfg.Kerberos
	if t.User == "" || !t.Password.IsSet() && k.Keytab == nil {
		return kerberos.Identity{}, probe.Fail(probe.CodeAuthRequired, errors.New("no user, or no password and no keytab"))
	}
	user, realm := t.User, k.Realm
	if i := strings.LastIndexByte(user, '@'); i >= 0 {
		user, realm = user[:i], user[i+1:]
	}
	if k.Realm == "" || len(k.KDCs) == 0 || realm != k.Realm {
		a.session.Fact("kerberos", "no KDC is configured for the realm")
		return kerberos.Identity{}, probe.Fail(probe.CodeKDCUnreachable, errors.New("no KDC is configured for the realm"))
	}
	return kerberos.Identity{User: user, Realm: realm, Password: t.Password, Keytab: k.Keytab}, nil
}

// service is the principal of the broker.
func (a *attempt) service() string {
	host := a.cfg.Kerberos.ServiceHost
	if host == "" {
		host = strings.ToLower(a.session.Address.Host)
	}
	return a.cfg.Kerberos.Service + "/" + host
}

// ticket asks one KDC after the other, until one has answered or a proof of
// the password was sent.
func (a *attempt) ticket(ctx context.Context, id kerberos.Identity) (*kerberos.Ticket, error) {
	a.session.Fact("kerberos_service", a.service()+"@"+id.Realm)
	list := a.cfg.Kerberos.KDCs
	for i, kdc := range list {
		visit := &visit{attempt: a, id: id, kdc: kdc}
		visit.pay(ctx, len(list)-i)
		a.session.Enter(probe.PhaseLogin)
		switch {
		case visit.answered:
			return visit.ticket, a.kerberosError(visit.err)
		case visit.permitted:
			return nil, probe.Fail(probe.CodeKDCUnreachable, errors.New("the KDC was lost during the login"))
		}
	}
	return nil, probe.Fail(probe.CodeKDCUnreachable, errors.New("no KDC answers"))
}

// visit is one login at one KDC.
type visit struct {
	attempt   *attempt
	id        kerberos.Identity
	kdc       probe.Address
	permitted bool
	answered  bool
	ticket    *kerberos.Ticket
	err       error
}

// pay makes the visit within its fair share of the time, where others wait
// behind it.
func (v *visit) pay(ctx context.Context, left int) {
	if deadline, ok := ctx.Deadline(); ok && left > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
	}
	v.attempt.session.Members(ctx, []probe.Member{{Address: v.kdc, Role: "kdc"}}, v.run)
}

// run is the prover of the KDC's session: what is wrong with the way there is
// its error, what the KDC says is the visit's.
func (v *visit) run(ctx context.Context, s *probe.Session) error {
	var lost error
	send := func(message []byte) ([]byte, error) {
		// A KDC may end the connection after every answer, and MIT's does.
		conn, err := s.Dial(ctx, "tcp", v.kdc.String())
		if err != nil {
			lost = err
			return nil, err
		}
		defer func() { _ = conn.Close() }()
		s.Enter(probe.PhaseProtocol)
		answer, err := kerberos.Exchange(conn, message)
		if err != nil {
			lost = err
		}
		return answer, err
	}
	permit := func() error {
		err := v.attempt.session.BeforeLogin(ctx)
		v.permitted = err == nil
		return err
	}
	v.ticket, v.err = kerberos.Login(v.id, v.attempt.service(), send, permit)
	v.answered = lost == nil
	return lost
}

// kerberosError translates what a KDC said, or our own judgement of it.
func (a *attempt) kerberosError(err error) error {
	if refused, ok := errors.AsType[*kerberos.RefusedError](err); ok {
		a.session.ServerError("KDC "+strconv.Itoa(int(refused.Code)), refused.Text)
		return probe.Fail(refusalCode(refused.Code), err)
	}
	switch {
	case errors.Is(err, kerberos.ErrPassword):
		return probe.Fail(probe.CodeAuthFailed, err)
	case errors.Is(err, kerberos.ErrNoKey):
		return probe.Fail(probe.CodeAuthRequired, err)
	case errors.Is(err, kerberos.ErrIterations):
		return probe.Fail(probe.CodePeerAbusive, err)
	case errors.Is(err, kerberos.ErrMalformed):
		return ticketError(err)
	default:
		return err
	}
}

// refusalCode is the verdict of a KDC's error (RFC 4120, 7.5.9).
func refusalCode(code int32) probe.Code {
	switch code {
	case kerberos.UnknownUser, kerberos.WrongPassword, kerberos.WrongRealm:
		return probe.CodeAuthFailed
	case kerberos.AccountLocked, kerberos.AccountExpired:
		return probe.CodeAccountLocked
	case kerberos.PasswordExpired:
		return probe.CodePasswordExpired
	case kerberos.UnknownService:
		return probe.CodeKDCServiceUnknown
	case kerberos.NoCommonEncryption:
		return probe.CodeAuthMechanism
	case kerberos.ServiceUnavailable:
		return probe.CodeKDCUnreachable
	default:
		return probe.CodeServerError
	}
}
