// Package gaussdbtest is a server of GaussDB's protocol for tests, for there is
// no package of the real one. It follows openGauss-server: what a server says
// and in which order is that of ProcessStartupPacket in postmaster.cpp and of
// ClientAuthentication in auth.cpp. One account and one database exist; a
// statement is answered from a short list. Drivers that others wrote log in to
// it, so that it does not merely mirror a client of ours.
package gaussdbtest

import (
	"cmp"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Failure is an error of the server's. Routine is the function in its source,
// which is the same in every language.
type Failure struct{ Code, Text, Routine string }

// Server is a server and its one account. The zero value of a field is the
// default; a Server must not be changed while it serves.
type Server struct {
	// User, Password and Database are all that the server knows.
	User, Password, Database string
	// Method is the line of pg_hba.conf. Default SHA256.
	Method Method
	// Iterations are those of the stored password, auth_iteration_count.
	// Default 10000, which is the product's.
	Iterations int
	// Version is what version() says. Default that of an openGauss 5.0.0.
	Version string
	// Standby makes the server answer as one that recovers.
	Standby bool
	// TLS is offered unless it is nil; RequireTLS is require_ssl.
	TLS        *tls.Config
	RequireTLS bool

	// Down is said to the first message, even if it asks for TLS.
	Down *Failure
	// Forbidden is said in place of the demand for credentials.
	Forbidden *Failure
	// Locked is said to credentials, right or wrong.
	Locked *Failure
	// Broken is said to every statement.
	Broken *Failure
	// OnLogin is called when credentials have come.
	OnLogin func()
}

// Version is the text of version() in openGauss 5.0.0.
const Version = "(openGauss 5.0.0 build a07d57c3) compiled at 2023-03-29 03:37:13 commit 0 last mr  on x86_64-unknown-linux-gnu, compiled by g++ (GCC) 7.3.0, 64-bit"

// What a startup message may be, as pqcomm.h numbers it.
const (
	sslRequest = 1234<<16 | 5679
	major      = 3
	plainMinor = 0  // PostgreSQL's, and the oldest drivers'
	gaussBase  = 50 // no proof by the server before the client's
	withRounds = 51 // and the demand says how many iterations
)

// longestStartup is MAX_STARTUP_PACKET_LENGTH.
const longestStartup = 10000

// Serve talks to one client until it leaves. It does not close conn.
func (s *Server) Serve(conn net.Conn) {
	c := &client{server: s, conn: conn}
	if c.startup(false) && c.login() {
		c.session()
	}
	if c.secured {
		_ = c.conn.Close()
	}
}

// client is one connection.
type client struct {
	server  *Server
	conn    net.Conn
	back    *pgproto3.Backend
	secured bool
	minor   uint32
	who     map[string]string
}

// startup reads who comes and says whether to go on.
func (c *client) startup(secured bool) bool {
	s := c.server
	body, err := readStartup(c.conn)
	if err != nil {
		return false
	}
	c.back = pgproto3.NewBackend(c.conn, c.conn)
	if s.Down != nil {
		return c.fail(*s.Down)
	}
	code := binary.BigEndian.Uint32(body)
	if code == sslRequest && !secured {
		return c.encrypt()
	}
	c.minor = code & 0xffff
	if code>>16 != major || c.minor != plainMinor && c.minor != gaussBase && c.minor != withRounds {
		return c.fail(Failure{Code: "0A000", Text: fmt.Sprintf("unsupported frontend protocol %d.%d.", code>>16, c.minor)})
	}
	c.who = parameters(body[4:])
	if s.RequireTLS && !secured {
		return c.fail(Failure{Code: "57P03", Text: "SSL connection is required by the database system"})
	}
	return true
}

func (c *client) encrypt() bool {
	if c.server.TLS == nil {
		_, err := c.conn.Write([]byte{'N'})
		return err == nil && c.startup(true)
	}
	if _, err := c.conn.Write([]byte{'S'}); err != nil {
		return false
	}
	c.conn, c.secured = tls.Server(c.conn, c.server.TLS), true
	return c.startup(true)
}

func readStartup(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(length[:])) - 4
	if n < 4 || n > longestStartup {
		return nil, errors.New("invalid length of startup packet")
	}
	body := make([]byte, n)
	_, err := io.ReadFull(r, body)
	return body, err
}

func parameters(body []byte) map[string]string {
	who := map[string]string{}
	fields := strings.Split(string(body), "\x00")
	for i := 0; i+1 < len(fields) && fields[i] != ""; i += 2 {
		who[fields[i]] = fields[i+1]
	}
	return who
}

// fail says why this is the end.
func (c *client) fail(f Failure) bool {
	c.send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: f.Code, Message: f.Text, Routine: f.Routine})
	return false
}

func (c *client) send(messages ...pgproto3.BackendMessage) {
	for _, m := range messages {
		c.back.Send(m)
	}
	_ = c.back.Flush()
}

func (s *Server) version() string { return cmp.Or(s.Version, Version) }
