// Package scram is the client's side of the SCRAM family of logins (RFC 5802,
// RFC 7677): what Kafka and MongoDB both ask for. It makes and checks the three
// messages and knows no wire: a prober wraps them in its own protocol.
//
// The server chooses how often the password is hashed, and nothing can stop a
// derivation that has begun. So the number is bounded before it begins.
package scram

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // SCRAM-SHA-1 is what old servers speak
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"github.com/xdg-go/stringprep"

	"dialtone/internal/secret"
)

// Mechanism is a member of the family, by its registered name.
type Mechanism string

// The mechanisms known here.
const (
	SHA1   Mechanism = "SCRAM-SHA-1"
	SHA256 Mechanism = "SCRAM-SHA-256"
	SHA512 Mechanism = "SCRAM-SHA-512"
)

// MaxIterations is the most that a server may ask for. Common servers ask for
// 4,096 to 15,000; a million take about a second.
const MaxIterations = 1_000_000

// maxMessage bounds a message of the server's: usual are 100 bytes.
const maxMessage = 4096

// The ways in which a server can be wrong.
var (
	// ErrMalformed: the message is none of SCRAM's.
	ErrMalformed = errors.New("not a SCRAM message")
	// ErrIterations: the server asks for more work than MaxIterations.
	ErrIterations = errors.New("the server asks for too many iterations")
	// ErrServerProof: the server does not know the password either.
	ErrServerProof = errors.New("the server's proof is wrong")
)

// RefusedError is the server's own error value, such as "invalid-proof".
type RefusedError struct{ Value string }

func (e *RefusedError) Error() string { return "the server refused the proof" }

// Config is what one login needs.
type Config struct {
	Mechanism Mechanism
	User      string
	Password  secret.Text
	// Raw takes the password as it is, where a protocol has prepared it
	// (MongoDB's SHA-1). Otherwise SASLprep (RFC 4013) is applied to it.
	Raw bool
	// Extensions follow the nonce in the first message, as "name=value".
	Extensions []string
}

// Client is one login. Its methods are called once each, in order.
type Client struct {
	cfg   Config
	hash  func() hash.Hash
	nonce string
	bare  string // the first message without its header
	proof []byte // what the server must prove in the end
}

// New makes a login, or fails for a mechanism that is not known.
func New(cfg Config) (*Client, error) {
	c := &Client{cfg: cfg, nonce: rand.Text()}
	switch cfg.Mechanism {
	case SHA1:
		c.hash = sha1.New
	case SHA256:
		c.hash = sha256.New
	case SHA512:
		c.hash = sha512.New
	default:
		return nil, fmt.Errorf("no mechanism %q", cfg.Mechanism)
	}
	return c, nil
}

// header says that the client can do no channel binding (RFC 5802, 7).
const header = "n,,"

// First is the client's first message. It names the user and holds nothing of
// the password.
func (c *Client) First() []byte {
	name := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(c.cfg.User)
	c.bare = strings.Join(append([]string{"n=" + name, "r=" + c.nonce}, c.cfg.Extensions...), ",")
	return []byte(header + c.bare)
}

// Final answers the server's first message with the proof that the password
// is known. The error is ErrMalformed, ErrIterations or a *RefusedError, or
// says that the password cannot be used.
func (c *Client) Final(challenge []byte) ([]byte, error) {
	server, err := attributes(challenge, "r", "s", "i")
	if err != nil {
		return nil, err
	}
	salt, err := base64.StdEncoding.DecodeString(server["s"])
	if err != nil || !strings.HasPrefix(server["r"], c.nonce) || len(server["r"]) == len(c.nonce) {
		return nil, ErrMalformed
	}
	rounds, err := strconv.ParseInt(server["i"], 10, 64)
	if err != nil || rounds < 1 {
		return nil, ErrMalformed
	}
	if rounds > MaxIterations {
		return nil, ErrIterations
	}
	password := c.cfg.Password.Reveal()
	if !c.cfg.Raw {
		if password, err = stringprep.SASLprep.Prepare(password); err != nil {
			// The library's error quotes what it was given.
			return nil, errors.New("the password holds characters that SASLprep forbids")
		}
	}
	salted, err := pbkdf2.Key(c.hash, password, salt, int(rounds), c.hash().Size())
	if err != nil {
		return nil, ErrMalformed
	}
	final := "c=" + base64.StdEncoding.EncodeToString([]byte(header)) + ",r=" + server["r"]
	signed := c.bare + "," + string(challenge) + "," + final
	clientKey := c.mac(salted, "Client Key")
	stored := c.hash()
	stored.Write(clientKey)
	signature := c.mac(stored.Sum(nil), signed)
	for i := range clientKey {
		clientKey[i] ^= signature[i]
	}
	c.proof = c.mac(c.mac(salted, "Server Key"), signed)
	return []byte(final + ",p=" + base64.StdEncoding.EncodeToString(clientKey)), nil
}

// Verify judges the server's last message: nil when it has proven that it
// knows the password, ErrServerProof, ErrMalformed or a *RefusedError.
func (c *Client) Verify(final []byte) error {
	server, err := attributes(final, "v")
	if err != nil {
		return err
	}
	proof, err := base64.StdEncoding.DecodeString(server["v"])
	if err != nil {
		return ErrMalformed
	}
	if c.proof == nil || !hmac.Equal(proof, c.proof) {
		return ErrServerProof
	}
	return nil
}

func (c *Client) mac(key []byte, text string) []byte {
	m := hmac.New(c.hash, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// attributes takes a server's message apart; those wanted must be there. An
// error value and a mandatory extension (RFC 5802, 5.1) end the login.
func attributes(message []byte, wanted ...string) (map[string]string, error) {
	if len(message) > maxMessage || !bytes.Contains(message, []byte("=")) {
		return nil, ErrMalformed
	}
	found := map[string]string{}
	for field := range strings.SplitSeq(string(message), ",") {
		name, value, ok := strings.Cut(field, "=")
		if _, twice := found[name]; !ok || twice || len(name) != 1 {
			return nil, ErrMalformed
		}
		found[name] = value
	}
	if value, refused := found["e"]; refused {
		return nil, &RefusedError{Value: value}
	}
	if _, unknown := found["m"]; unknown {
		return nil, ErrMalformed
	}
	for _, name := range wanted {
		if found[name] == "" {
			return nil, ErrMalformed
		}
	}
	return found, nil
}
