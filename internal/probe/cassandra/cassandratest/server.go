// Package cassandratest is a server that speaks as much of Cassandra's native
// protocol as a driver needs to log in. A real Cassandra is among the servers
// of the tests; this one says and does what the real one cannot be made to. It
// shares no code with the prober, and drivers that others wrote log in to it.
package cassandratest

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// PasswordAuthenticator is the authenticator of most clusters.
const PasswordAuthenticator = "org.apache.cassandra.auth.PasswordAuthenticator"

// Server is how a server behaves; it serves any number of connections. The
// zero value lets everybody in and has neither keyspace nor peers.
type Server struct {
	// User and Password are the one account.
	User, Password string
	// Authenticator asks who comes. Default: nobody asks.
	Authenticator string
	// Keyspace is the one keyspace.
	Keyspace string
	// Versions of the protocol that it speaks. Default 3, 4 and 5.
	Versions []byte
	// Hasty closes the connection after it has refused a version, as Cassandra
	// did before 4.0.
	Hasty bool
	// Peers are the other nodes; Old: there is no table system.peers_v2.
	Peers []Peer
	Old   bool
	// Fail gives the error to answer a message with, nil for the usual answer.
	// The statement is empty in a message that is no query.
	Fail func(op Op, statement string) *Error
	// OnStartup is told the options of STARTUP, OnLogin that credentials have come.
	OnStartup func(options map[string]string)
	OnLogin   func()
}

// Peer is another node of the cluster, in the same data centre unless another
// one is named.
type Peer struct {
	Peer, Native netip.Addr
	Port         uint16
	DataCenter   string
}

// Error is an error of the protocol.
type Error struct {
	Code uint32
	Text string
}

// Op is the kind of a message.
type Op byte

// The messages that a client sends.
const (
	Startup      Op = 0x01
	Options      Op = 0x05
	Query        Op = 0x07
	Register     Op = 0x0B
	AuthResponse Op = 0x0F
)

// And those of a server.
const (
	failure       Op = 0x00
	ready         Op = 0x02
	authenticate  Op = 0x03
	supported     Op = 0x06
	result        Op = 0x08
	event         Op = 0x0C
	challenge     Op = 0x0E
	authenticated Op = 0x10
)

// The error codes that the server gives by itself.
const (
	protocolError  = 0x000A
	badCredentials = 0x0100
	invalidQuery   = 0x2200
)

// Serve talks to one client until it has gone. With a config, TLS begins with
// the first byte.
func (s *Server) Serve(c net.Conn, config *tls.Config) {
	if config != nil {
		secured := tls.Server(c, config)
		defer func() { _ = secured.Close() }()
		c = secured
	}
	w := &wire{conn: c}
	for {
		m, err := w.read()
		if err != nil || !s.answer(w, m) {
			return
		}
	}
}

// speaks says whether a version is among those of this server.
func (s *Server) speaks(version byte) bool { return slices.Contains(s.versions(), version) }

func (s *Server) versions() []byte {
	if len(s.Versions) > 0 {
		return s.Versions
	}
	return []byte{3, 4, 5}
}

// answer says whether the connection goes on.
func (s *Server) answer(w *wire, m message) bool {
	if !s.speaks(m.version) {
		mine := slices.Max(s.versions())
		text := fmt.Sprintf("Invalid or unsupported protocol version (%d)", m.version)
		ok := w.write(message{version: mine, op: failure, body: errorBody(protocolError, text)}) == nil
		return ok && !s.Hasty
	}
	reply := message{version: m.version, stream: m.stream}
	var statement string
	if m.op == Query {
		statement = string(longAt(m.body))
		if !wellFormed(m.version, m.body) {
			reply.op, reply.body = failure, errorBody(protocolError, "malformed query")
			return w.write(reply) == nil
		}
	}
	if s.Fail != nil {
		if e := s.Fail(m.op, statement); e != nil {
			reply.op, reply.body = failure, errorBody(e.Code, e.Text)
			return w.write(reply) == nil
		}
	}
	switch m.op {
	case Options:
		reply.op, reply.body = supported, s.supported()
	case Startup:
		reply.op, reply.body = s.startup(m.body)
		defer func() { w.segmented = m.version >= 5 }()
	case AuthResponse:
		reply.op, reply.body = s.login(longAt(m.body))
	case Register:
		reply.op = ready
	case Query:
		reply.op, reply.body = s.execute(statement)
	default:
		reply.op, reply.body = failure, errorBody(protocolError, "unexpected message")
	}
	return w.write(reply) == nil
}

func (s *Server) supported() []byte {
	var versions []string
	for _, v := range s.versions() {
		versions = append(versions, fmt.Sprintf("%d/v%d", v, v))
	}
	b := []byte{0, 3}
	b = texts(text(b, "CQL_VERSION"), "3.4.7")
	b = texts(text(b, "COMPRESSION"), "lz4") // drivers look for it; asked for, it is not understood
	return texts(text(b, "PROTOCOL_VERSIONS"), versions...)
}

func (s *Server) startup(body []byte) (Op, []byte) {
	if s.OnStartup != nil {
		s.OnStartup(options(body))
	}
	if s.Authenticator == "" {
		return ready, nil
	}
	return authenticate, text(nil, s.Authenticator)
}

func (s *Server) login(token []byte) (Op, []byte) {
	if s.OnLogin != nil {
		s.OnLogin()
	}
	if string(token) == "\x00"+s.User+"\x00"+s.Password {
		return authenticated, []byte{0xff, 0xff, 0xff, 0xff}
	}
	if s.Authenticator != PasswordAuthenticator {
		return challenge, long(nil, []byte("more"))
	}
	_, rest, _ := strings.Cut(string(token), "\x00")
	user, _, _ := strings.Cut(rest, "\x00")
	return failure, errorBody(badCredentials, fmt.Sprintf("Provided username %s and/or password are incorrect", user))
}

// Supported is the whole answer to OPTIONS in version 4.
func Supported() []byte {
	return message{version: 4, op: supported, body: (&Server{}).supported()}.bytes()
}

// Overloaded is an error that a server gives to whoever comes.
func Overloaded() []byte {
	return message{version: 4, op: failure, body: errorBody(0x1001, "overloaded")}.bytes()
}

// Event is a message that nobody asked for.
func Event() []byte {
	body := text(text(nil, "STATUS_CHANGE"), "UP")
	body = append(body, 4, 127, 0, 0, 1, 0, 0, 0x23, 0x52)
	return message{version: 4, stream: -1, op: event, body: body}.bytes()
}

// Huge is the header of a message of 2 GiB.
func Huge() []byte {
	return []byte{0x84, 0, 0, 0, byte(supported), 0x7f, 0xff, 0xff, 0xff}
}

// wire reads and writes messages, in segments when it is told to.
type wire struct {
	conn      io.ReadWriter
	segmented bool
}

type message struct {
	version byte
	stream  int16
	op      Op
	body    []byte
}

func (m message) bytes() []byte {
	b := []byte{m.version | 0x80, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(m.stream))
	b = append(b, byte(m.op))
	return long(b, m.body)
}

func (w *wire) write(m message) error {
	b := m.bytes()
	if w.segmented {
		b = segment(b)
	}
	_, err := w.conn.Write(b)
	return err
}

func (w *wire) read() (message, error) {
	r := io.Reader(w.conn)
	if w.segmented {
		payload, err := readSegment(w.conn)
		if err != nil {
			return message{}, err
		}
		r = strings.NewReader(string(payload))
	}
	h := make([]byte, 9)
	if _, err := io.ReadFull(r, h); err != nil {
		return message{}, err
	}
	m := message{version: h[0] & 0x7f, stream: int16(binary.BigEndian.Uint16(h[2:])), op: Op(h[4])}
	if m.version > 6 {
		return m, nil // what follows is no message
	}
	size := binary.BigEndian.Uint32(h[5:])
	if size > 1<<20 {
		return m, io.ErrShortBuffer
	}
	m.body = make([]byte, size)
	_, err := io.ReadFull(r, m.body)
	return m, err
}
