// Package kerberos is the client's side of Kerberos 5 (RFC 4120), as far as a
// single login to a single service goes: a ticket for the user, a ticket for
// the service, and the exchange of GSSAPI under SASL (RFC 4752) that shows it.
// It knows no network: the caller carries its messages to a key distribution
// centre (KDC), and so decides which addresses are dialled and for how long.
//
// Messages and ciphers are gokrb5's. Its client is not used, because it dials by
// itself, keeps a goroutine, and derives keys with as many iterations as the
// KDC asks for.
package kerberos

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// The ways in which a login can end before the service is asked. A KDC's own
// refusal is a *RefusedError.
var (
	// ErrPassword: the KDC's answer cannot be read with this password or key.
	ErrPassword = errors.New("the KDC's answer is for another password")
	// ErrNoKey: the keytab holds no key of this user.
	ErrNoKey = errors.New("no key of this user in the keytab")
	// ErrIterations: the KDC asks for more work than MaxIterations.
	ErrIterations = errors.New("the KDC asks for too many iterations")
	// ErrMalformed: the answer is none of Kerberos, or not to our question.
	ErrMalformed = errors.New("not an answer of a KDC")
)

// The refusals of a KDC that callers tell apart (RFC 4120, 7.5.9).
const (
	AccountExpired     = errorcode.KDC_ERR_NAME_EXP
	UnknownUser        = errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN
	UnknownService     = errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN
	NoCommonEncryption = errorcode.KDC_ERR_ETYPE_NOSUPP
	AccountLocked      = errorcode.KDC_ERR_CLIENT_REVOKED
	PasswordExpired    = errorcode.KDC_ERR_KEY_EXPIRED
	WrongPassword      = errorcode.KDC_ERR_PREAUTH_FAILED
	WrongRealm         = errorcode.KDC_ERR_WRONG_REALM
	ServiceUnavailable = errorcode.KDC_ERR_SVC_UNAVAILABLE
)

// ticketLife is how long a ticket shall be good: no test takes longer.
const ticketLife = 10 * time.Minute

// RefusedError is a KDC's error message.
type RefusedError struct {
	Code int32
	// Text is foreign: evidence, not part of an error.
	Text string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the KDC refuses with error %d", e.Code)
}

// Send carries one message to the KDC and its answer back.
type Send func(message []byte) ([]byte, error)

// Ticket is the right to talk to one service.
type Ticket struct {
	realm  string
	client types.PrincipalName
	ticket messages.Ticket
	key    types.EncryptionKey
}

// Login gets a ticket for service, such as "kafka/broker.example.com", in the
// identity's realm. It calls permit once, just before the first message that
// proves that the password is known, and ends with its error.
func Login(id Identity, service string, send Send, permit func() error) (*Ticket, error) {
	if len(id.encryptions()) == 0 {
		return nil, ErrNoKey
	}
	l := &login{Identity: id, send: send, permit: permit, client: types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, id.User)}
	granting, key, err := l.authenticate()
	if err != nil {
		return nil, err
	}
	return l.serviceTicket(granting, key, service)
}

// login is one login in progress.
type login struct {
	Identity
	send   Send
	permit func() error
	client types.PrincipalName
	// derived is the key that the password has become, and from what.
	derived types.EncryptionKey
	from    derivation
}

// authenticate gets the ticket-granting ticket (RFC 4120, 3.1).
func (l *login) authenticate() (messages.Ticket, types.EncryptionKey, error) {
	none := func(err error) (messages.Ticket, types.EncryptionKey, error) {
		return messages.Ticket{}, types.EncryptionKey{}, err
	}
	body, err := l.request(types.NewPrincipalName(nametype.KRB_NT_SRV_INST, "krbtgt/"+l.Realm))
	if err != nil {
		return none(err)
	}
	ask := messages.ASReq{KDCReqFields: messages.KDCReqFields{PVNO: iana.PVNO, MsgType: msgtype.KRB_AS_REQ, ReqBody: body}}
	reply, err := l.exchangeAS(&ask)
	if refused, ok := errors.AsType[*preauthError](err); ok {
		if ask.PAData, err = l.proof(refused.hints); err != nil {
			return none(err)
		}
		if err := l.permit(); err != nil {
			return none(err)
		}
		if reply, err = l.exchangeAS(&ask); errors.As(err, &refused) {
			err = ErrMalformed // it has what it demands
		}
	}
	if err != nil {
		return none(err)
	}
	key, err := l.key(reply.PAData, reply.EncPart.EType)
	if err != nil {
		return none(err)
	}
	part, err := decrypt(reply.EncPart, key, keyusage.AS_REP_ENCPART)
	if err != nil {
		return none(err)
	}
	if part.Nonce != body.Nonce || !part.SName.Equal(body.SName) || !reply.CName.Equal(l.client) ||
		len(reply.Ticket.SName.NameString) == 0 {
		return none(ErrMalformed)
	}
	return reply.Ticket, part.Key, nil
}

// serviceTicket trades the ticket-granting ticket for one of the service's
// (RFC 4120, 3.3).
func (l *login) serviceTicket(granting messages.Ticket, key types.EncryptionKey, service string) (*Ticket, error) {
	body, err := l.request(types.NewPrincipalName(nametype.KRB_NT_SRV_HST, service))
	if err != nil {
		return nil, err
	}
	ask, err := l.grantingRequest(body, granting, key)
	if err != nil {
		return nil, err
	}
	answer, err := l.exchange(ask)
	if err != nil {
		return nil, err
	}
	var reply messages.TGSRep
	if reply.Unmarshal(answer) != nil {
		return nil, ErrMalformed
	}
	part, err := decrypt(reply.EncPart, key, keyusage.TGS_REP_ENCPART_SESSION_KEY)
	if err != nil {
		return nil, ErrMalformed
	}
	// A referral to another realm is a ticket for another service.
	if part.Nonce != body.Nonce || !part.SName.Equal(body.SName) || !reply.Ticket.SName.Equal(body.SName) {
		return nil, &RefusedError{Code: UnknownService, Text: "the KDC refers to another realm"}
	}
	return &Ticket{realm: l.Realm, client: l.client, ticket: reply.Ticket, key: part.Key}, nil
}

// request is what both exchanges ask: a ticket for one service, soon over.
func (l *login) request(service types.PrincipalName) (messages.KDCReqBody, error) {
	nonce, err := rand.Int(rand.Reader, big.NewInt(1<<31-1))
	if err != nil {
		return messages.KDCReqBody{}, err
	}
	return messages.KDCReqBody{
		KDCOptions: types.NewKrbFlags(), Realm: l.Realm, CName: l.client, SName: service,
		Till: time.Now().UTC().Add(ticketLife), Nonce: int(nonce.Int64()), EType: l.encryptions(),
	}, nil
}

// preauthError is a KDC's demand to prove the password first.
type preauthError struct{ hints types.PADataSequence }

func (*preauthError) Error() string { return "the KDC demands pre-authentication" }

func (l *login) exchangeAS(ask *messages.ASReq) (messages.ASRep, error) {
	var reply messages.ASRep
	message, err := ask.Marshal()
	if err != nil {
		return reply, err
	}
	answer, err := l.exchange(message)
	if err != nil {
		return reply, err
	}
	if reply.Unmarshal(answer) != nil {
		return reply, ErrMalformed
	}
	return reply, nil
}

// exchange sends one message; an error message in answer is an error.
func (l *login) exchange(message []byte) ([]byte, error) {
	answer, err := l.send(message)
	if err != nil {
		return nil, err
	}
	var refused messages.KRBError
	if refused.Unmarshal(answer) != nil {
		return answer, nil //nolint:nilerr // it is no error message
	}
	if refused.ErrorCode == errorcode.KDC_ERR_PREAUTH_REQUIRED {
		var hints types.PADataSequence
		if hints.Unmarshal(refused.EData) != nil {
			return nil, ErrMalformed
		}
		return nil, &preauthError{hints: hints}
	}
	code := refused.ErrorCode
	if code == errorcode.KRB_AP_ERR_BAD_INTEGRITY {
		code = WrongPassword // how Heimdal says it
	}
	return nil, &RefusedError{Code: code, Text: strings.ToValidUTF8(string(bytes.TrimRight([]byte(refused.EText), "\x00")), "?")}
}
