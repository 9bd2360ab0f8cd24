package gaussdbtest

import (
	"cmp"
	"crypto/hmac"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"slices"

	"github.com/jackc/pgx/v5/pgproto3"

	"dialtone/internal/probe/gaussdb/sm3"
)

// Method is how a line of pg_hba.conf asks for the password, together with the
// form in which the password is stored.
type Method int

// The methods.
const (
	SHA256    Method = iota // sha256, the product's default
	MD5                     // md5, with a password stored as MD5
	SHA256MD5               // sha256, with a password stored as MD5, in old servers
	MD5SHA256               // md5, with a password stored as SHA-256
	SM3                     // sm3
	IAM                     // a token of the cloud's
	Clear                   // ldap or pam
	Trust                   // nothing is asked for
)

// What stands in an authentication message, as pqcomm.h numbers it.
const (
	requestSHA256    = 10
	requestMD5SHA256 = 11
	requestSM3       = 13
	requestIAM       = 14

	storedMD5    = 1
	storedSHA256 = 2
	storedSM3    = 3
)

// account is a password as the server stores it; digest is SHA-256 or SM3.
type account struct {
	digest               func([]byte) [sha256.Size]byte
	salt                 []byte
	iterations           int
	serverKey, storedKey []byte
}

const defaultIterations = 10000

// store derives what is kept of a password. The label is the product's own
// misspelling.
func store(password string, iterations int, digest func([]byte) [sha256.Size]byte) account {
	a := account{digest: digest, salt: random(32), iterations: iterations}
	key, err := pbkdf2.Key(sha1.New, password, a.salt, iterations, sha256.Size)
	if err != nil {
		panic(err) // nothing but a length of its own that it refuses
	}
	stored := digest(sign(key, []byte("Client Key")))
	a.serverKey, a.storedKey = sign(key, []byte("Sever Key")), stored[:]
	return a
}

// proves says whether proof was made by one who knows the password: it is the
// client's key under a mask that the stored key makes, and the stored key is
// the digest of the client's.
func (a account) proves(proof string, token []byte) bool {
	masked, err := hex.DecodeString(proof)
	if err != nil || len(masked) != sha256.Size {
		return false
	}
	clientKey := make([]byte, sha256.Size)
	subtle.XORBytes(clientKey, masked, sign(a.storedKey, token))
	digest := a.digest(clientKey)
	return hmac.Equal(digest[:], a.storedKey)
}

func sign(key, data []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(data)
	return mac.Sum(nil)
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// login asks for credentials and says whether they were right.
func (c *client) login() bool {
	s := c.server
	if s.Forbidden != nil {
		return c.fail(*s.Forbidden)
	}
	right := s.Method == Trust || c.who["user"] == s.User
	if s.Method != Trust {
		proves := c.demand()
		answer, ok := c.password()
		if !ok {
			return false
		}
		if s.OnLogin != nil {
			s.OnLogin()
		}
		right = proves(answer) && right
	}
	switch {
	case s.Locked != nil:
		return c.fail(*s.Locked)
	case !right:
		return c.fail(Failure{Code: "28P01", Text: "Invalid username/password,login denied."})
	}
	c.send(&pgproto3.AuthenticationOk{})
	return true
}

// demand sends the demand, and gives what judges the answer.
func (c *client) demand() func(answer string) bool {
	s := c.server
	switch salt := random(4); s.Method {
	case MD5:
		c.send(&pgproto3.AuthenticationMD5Password{Salt: [4]byte(salt)})
		return func(answer string) bool {
			sum := md5.Sum(append([]byte(s.hashed()), salt...))
			return answer == "md5"+hex.EncodeToString(sum[:])
		}
	case SHA256MD5:
		c.ask(requestSHA256, number(storedMD5), salt)
		return func(answer string) bool {
			sum := sha256.Sum256(append([]byte(s.hashed()), salt...))
			return answer == "sha256"+hex.EncodeToString(sum[:])
		}
	case Clear:
		c.send(&pgproto3.AuthenticationCleartextPassword{})
		return func(answer string) bool { return answer == s.Password }
	case MD5SHA256:
		c.ask(requestMD5SHA256, []byte(hex.EncodeToString(random(32))), salt)
	case SM3:
		return c.demandProof(requestSM3, storedSM3, sm3.Sum)
	case IAM:
		c.ask(requestIAM)
	default:
		return c.demandProof(requestSHA256, storedSHA256, sha256.Sum256)
	}
	return func(string) bool { return false } // no driver of ours answers these
}

// demandProof is what differs by the version of the protocol: before 3.50 the
// server proves itself first, and only from 3.51 on it tells the iterations.
// Whatever it tells, it can verify with none but those of the stored password.
func (c *client) demandProof(request, form int, digest func([]byte) [sha256.Size]byte) func(answer string) bool {
	stored, token := store(c.server.Password, c.server.iterations(), digest), random(4)
	parts := [][]byte{number(form), []byte(hex.EncodeToString(stored.salt)), []byte(hex.EncodeToString(token))}
	if c.minor < gaussBase {
		parts = append(parts, []byte(hex.EncodeToString(sign(stored.serverKey, token))))
	}
	if c.minor > gaussBase {
		parts = append(parts, number(stored.iterations))
	}
	c.ask(request, parts...)
	return func(answer string) bool { return stored.proves(answer, token) }
}

func (s *Server) iterations() int { return cmp.Or(s.Iterations, defaultIterations) }

// hashed is a password as MD5 stores it.
func (s *Server) hashed() string {
	sum := md5.Sum([]byte(s.Password + s.User))
	return hex.EncodeToString(sum[:])
}

// ask sends a demand that PostgreSQL does not have.
func (c *client) ask(kind int, parts ...[]byte) {
	body := slices.Concat(append([][]byte{number(kind)}, parts...)...)
	_, _ = c.conn.Write(slices.Concat([]byte{'R'}, number(4+len(body)), body))
}

func number(n int) []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(n))
}

// password reads the answer to a demand.
func (c *client) password() (string, bool) {
	_ = c.back.SetAuthType(pgproto3.AuthTypeMD5Password) // a text, like all the others
	message, err := c.back.Receive()
	if err != nil {
		return "", false
	}
	m, ok := message.(*pgproto3.PasswordMessage)
	if !ok {
		return "", false
	}
	return m.Password, true
}
