package oracletest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
)

// Verifier is what the database keeps of a password.
type Verifier int

// The verifiers, by the release that introduced them.
const (
	Verifier12c Verifier = iota
	Verifier11g
	Verifier10g
)

// number is the verifier's on the wire.
func (v Verifier) number() uint32 {
	return [...]uint32{0x4815, 0x1b25, 0x0939}[v]
}

// login is one O5LOGON exchange.
type login struct {
	user        string
	salt, mix   []byte // the verifier's, and that of the session key
	key         []byte // made from the password
	speedy      []byte // what a 12c client proves that it has computed
	ours        []byte // our half of the session key
	session     []byte
	passwordKey int // its length in the session key
}

const mixRounds = 3

func newLogin(s *Server, user string) (*login, error) {
	l := &login{user: user, salt: make([]byte, 16), mix: make([]byte, 16), passwordKey: 32}
	if s.Verifier != Verifier12c {
		l.salt, l.passwordKey = l.salt[:10], 24
	}
	size := 48
	if s.Release.Hashed {
		size = 32
	}
	l.ours = make([]byte, size)
	for _, b := range [][]byte{l.salt, l.mix, l.ours} {
		if _, err := rand.Read(b); err != nil {
			return nil, err
		}
	}
	password := s.Password
	if s.Unproven || !strings.EqualFold(strings.Trim(user, `"`), s.User) {
		password = rand.Text() // nobody's
	}
	if s.Verifier == Verifier12c {
		rounds := s.Rounds
		if s.Unhashed {
			rounds = 1
		}
		speedy, err := pbkdf2.Key(sha512.New, password, append(bytes.Clone(l.salt), "AUTH_PBKDF2_SPEEDY_KEY"...), rounds, 64)
		if err != nil {
			return nil, err
		}
		sum := sha512.Sum512(append(bytes.Clone(speedy), l.salt...))
		l.speedy, l.key = speedy, sum[:32]
		return l, nil
	}
	sum := sha1.Sum(append([]byte(password), l.salt...))
	l.key = append(sum[:], 0, 0, 0, 0)
	return l, nil
}

// crypt is AES in CBC mode without an initial vector.
func crypt(key, text []byte, encrypt bool) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if len(text) == 0 || len(text)%aes.BlockSize != 0 {
		return nil, fmt.Errorf("%d encrypted bytes", len(text))
	}
	out := make([]byte, len(text))
	if zero := make([]byte, aes.BlockSize); encrypt {
		cipher.NewCBCEncrypter(block, zero).CryptBlocks(out, text)
	} else {
		cipher.NewCBCDecrypter(block, zero).CryptBlocks(out, text)
	}
	return out, nil
}

func upperHex(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

// mixKeys makes the session key of both halves.
func (l *login) mixKeys(encrypted string) error {
	b, err := hex.DecodeString(encrypted)
	if err != nil {
		return err
	}
	if len(b) != len(l.ours) {
		return fmt.Errorf("the client's half has %d bytes, ours %d", len(b), len(l.ours))
	}
	theirs, err := crypt(l.key, b, false)
	if err != nil {
		return err
	}
	if len(l.ours) == 32 {
		both := upperHex(append(theirs[:l.passwordKey:l.passwordKey], l.ours[:l.passwordKey]...))
		l.session, err = pbkdf2.Key(sha512.New, both, l.mix, mixRounds, l.passwordKey)
		return err
	}
	mixed := make([]byte, 24)
	for i := range mixed {
		mixed[i] = l.ours[i+16] ^ theirs[i+16]
	}
	first, second := md5.Sum(mixed[:16]), md5.Sum(mixed[16:])
	l.session = append(first[:], second[:]...)[:24]
	return nil
}

// open decrypts a salted value and takes salt and padding off.
func (l *login) open(encrypted string) (string, error) {
	b, err := hex.DecodeString(encrypted)
	if err != nil {
		return "", err
	}
	if b, err = crypt(l.session, b, false); err != nil {
		return "", err
	}
	pad := int(b[len(b)-1])
	if pad == 0 || pad > aes.BlockSize || len(b) < aes.BlockSize+pad {
		return "", nil // the wrong key
	}
	return string(b[aes.BlockSize : len(b)-pad]), nil
}

// phaseOne hears the user name and gives our half of the session key.
func (t *talk) phaseOne() {
	user, pairs := t.hearLogin()
	maps.Copy(t.visit.Client, pairs)
	if t.EarlyError != 0 {
		t.raise(t.EarlyError, errorText(t.EarlyError))
		return
	}
	login, err := newLogin(t.Server, user)
	if err != nil {
		t.fail(err)
		return
	}
	t.login = login
	ours, err := crypt(login.key, login.ours, true)
	if err != nil {
		t.fail(err)
		return
	}
	t.putPairs(
		pair{"AUTH_SESSKEY", upperHex(ours), 0},
		pair{"AUTH_VFR_DATA", upperHex(login.salt), t.Verifier.number()},
		pair{"AUTH_PBKDF2_CSK_SALT", upperHex(login.mix), 0},
		pair{"AUTH_PBKDF2_VGEN_COUNT", strconv.Itoa(t.Rounds), 0},
		pair{"AUTH_PBKDF2_SDER_COUNT", strconv.Itoa(mixRounds), 0},
		pair{"AUTH_GLOBALLY_UNIQUE_DBID\x00", strings.Repeat("A", 32), 0},
	)
	t.putError(0, "")
	t.end()
}

// phaseTwo hears the client's half and the password.
func (t *talk) phaseTwo() {
	_, pairs := t.hearLogin()
	t.visit.Passwords++
	if t.OnLogin != nil {
		t.OnLogin()
	}
	if t.login == nil {
		t.fail(errors.New("a password before the user name"))
		return
	}
	for name, value := range pairs {
		if !strings.Contains(name, "KEY") && name != "AUTH_PASSWORD" {
			t.visit.Client[name] = value
		}
	}
	if !t.Unproven && !t.right(pairs) {
		t.raise(1017, errorText(1017))
		return
	}
	if t.Error != 0 {
		text := errorText(t.Error)
		if t.Text != nil {
			text = t.Text()
		}
		t.raise(t.Error, text)
		return
	}
	t.visit.LoggedIn = true
	t.welcome()
}

// right says whether the client knows the password.
func (t *talk) right(pairs map[string]string) bool {
	if t.login.mixKeys(pairs["AUTH_SESSKEY"]) != nil {
		return false
	}
	if password, err := t.login.open(pairs["AUTH_PASSWORD"]); err != nil || password != t.Password {
		return false
	}
	if t.Verifier != Verifier12c {
		return true
	}
	// The padding of this one is not sent.
	b, err := hex.DecodeString(pairs["AUTH_PBKDF2_SPEEDY_KEY"])
	if err != nil {
		return false
	}
	b, err = crypt(t.login.session, b, false)
	return err == nil && len(b) >= 80 && bytes.Equal(b[16:80], t.login.speedy)
}

// welcome answers a login that is right, and proves that we knew the password.
func (t *talk) welcome() {
	proof := append(make([]byte, 16), "SERVER_TO_CLIENT"...)
	_, _ = rand.Read(proof[:16])
	proof = append(proof, bytes.Repeat([]byte{16}, 16)...)
	session := t.login.session
	if t.Unproven {
		session = make([]byte, 32)
	}
	sealed, err := crypt(session, proof, true)
	if err != nil {
		t.fail(err)
		return
	}
	if t.Warning != 0 {
		text := errorText(t.Warning)
		t.put(messageWarning)
		t.putNumber(uint64(t.Warning))
		t.putNumber(uint64(len(text)))
		t.putNumber(0)
		t.putBytes(text)
	}
	t.put(messagePiggyback, 5) // what the session was set to
	t.putNumber(1)
	t.put(1)
	t.putNumber(1)
	t.put(1)
	t.putText("")
	t.putText("AMERICAN")
	t.putNumber(16) // the language
	t.putNumber(0)
	t.putPairs(
		pair{"AUTH_VERSION_STRING", "- 64bit Production", 0},
		pair{"AUTH_VERSION_NO", strconv.FormatUint(uint64(t.Release.Number), 10), 0},
		pair{"AUTH_SESSION_ID", "17", 0},
		pair{"AUTH_SERIAL_NUM", "4711", 0},
		pair{"AUTH_SC_SERVICE_NAME", t.Service, 0},
		pair{"AUTH_SC_INSTANCE_NAME", t.SID, 0},
		pair{"AUTH_INSTANCENAME", t.SID, 0},
		pair{"AUTH_SC_DBUNIQUE_NAME", "DTDB", 0},
		pair{"AUTH_SVR_RESPONSE", upperHex(sealed), 0},
	)
	t.putError(0, "")
	t.end()
}

// hearLogin reads either step of a login.
func (t *talk) hearLogin() (user string, pairs map[string]string) {
	named := t.byte() != 0
	_, _ = t.number(), t.number() // length, mode
	t.byte()
	count := t.number()
	t.raw(2)
	if named {
		user = string(t.bytes())
	}
	pairs = map[string]string{}
	for range min(count, 100) {
		name, value := t.text(), t.text()
		_ = t.number()
		pairs[name] = value
	}
	return user, pairs
}

func errorText(code int) string {
	text := map[int]string{
		1017:  "invalid username/password; logon denied",
		1045:  "user DIALTONE lacks CREATE SESSION privilege; logon denied",
		1033:  "ORACLE initialization or shutdown in progress",
		28000: "The account is locked.",
		28001: "the password has expired",
		28002: "the password will expire within 7 days",
	}[code]
	return strings.TrimSpace(fmt.Sprintf("ORA-%05d: %s", code, text))
}
