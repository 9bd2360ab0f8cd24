package mongodb

import (
	"context"
	"crypto/md5" //nolint:gosec // what SCRAM-SHA-1 is fed with here
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"dialtone/internal/probe"
	"dialtone/internal/probe/scram"
	"dialtone/internal/secret"
)

// wireMechanisms is the wire version (of MongoDB 4.0) from which a server lists
// the mechanisms of an account.
const wireMechanisms = 7

// login makes the one login (MongoDB drivers' specification, "Authentication").
func (a *attempt) login(ctx context.Context, h hello) error {
	mechanism, err := a.choose(h)
	if err != nil {
		return err
	}
	t := a.session.Target
	a.session.Enter(probe.PhaseLogin)
	a.session.Mechanism(string(mechanism))
	if !t.Password.IsSet() {
		return probe.Fail(probe.CodeAuthRequired, errors.New("no password was given"))
	}
	cfg := scram.Config{Mechanism: mechanism, User: t.User, Password: t.Password}
	if mechanism == scram.SHA1 {
		cfg.Raw, cfg.Password = true, digest(t.User, t.Password)
	}
	client, err := scram.New(cfg)
	if err != nil {
		return probe.Fail(probe.CodeInternal, err)
	}
	if err := a.session.BeforeLogin(ctx); err != nil {
		return err
	}
	answer, err := a.conn.command(a.database, field{"saslStart", int32(1)}, field{"mechanism", string(mechanism)},
		field{"payload", client.First()}, field{"options", []field{{"skipEmptyExchange", true}}})
	if err != nil {
		return a.turnedDown(h, err)
	}
	proof, err := client.Final(answer.get("payload").bytes())
	if err != nil {
		return exchangeFault(err)
	}
	conversation, _ := answer.get("conversationId").number()
	if answer, err = a.resume(conversation, proof); err != nil {
		return a.turnedDown(h, err)
	}
	if err := client.Verify(answer.get("payload").bytes()); err != nil {
		return exchangeFault(err)
	}
	if answer.get("done").truth() {
		return nil
	}
	// Servers before 4.4 want to hear once more, and nothing.
	if answer, err = a.resume(conversation, []byte{}); err != nil {
		return a.turnedDown(h, err)
	}
	if !answer.get("done").truth() {
		return exchangeFault(scram.ErrMalformed)
	}
	return nil
}

func (a *attempt) resume(conversation int, payload []byte) (document, error) {
	return a.conn.command(a.database, field{"saslContinue", int32(1)},
		field{"conversationId", int32(conversation)}, field{"payload", payload}) //nolint:gosec // the server's own number
}

// choose takes the strongest mechanism that the account has. Servers before
// 4.0, and those that know no such account, list none.
func (a *attempt) choose(h hello) (scram.Mechanism, error) {
	switch {
	case slices.Contains(h.mechanisms, string(scram.SHA256)):
		return scram.SHA256, nil
	case slices.Contains(h.mechanisms, string(scram.SHA1)), len(h.mechanisms) == 0:
		return scram.SHA1, nil
	default:
		a.session.Enter(probe.PhaseLogin)
		a.session.Mechanism(strings.Join(h.mechanisms, ","))
		return "", probe.Fail(probe.CodeAuthMechanism, errors.New("the account cannot log in by SCRAM"))
	}
}

// digest is the form in which SCRAM-SHA-1 takes the password here.
func digest(user string, password secret.Text) secret.Text {
	sum := md5.Sum([]byte(user + ":mongo:" + password.Reveal())) //nolint:gosec // as above
	return secret.New(hex.EncodeToString(sum[:]))
}

// turnedDown notes what helps to tell a wrong password from a wrong database:
// the server's error is the same for both.
func (a *attempt) turnedDown(h hello, err error) error {
	if _, ok := errors.AsType[*commandError](err); ok && h.wire >= wireMechanisms {
		found := "not confirmed"
		if len(h.mechanisms) > 0 {
			found = "confirmed"
		}
		a.session.Fact("user_in_auth_database", found)
	}
	return err
}

// exchangeFault judges what is wrong with the server's side of the exchange.
func exchangeFault(err error) error {
	fault := &probe.Error{Code: probe.CodeProtocolMismatch, Phase: probe.PhaseLogin, Err: err}
	if errors.Is(err, scram.ErrIterations) {
		fault.Code = probe.CodePeerAbusive
	} else if _, ok := errors.AsType[*scram.RefusedError](err); ok {
		fault.Code = probe.CodeAuthFailed
	} else if !errors.Is(err, scram.ErrMalformed) && !errors.Is(err, scram.ErrServerProof) {
		fault.Code = probe.CodeAuthFailed // the password cannot be prepared
	}
	return fault
}
