// Package sqlservertest is a SQL Server for tests, as far as a login needs
// one: PRELOGIN, TLS inside of TDS, LOGIN7, and the answers to it, after
// MS-TDS. It serves one connection that somebody else has accepted, and knows
// one user, one database and two statements. FreeTDS's tsql logs in to it in
// its own tests, so that it is no mirror of dialtone's client.
package sqlservertest

import (
	"cmp"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
)

// Config is what the server knows and how it behaves.
type Config struct {
	// User, Password and Database are what it lets in. A login that names no
	// database gets master, as does one that names master itself.
	User, Password, Database string
	// TLS is its certificate; nil: it has no encryption at all.
	TLS *tls.Config
	// Force demands encryption of whole sessions.
	Force bool
	// Busy are the errors that it answers PRELOGIN with.
	Busy []Error
	// Refuse are the errors that it answers a login with, whoever comes.
	Refuse []Error
	// Notices are messages that come with a login that is let in.
	Notices []Error
	// Route sends clients elsewhere after the login.
	Route *Route
	// Statement are the errors that it answers statements with.
	Statement []Error
	// OnLogin is told of each login that has come, OnBatch of each statement.
	OnLogin func(Login)
	OnBatch func(string)
}

// Route is an address for clients to go to (ENVCHANGE 20).
type Route struct {
	Host string
	Port uint16
}

// Version is what the server says it is: 16.0.1000, SQL Server 2022.
const Version = "16.0.1000"

// version as PRELOGIN and LOGINACK hold it: major, minor, and the build in
// big-endian order.
func version() [4]byte { return [4]byte{16, 0, 1000 >> 8, 1000 & 0xff} }

// Options of PRELOGIN, and what its option for encryption says (MS-TDS 2.2.6.5).
const (
	optionVersion    = 0
	optionEncryption = 1
	optionInstance   = 2
	optionThread     = 3
	optionMARS       = 4
	optionEnd        = 0xff

	encryptLogin   = 0 // ENCRYPT_OFF: the login packet only
	encryptAll     = 1 // ENCRYPT_ON
	encryptNever   = 2 // ENCRYPT_NOT_SUP
	encryptDemands = 3 // ENCRYPT_REQ
)

// errGone ends a connection that the server itself wants to end.
var errGone = errors.New("the server ends the connection")

// Serve serves one connection until one side ends it. It does not close conn.
func Serve(conn net.Conn, c Config) error {
	err := c.serve(conn)
	if errors.Is(err, errGone) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (c Config) serve(conn net.Conn) error {
	agreed, err := c.prelogin(conn)
	if err != nil {
		return err
	}
	// What carries the session, and what carries the login packet.
	all, login := conn, conn
	if agreed != encryptNever {
		secured, err := secure(conn, c.TLS)
		if err != nil {
			return err
		}
		login = secured
		if agreed != encryptLogin {
			all = secured
		}
	}
	payload, err := expect(login, typeLogin7)
	if err != nil {
		return err
	}
	who, err := parseLogin(payload)
	if err != nil {
		return err
	}
	who.Encrypted, who.Session = login != conn, all != conn
	if c.OnLogin != nil {
		c.OnLogin(who)
	}
	if err := c.judge(all, who); err != nil {
		return err
	}
	return c.statements(all)
}

// prelogin answers the first message, and says what both sides agreed on.
func (c Config) prelogin(conn net.Conn) (agreed byte, err error) {
	payload, err := expect(conn, typePrelogin)
	if err != nil {
		return 0, err
	}
	wanted, err := wants(payload)
	if err != nil {
		return 0, err
	}
	if len(c.Busy) > 0 {
		return 0, errors.Join(reply(conn, Refusal(c.Busy...)), errGone)
	}
	agreed = c.agree(wanted)
	if _, err := conn.Write(Opening(agreed)); err != nil {
		return 0, err
	}
	if wanted == encryptNever && agreed == encryptDemands {
		return 0, errGone
	}
	return agreed, nil
}

// agree is the table of MS-TDS 2.2.6.5.
func (c Config) agree(wanted byte) byte {
	switch {
	case c.TLS == nil:
		return encryptNever
	case c.Force:
		return encryptDemands
	default:
		return wanted
	}
}

// Encryption values for Opening, as a server that has none or asks for none
// sends them.
const (
	NoEncryption   = encryptNever
	LoginOnly      = encryptLogin
	FullEncryption = encryptAll
)

// Opening is a server's answer to PRELOGIN.
func Opening(encryption byte) []byte {
	v := version()
	options := [][]byte{
		optionVersion:    append(v[:], 0, 0),
		optionEncryption: {encryption},
		optionInstance:   {0},
		optionThread:     {},
		optionMARS:       {0},
	}
	var head, body []byte
	at := 5*len(options) + 1
	for token, data := range options {
		head = append(head, byte(token))
		head = binary.BigEndian.AppendUint16(head, uint16(at+len(body)))
		head = binary.BigEndian.AppendUint16(head, uint16(len(data)))
		body = append(body, data...)
	}
	return Packets(typeReply, append(append(head, optionEnd), body...))
}

// wants reads the client's option for encryption.
func wants(b []byte) (byte, error) {
	for at := 0; at+5 <= len(b) && b[at] != optionEnd; at += 5 {
		from, size := int(binary.BigEndian.Uint16(b[at+1:])), int(binary.BigEndian.Uint16(b[at+3:]))
		if b[at] == optionEncryption && size == 1 && from < len(b) {
			return b[from], nil
		}
	}
	return 0, errMessage
}

// Await reads PRELOGIN and answers it, and leaves the rest to the caller.
func Await(conn net.Conn, encryption byte) error {
	if _, err := expect(conn, typePrelogin); err != nil {
		return err
	}
	_, err := conn.Write(Opening(encryption))
	return err
}

// judge lets the login in or refuses it.
func (c Config) judge(conn io.Writer, who Login) error {
	var a answer
	known := who.Database == "" || who.Database == "master" || who.Database == c.Database
	refuse := c.Refuse
	switch {
	case len(refuse) > 0:
	case who.Integrated || who.User != c.User || who.Password != c.Password:
		refuse = Failed(who.User)
	case !known:
		refuse = NoDatabase(who.Database, who.User)
	}
	if len(refuse) > 0 {
		return errors.Join(reply(conn, Refusal(refuse...)), errGone)
	}
	database := cmp.Or(who.Database, "master")
	a.env(envDatabase, database, "master")
	a.message(Error{Number: 5701, State: 2, Class: 0, Text: "Changed database context to '" + database + "'."})
	for _, notice := range c.Notices {
		a.message(notice)
	}
	a.loginAck("Microsoft SQL Server", version())
	a.env(envPacketSize, "4096", "4096")
	if c.Route != nil {
		a.route(*c.Route)
	}
	a.done(0, 0)
	return reply(conn, a.bytes)
}

// statements answers every statement with success, and "select 1" with 1.
func (c Config) statements(conn io.ReadWriter) error {
	for {
		payload, err := expect(conn, typeBatch)
		if err != nil {
			return err
		}
		text := batch(payload)
		if c.OnBatch != nil {
			c.OnBatch(text)
		}
		var a answer
		switch {
		case len(c.Statement) > 0:
			a.bytes = Refusal(c.Statement...)
		case strings.EqualFold(strings.TrimSpace(text), "select 1"):
			a.one()
		default:
			a.done(0, 0)
		}
		if err := reply(conn, a.bytes); err != nil {
			return err
		}
	}
}

// batch is the text of a statement, behind the headers that TDS 7.2 and later
// put in front of it.
func batch(b []byte) string {
	if len(b) >= 4 {
		if size := binary.LittleEndian.Uint32(b); size >= 4 && int64(size) <= int64(len(b)) {
			b = b[size:]
		}
	}
	return decode(b)
}

func reply(w io.Writer, tokens []byte) error {
	_, err := w.Write(Packets(typeReply, tokens))
	return err
}
