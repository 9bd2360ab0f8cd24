package mongodbtest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// The messages of the wire that clients send, and the old form of an answer.
const (
	opReply = 1
	opQuery = 2004
	opMsg   = 2013

	headerSize = 16
	// wireOpMsg is the version of the wire from which servers know opMsg, and
	// wireNoQuery that from which opQuery carries nothing but a hello.
	wireOpMsg, wireNoQuery = 6, 14
	maxRequest             = 1 << 20
)

// session is one connection.
type session struct {
	server *Server
	conn   net.Conn
	login  *login
	// authenticated: somebody has logged in.
	authenticated bool
}

// request is a command that has come.
type request struct {
	id       uint32
	op       uint32
	database string
	body     bson.Raw
	name     string
}

func (s *session) serve() {
	for {
		r, err := s.read()
		if err != nil {
			return
		}
		answer := s.answer(r)
		if change := s.server.Reply[r.name]; change != nil {
			answer = change(answer)
		}
		if s.write(r, answer) != nil {
			return
		}
	}
}

var errRequest = errors.New("not a request that this server knows")

// read takes the next request. What the server of that version does not know
// is an error, and as with the real one the end of the connection.
func (s *session) read() (request, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(s.conn, header[:]); err != nil {
		return request{}, err
	}
	n := binary.LittleEndian.Uint32(header[:])
	if n < headerSize || n > maxRequest {
		return request{}, errRequest
	}
	body := make([]byte, n-headerSize)
	if _, err := io.ReadFull(s.conn, body); err != nil {
		return request{}, err
	}
	r := request{id: binary.LittleEndian.Uint32(header[4:]), op: binary.LittleEndian.Uint32(header[12:])}
	switch {
	case r.op == opQuery:
		collection, rest, ok := bytes.Cut(body[4:], []byte{0})
		if !ok || len(rest) < 8 || !bytes.HasSuffix(collection, []byte(".$cmd")) {
			return request{}, errRequest
		}
		r.database, r.body = strings.TrimSuffix(string(collection), ".$cmd"), rest[8:]
	case r.op == opMsg && s.server.wire() >= wireOpMsg && len(body) > 5 && body[4] == 0:
		r.body = body[5:]
		r.database, _ = r.body.Lookup("$db").StringValueOK()
	default:
		return request{}, errRequest
	}
	if err := r.body.Validate(); err != nil {
		return request{}, err
	}
	first, err := r.body.IndexErr(0)
	if err != nil {
		return request{}, err
	}
	r.name = first.Key()
	return r, nil
}

// write answers in the form in which it was asked.
func (s *session) write(r request, answer bson.D) error {
	body, err := bson.Marshal(answer)
	if err != nil {
		return err
	}
	op, front := uint32(opMsg), make([]byte, 5) // no flags, and a section of the kind "body"
	if r.op == opQuery {
		op, front = opReply, make([]byte, 20)
		front[16] = 1 // one document
	}
	header := make([]byte, headerSize)
	binary.LittleEndian.PutUint32(header, uint32(headerSize+len(front)+len(body)))
	binary.LittleEndian.PutUint32(header[8:], r.id)
	binary.LittleEndian.PutUint32(header[12:], op)
	_, err = s.conn.Write(slices.Concat(header, front, body))
	return err
}

func (s *Server) wire() int {
	if s.Wire == 0 {
		return 21
	}
	return s.Wire
}

func failure(f Failure) bson.D {
	return bson.D{{Key: "ok", Value: 0.0}, {Key: "errmsg", Value: f.Text}, {Key: "code", Value: int32(f.Code)}}
}

func ok(fields ...bson.E) bson.D { return append(fields, bson.E{Key: "ok", Value: 1.0}) }

// The commands that need no account (src/mongo/db/commands, requiresAuth).
func open(name string) bool {
	return slices.Contains([]string{"hello", "ismaster", "isMaster", "ping", "buildInfo", "buildinfo", "saslStart", "saslContinue", "endSessions"}, name)
}

func (s *session) answer(r request) bson.D {
	if f, fails := s.server.Fail[r.name]; fails {
		return failure(f)
	}
	hello := strings.EqualFold(r.name, "ismaster") || r.name == "hello"
	switch {
	case r.op == opQuery && !hello && s.server.wire() >= wireNoQuery:
		return failure(Failure{352, "Unsupported OP_QUERY command: " + r.name})
	case len(s.server.Users) > 0 && !s.authenticated && !open(r.name):
		return failure(Failure{13, "command " + r.name + " requires authentication"})
	case hello:
		return s.server.hello(r)
	}
	switch r.name {
	case "saslStart":
		return s.saslStart(r)
	case "saslContinue":
		return s.saslContinue(r)
	case "ping", "endSessions":
		return ok()
	case "buildInfo", "buildinfo":
		return ok(bson.E{Key: "version", Value: "7.0.14"})
	case "listDatabases":
		return ok(bson.E{Key: "databases", Value: bson.A{}})
	default:
		return failure(Failure{59, "no such command: '" + r.name + "'"})
	}
}
