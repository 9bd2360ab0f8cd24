package oracle

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5" //nolint:gosec // what O5LOGON mixes its 11g session keys with
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // the 11g verifier
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

// Verifiers: what a database keeps of a password, by the numbers in the flags
// of AUTH_VFR_DATA.
const (
	verifier10g    = 0x0939
	verifier11g    = 0xb152
	verifier11gOld = 0x1b25
	verifier12c    = 0x4815
)

// Oracle's own servers ask for 4096 rounds of PBKDF2 to check a password, and
// 3 to mix a session key. Less of the first would only help whoever guesses;
// more than the most would keep a processor busy.
const (
	minRounds = 4096
	maxRounds = 250_000
)

// mechanism names a verifier in evidence.
func mechanism(verifier uint64) string {
	switch verifier {
	case verifier10g:
		return "O5LOGON 10G"
	case verifier11g, verifier11gOld:
		return "O5LOGON 11G"
	case verifier12c:
		return "O5LOGON 12C"
	default:
		return fmt.Sprintf("O5LOGON %#x", verifier)
	}
}

// challenge is what the server answers a user name with.
type challenge struct {
	verifier  uint64
	salt      []byte
	half      []byte // the server's half of the session key, encrypted
	mixSalt   []byte
	rounds    int
	mixRounds int
}

const (
	// The halves of a session key: short ones are mixed with PBKDF2, long ones
	// with MD5.
	shortHalf, longHalf = 32, 48
	maxSalt             = 64
)

// errChallenge: the exchange is not O5LOGON's.
func errChallenge(format string, args ...any) error {
	return &probe.Error{Code: probe.CodeProtocolMismatch, Phase: probe.PhaseLogin, Err: fmt.Errorf(format, args...)}
}

// parseChallenge reads the values of the first answer.
func parseChallenge(a *answer) (*challenge, error) {
	c := &challenge{verifier: a.verifier}
	switch c.verifier {
	case verifier11g, verifier11gOld, verifier12c:
	default:
		return nil, &probe.Error{Code: probe.CodeAuthMechanism, Err: fmt.Errorf("verifier %#x", c.verifier)}
	}
	var errs [3]error
	c.salt, errs[0] = hex.DecodeString(a.values[nameVerifier])
	c.half, errs[1] = hex.DecodeString(a.values[nameSessionKey])
	c.mixSalt, errs[2] = hex.DecodeString(a.values[nameMixSalt])
	if err := errors.Join(errs[:]...); err != nil {
		return nil, errChallenge("a value is not hexadecimal")
	}
	if len(c.salt) == 0 || len(c.salt) > maxSalt || len(c.mixSalt) > maxSalt {
		return nil, errChallenge("salts of %d and %d bytes", len(c.salt), len(c.mixSalt))
	}
	if len(c.half) != longHalf && (len(c.half) != shortHalf || len(c.mixSalt) == 0) {
		return nil, errChallenge("half a session key of %d bytes", len(c.half))
	}
	if len(c.half) == longHalf && c.verifier == verifier12c {
		return nil, errChallenge("a 12C verifier with a session key of 11G")
	}
	return c, c.parseRounds(a)
}

func (c *challenge) parseRounds(a *answer) error {
	var ok, mixOK bool
	const unbounded = 1 << 40
	c.rounds, ok = number(a.values[nameRounds], unbounded)
	c.mixRounds, mixOK = number(a.values[nameMixRounds], unbounded)
	if c.verifier != verifier12c {
		c.rounds, ok = minRounds, true // not used
	}
	if len(c.half) == longHalf {
		c.mixRounds, mixOK = 1, true // not used
	}
	switch {
	case !ok || !mixOK:
		return errChallenge("a number of rounds is missing")
	case c.rounds < minRounds, c.rounds > maxRounds, c.mixRounds < 1, c.mixRounds > maxRounds:
		return probe.Fail(probe.CodePeerAbusive, fmt.Errorf("%d and %d rounds", c.rounds, c.mixRounds))
	}
	return nil
}

// response is what the client answers a challenge with.
type response struct {
	half, password, speedy string
	session                []byte
}

// answer makes the response; the salts and the client's half are random.
func (c *challenge) answer(password secret.Text) (*response, error) {
	key, speedy, size, err := c.passwordKey(password)
	if err != nil {
		return nil, err
	}
	theirs := decrypt(key, c.half)
	ours := random(len(theirs))
	session, err := c.mix(theirs, ours, size)
	if err != nil {
		return nil, err
	}
	r := &response{half: upperHex(encrypt(key, ours)), session: session}
	r.password = upperHex(encrypt(session, pad(append(random(aes.BlockSize), password.Reveal()...))))
	if speedy != nil {
		r.speedy = upperHex(encrypt(session, append(random(aes.BlockSize), speedy...)))
	}
	return r, nil
}

// passwordKey derives the key that both halves are encrypted with, and the
// length of the session key.
func (c *challenge) passwordKey(password secret.Text) (key, speedy []byte, size int, err error) {
	const key11g, key12c, speedySize = 24, 32, 64
	if c.verifier != verifier12c {
		sum := sha1.Sum(append([]byte(password.Reveal()), c.salt...)) //nolint:gosec // see the import
		key = make([]byte, key11g)
		copy(key, sum[:])
		return key, nil, key11g, nil
	}
	salt := append(bytes.Clone(c.salt), "AUTH_PBKDF2_SPEEDY_KEY"...)
	speedy, err = pbkdf2.Key(sha512.New, password.Reveal(), salt, c.rounds, speedySize)
	if err != nil {
		return nil, nil, 0, err
	}
	sum := sha512.Sum512(append(bytes.Clone(speedy), c.salt...))
	return sum[:key12c], speedy, key12c, nil
}

// mix makes the session key of its halves.
func (c *challenge) mix(theirs, ours []byte, size int) ([]byte, error) {
	if len(theirs) == shortHalf {
		both := upperHex(append(bytes.Clone(ours[:size]), theirs[:size]...))
		return pbkdf2.Key(sha512.New, both, c.mixSalt, c.mixRounds, size)
	}
	const skip, part = 16, 16
	mixed := make([]byte, size)
	for i := range mixed {
		mixed[i] = theirs[skip+i] ^ ours[skip+i]
	}
	first, second := md5.Sum(mixed[:part]), md5.Sum(mixed[part:]) //nolint:gosec // see the import
	return append(first[:], second[:]...)[:size], nil
}

// proves says whether the server's proof could only be made with the password.
func (r *response) proves(proof string) bool {
	const salt, end = 16, 32
	b, err := hex.DecodeString(proof)
	if err != nil || len(b) < end || len(b)%aes.BlockSize != 0 {
		return false
	}
	return string(decrypt(r.session, b)[salt:end]) == "SERVER_TO_CLIENT"
}

// encrypt is AES in CBC mode with an initial vector of zeros: the first block
// of every text is random. Text has whole blocks.
func encrypt(key, text []byte) []byte {
	out := make([]byte, len(text))
	cipher.NewCBCEncrypter(block(key), make([]byte, aes.BlockSize)).CryptBlocks(out, text) //nolint:gosec // see above
	return out
}

func decrypt(key, text []byte) []byte {
	out := make([]byte, len(text))
	cipher.NewCBCDecrypter(block(key), make([]byte, aes.BlockSize)).CryptBlocks(out, text)
	return out
}

func block(key []byte) cipher.Block {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // every key here is made with 24 or 32 bytes
	}
	return b
}

// pad fills the last block (PKCS #7).
func pad(b []byte) []byte {
	n := aes.BlockSize - len(b)%aes.BlockSize
	return append(b, bytes.Repeat([]byte{byte(n)}, n)...)
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it cannot fail
	return b
}

func upperHex(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }
