package kafka

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"dialtone/internal/probe"
	"dialtone/internal/probe/scram"
)

// The mechanisms of the contract that scram has no name for.
const (
	mechanismPlain  = "PLAIN"
	mechanismGSSAPI = "GSSAPI"
)

// login agrees on the mechanism, and then logs in unless the session is to
// stop before.
func (a *attempt) login(ctx context.Context) error {
	mechanism := a.security().SASLMechanism
	if err := a.agree(mechanism); err != nil || !a.session.Login {
		return err
	}
	a.session.Mechanism(mechanism)
	a.session.Enter(probe.PhaseLogin)
	switch mechanism {
	case mechanismPlain:
		return a.plain(ctx)
	case mechanismGSSAPI:
		return a.gssapi(ctx)
	case string(scram.SHA256), string(scram.SHA512):
		return a.scram(ctx, scram.Mechanism(mechanism))
	default:
		return probe.Fail(probe.CodeAuthMechanism, errors.New("a mechanism that is not known here"))
	}
}

// agree tells the broker the mechanism; no credentials are in that.
func (a *attempt) agree(mechanism string) error {
	// Version 0 is followed by tokens outside of any request.
	version, err := a.version(kmsg.SASLHandshake, 1, 1)
	if err != nil {
		return err
	}
	ask := kmsg.NewPtrSASLHandshakeRequest()
	ask.Version, ask.Mechanism = version, mechanism
	body, err := a.link.ask(ask)
	if err != nil {
		return err
	}
	offered, code, err := readHandshake(body)
	switch {
	case err != nil:
		return err
	case code == 0:
		return nil
	case code == illegalSASLState:
		// A listener without SASL knows the request but no state for it.
		a.session.Fact("sasl", "not offered by this listener")
		a.session.Mechanism(mechanism)
		a.session.ServerError(strconv.Itoa(int(code)), "")
		return probe.Fail(probe.CodeAuthMechanism, errors.New("the listener has no SASL"))
	}
	if len(offered) > 0 {
		a.session.Fact("sasl_mechanisms", strings.Join(offered, ","))
	}
	a.session.Mechanism(mechanism)
	return a.refused(code, "")
}

// step sends one token of the login and gives the server's.
func (a *attempt) step(token []byte) ([]byte, error) {
	version, err := a.version(kmsg.SASLAuthenticate, 0, 2)
	if err != nil {
		return nil, err
	}
	ask := kmsg.NewPtrSASLAuthenticateRequest()
	ask.Version, ask.SASLAuthBytes = version, token
	body, err := a.link.ask(ask)
	if err != nil {
		return nil, err
	}
	answer, err := readAuthenticate(body, version)
	if err != nil {
		return nil, err
	}
	if answer.code != 0 {
		return nil, a.refused(answer.code, answer.text)
	}
	return answer.token, nil
}

// credentials fails where there are none.
func (a *attempt) credentials() error {
	if t := a.session.Target; t.User == "" || !t.Password.IsSet() {
		return probe.Fail(probe.CodeAuthRequired, errors.New("no user or no password"))
	}
	return nil
}

// plain sends the password as it is (RFC 4616).
func (a *attempt) plain(ctx context.Context) error {
	if err := a.credentials(); err != nil {
		return err
	}
	t := a.session.Target
	if !a.cfg.AllowRecoverable && !t.ProvesServer() {
		return probe.Fail(probe.CodeInsecureLogin, errors.New("PLAIN shows the password to whoever answers"))
	}
	if err := a.session.BeforeLogin(ctx); err != nil {
		return err
	}
	_, err := a.step([]byte("\x00" + t.User + "\x00" + t.Password.Reveal()))
	return err
}

// scram proves that the password is known. A delegation token is a login with
// the token's id and its HMAC (KIP-48).
func (a *attempt) scram(ctx context.Context, mechanism scram.Mechanism) error {
	if err := a.credentials(); err != nil {
		return err
	}
	t := a.session.Target
	// Kafka leaves names and passwords as they are, without SASLprep.
	cfg := scram.Config{Mechanism: mechanism, User: t.User, Password: t.Password, Raw: true}
	if a.security().DelegationTokens {
		cfg.Extensions = []string{"tokenauth=true"}
		a.session.Fact("delegation_token", "true")
	}
	client, err := scram.New(cfg)
	if err != nil {
		return err
	}
	if err := a.session.BeforeLogin(ctx); err != nil {
		return err
	}
	challenge, err := a.step(client.First())
	if err != nil {
		return err
	}
	proof, err := client.Final(challenge)
	if err != nil {
		return exchangeError(err)
	}
	final, err := a.step(proof)
	if err != nil {
		return err
	}
	return exchangeError(client.Verify(final))
}

// exchangeError translates a fault of the exchange itself.
func exchangeError(err error) error {
	if err == nil {
		return nil
	}
	if _, refused := errors.AsType[*scram.RefusedError](err); refused {
		return probe.Fail(probe.CodeAuthFailed, err)
	}
	if errors.Is(err, scram.ErrIterations) {
		return probe.Fail(probe.CodePeerAbusive, err)
	}
	return &probe.Error{Code: probe.CodeProtocolMismatch, Phase: probe.PhaseLogin, Err: err}
}
