package gaussdb

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // the protocol's
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // the protocol's
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"dialtone/internal/probe"
	"dialtone/internal/probe/gaussdb/sm3"
)

// What an authentication message asks for (pqcomm.h of openGauss-server). From
// 10 on the numbers mean other things than in PostgreSQL.
const (
	authOK     = 0
	authClear  = 3
	authMD5    = 5
	authSHA256 = 10
	authSM3    = 13
)

// method names a demand.
func method(kind uint32) string {
	switch kind {
	case authClear:
		return "password"
	case authMD5:
		return "md5"
	case authSHA256:
		return "sha256"
	case 2:
		return "kerberos"
	case 7:
		return "gssapi"
	case 9:
		return "sspi"
	case 11:
		return "md5 over sha256"
	case authSM3:
		return "sm3"
	case 14:
		return "iam"
	default:
		return fmt.Sprintf("method %d", kind)
	}
}

// authentication answers an authentication message: one demand, and then the
// acceptance; anything else is out of turn.
func (a *attempt) authentication(ctx context.Context, body []byte) error {
	if len(body) < 4 {
		return probe.Fail(probe.CodeProtocolMismatch, errors.New("an authentication message of less than four bytes"))
	}
	kind, rest := binary.BigEndian.Uint32(body), body[4:]
	if kind == authSHA256 && isSASL(rest) {
		return anotherProduct("postgresql", "the server asks for SASL, which GaussDB does not know")
	}
	s := a.session
	switch {
	case !s.Login:
		return errProven
	case a.accepted, kind != authOK && a.demanded:
		return probe.Fail(probe.CodeProtocolMismatch, fmt.Errorf("authentication message %d out of turn", kind))
	case kind == authOK:
		a.accepted = true
		s.Enter(probe.PhaseSession)
		return nil
	}
	a.demanded = true
	s.Mechanism(method(kind))
	if !s.Target.Password.IsSet() {
		s.Enter(probe.PhaseLogin)
		return probe.Fail(probe.CodeAuthRequired, errors.New("the server asks for a password and there is none"))
	}
	answer, err := a.answer(kind, rest)
	if err != nil {
		s.Enter(probe.PhaseLogin)
		return err
	}
	if err := s.BeforeLogin(ctx); err != nil {
		return err
	}
	return a.link.send(typePassword, append(answer, 0))
}

// isSASL tells PostgreSQL's list of mechanisms, which begins with a letter,
// from the number of a form of storage.
func isSASL(rest []byte) bool { return len(rest) < 4 || rest[0] != 0 }

// answer is what to send to a demand.
func (a *attempt) answer(kind uint32, rest []byte) ([]byte, error) {
	password := a.session.Target.Password.Reveal()
	switch kind {
	case authClear:
		if !a.readable() {
			return nil, probe.Fail(probe.CodeInsecureLogin, errors.New("the server asks for the password in clear text"))
		}
		if bytes.ContainsRune([]byte(password), 0) {
			return nil, probe.Fail(probe.CodeAuthFailed, errors.New("a password in clear text cannot have a NUL"))
		}
		return []byte(password), nil
	case authMD5:
		if len(rest) != saltLength {
			return nil, malformed("the salt of md5")
		}
		return append([]byte("md5"), hexMD5(append(a.hashed(), rest...))...), nil
	case authSHA256, authSM3:
		return a.answerDerived(password, rest)
	default:
		return nil, probe.Fail(probe.CodeAuthMechanism, fmt.Errorf("the server asks for %s", method(kind)))
	}
}

func malformed(what string) error {
	return probe.Fail(probe.CodeProtocolMismatch, fmt.Errorf("%s is not right", what))
}

// The forms in which a password may be stored (crypt.h of openGauss-server), as
// a demand for sha256 or sm3 begins with them.
const (
	storedPlain  = 0
	storedMD5    = 1
	storedSHA256 = 2
	storedSM3    = 3
)

const saltLength = 4

// hashed is the password as MD5 stores it.
func (a *attempt) hashed() []byte {
	t := a.session.Target
	return hexMD5([]byte(t.Password.Reveal() + t.User))
}

func hexMD5(b []byte) []byte {
	sum := md5.Sum(b) //nolint:gosec // the protocol's
	return hex.AppendEncode(nil, sum[:])
}

// answerDerived answers the demand for sha256 or sm3, which goes on with the
// form of storage and what belongs to it.
func (a *attempt) answerDerived(password string, rest []byte) ([]byte, error) {
	if len(rest) < 4 {
		return nil, malformed("the demand")
	}
	digest := sha256.Sum256
	form, rest := binary.BigEndian.Uint32(rest), rest[4:]
	switch form {
	case storedMD5: // in servers that keep accounts of an old release
		if len(rest) != saltLength {
			return nil, malformed("the salt of sha256 over md5")
		}
		sum := sha256.Sum256(append(a.hashed(), rest...))
		return hex.AppendEncode([]byte("sha256"), sum[:]), nil
	case storedPlain, storedSHA256, storedSM3:
		if form == storedSM3 {
			digest = sm3.Sum
		}
		c, err := parseChallenge(rest)
		if err != nil {
			return nil, err
		}
		a.session.Fact("iterations", strconv.Itoa(c.iterations))
		return c.prove(password, digest)
	default:
		return nil, probe.Fail(probe.CodeAuthMechanism, fmt.Errorf("the server stores the password in form %d", form))
	}
}

// challenge is what the server wants proven.
type challenge struct {
	salt, token []byte
	iterations  int
}

// The lengths of a challenge's parts: two in hexadecimal, and a number.
const (
	saltHex  = 64
	tokenHex = 8
)

// mostIterations bounds the work that a server may ask for. The product's
// default is 10000, its limit (auth_iteration_count) 134217728, which would be
// minutes that no deadline cuts short.
const mostIterations = 1_000_000

// parseChallenge reads the challenge of protocol 3.51.
func parseChallenge(b []byte) (challenge, error) {
	if len(b) != saltHex+tokenHex+4 {
		return challenge{}, malformed("the length of the challenge")
	}
	var c challenge
	var err, err2 error
	c.salt, err = hex.DecodeString(string(b[:saltHex]))
	c.token, err2 = hex.DecodeString(string(b[saltHex : saltHex+tokenHex]))
	iterations := binary.BigEndian.Uint32(b[saltHex+tokenHex:])
	switch {
	case err != nil || err2 != nil || iterations == 0:
		return challenge{}, malformed("the challenge")
	case iterations > mostIterations:
		return challenge{}, probe.Fail(probe.CodePeerAbusive, errors.New("the server asks for excessive key derivation"))
	}
	c.iterations = int(iterations)
	return c, nil
}

// prove is the proof that one knows the password, in the likeness of RFC 5802:
// the client's key under a mask that only the stored key makes, which is the
// digest of the client's.
func (c challenge) prove(password string, digest func([]byte) [sha256.Size]byte) ([]byte, error) {
	key, err := pbkdf2.Key(sha1.New, password, c.salt, c.iterations, sha256.Size)
	if err != nil {
		return nil, probe.Fail(probe.CodeInternal, err)
	}
	clientKey := sign(key, []byte("Client Key"))
	storedKey := digest(clientKey)
	proof := make([]byte, sha256.Size)
	subtle.XORBytes(proof, clientKey, sign(storedKey[:], c.token))
	return hex.AppendEncode(nil, proof), nil
}

func sign(key, data []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(data)
	return mac.Sum(nil)
}
