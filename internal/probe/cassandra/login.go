package cassandra

import (
	"context"
	"errors"
	"slices"
	"strings"

	"dialtone/internal/probe"
)

// start opens the conversation and says which class of the server's wants to
// know who comes; none if it lets everybody in.
func (a *attempt) start(c *conn) (authenticator string, err error) {
	f, err := c.ask(opStartup, appendTexts(nil, map[string]string{
		"CQL_VERSION": "3.0.0", "DRIVER_NAME": a.cfg.ProgramName,
	}))
	if err != nil {
		return "", err
	}
	switch f.op {
	case opReady, opAuthenticate:
	case opError:
		e, err := readError(f)
		if err != nil {
			return "", err
		}
		return "", e.beforeLogin(a.session)
	default:
		return "", unexpectedAnswer(f)
	}
	c.frameUp()
	if f.op == opReady {
		return "", nil
	}
	b := body{rest: f.body}
	authenticator = b.text()
	if b.check() == nil && authenticator == "" {
		b.broken = true
	}
	return authenticator, b.check()
}

// takesPassword lists the authenticators that take SASL PLAIN at once: the
// ones of Apache Cassandra, and those of products and services that drivers
// treat alike. To any other the password is not sent.
func takesPassword(class string) bool {
	return slices.Contains([]string{
		"org.apache.cassandra.auth.PasswordAuthenticator",
		"org.apache.cassandra.auth.MutualTlsWithPasswordFallbackAuthenticator",
		"com.amazon.helenus.auth.HelenusAuthenticator",
		"com.datastax.bdp.cassandra.auth.DseAuthenticator",
		"com.ericsson.bss.cassandra.ecaudit.auth.AuditAuthenticator",
		"com.ericsson.bss.cassandra.ecaudit.auth.AuditPasswordAuthenticator",
		"com.instaclustr.cassandra.auth.InstaclustrPasswordAuthenticator",
		"com.instaclustr.cassandra.auth.SharedSecretAuthenticator",
		"com.scylladb.auth.SaslauthdAuthenticator",
		"com.scylladb.auth.TransitionalAuthenticator",
		"io.aiven.cassandra.auth.AivenAuthenticator",
	}, class)
}

// login sends the credentials, in the one form that there is: the server can
// read it.
func (a *attempt) login(ctx context.Context, c *conn, authenticator string) error {
	s, t := a.session, a.session.Target
	s.Enter(probe.PhaseLogin)
	s.Mechanism(authenticator[strings.LastIndexByte(authenticator, '.')+1:])
	switch {
	case !takesPassword(authenticator):
		return probe.Fail(probe.CodeAuthMechanism, errors.New("an authenticator that does not take a password"))
	case t.User == "":
		return probe.Fail(probe.CodeAuthRequired, errors.New("no user name was given"))
	case !a.cfg.AllowRecoverable && !t.ProvesServer():
		return probe.Fail(probe.CodeInsecureLogin, errors.New("the server has not proven who it is"))
	}
	password := t.Password.Reveal()
	if strings.ContainsRune(t.User+password, 0) {
		// It ends a name in this form, so that no account can have it.
		return probe.Fail(probe.CodeAuthFailed, errors.New("a name or a password with a zero byte"))
	}
	if err := s.BeforeLogin(ctx); err != nil {
		return err
	}
	f, err := c.ask(opAuthResponse, appendLong(nil, []byte("\x00"+t.User+"\x00"+password)))
	if err != nil {
		return err
	}
	switch f.op {
	case opAuthSuccess:
		return nil
	case opAuthChallenge:
		return probe.Fail(probe.CodeAuthMechanism, errors.New("the server asks for more than the password"))
	case opError:
		e, err := readError(f)
		if err != nil {
			return err
		}
		return e.atLogin(s)
	default:
		return unexpectedAnswer(f)
	}
}
