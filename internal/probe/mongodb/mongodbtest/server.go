// Package mongodbtest is a MongoDB server for tests: it says hello as any member
// of any deployment, lets accounts log in by SCRAM, and fails where it is told
// to. It keeps no data. Its BSON is MongoDB's own and its SCRAM xdg-go's, so
// that it does not share the mistakes of the prober that it is for; pymongo
// logs in to it too.
package mongodbtest

import (
	"crypto/tls"
	"net"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Role is what a server does in its deployment.
type Role int

// The roles.
const (
	Standalone Role = iota
	Primary
	Secondary
	Arbiter
	Hidden
	Recovering  // a member that is neither primary nor secondary now
	Uninitiated // started for a replica set that was never made
	Mongos
	ConfigServer
)

// User is an account.
type User struct {
	Database, Name, Password string
	// Mechanisms it can log in by. Default both of SCRAM.
	Mechanisms []string
}

// Failure is an error that a command is answered with.
type Failure struct {
	Code int
	Text string
}

// Server is one server. Its fields are not changed once it serves.
type Server struct {
	Role Role
	// Set is the name of the replica set, and Members are those that hold data
	// and are not hidden, Arbiters those that hold none; Me and Leader are this
	// one and the primary.
	Set               string
	Members, Arbiters []string
	Me, Leader        string
	// Wire is the version of the wire. Default 21, that of MongoDB 7.0.
	Wire int
	// Users may log in, and only they may do what needs an account. Without
	// any, everybody may do everything.
	Users []User
	// Iterations is how often passwords are hashed. Default 4096.
	Iterations int
	// Roundabout ends a login with one exchange more, as servers before 4.4.
	Roundabout bool
	// Fail answers a command, by its name, with an error.
	Fail map[string]Failure
	// Reply changes what a command, by its name, is answered with.
	Reply map[string]func(bson.D) bson.D
	// TLS, where there is one, begins with the first byte.
	TLS *tls.Config
	// OnLogin is told when a login begins.
	OnLogin func()
	// OnHello is told of the client's description of itself.
	OnHello func(client bson.Raw)
}

// Serve serves one connection until its client closes it. The caller closes it.
func (s *Server) Serve(conn net.Conn) {
	if s.TLS != nil {
		conn = tls.Server(conn, s.TLS)
	}
	(&session{server: s, conn: conn}).serve()
}

// Running is a server that accepts connections.
type Running struct {
	// Addr is its address on loopback.
	Addr     string
	listener net.Listener
	mu       sync.Mutex
	conns    map[net.Conn]bool
	serving  sync.WaitGroup
}

// Start serves on loopback until the test ends.
func Start(tb testing.TB, s *Server) *Running {
	tb.Helper()
	r := listen(tb)
	r.accept(s)
	return r
}

// StartSet starts the members of a replica set, which know each other; the
// leader is the one that is Primary. Change, where it is not nil, is given each
// server before it serves.
func StartSet(tb testing.TB, name string, change func(*Server), roles ...Role) []*Running {
	tb.Helper()
	var all []*Running
	var members, arbiters []string
	leader := ""
	for _, role := range roles {
		r := listen(tb)
		all = append(all, r)
		switch role {
		case Arbiter:
			arbiters = append(arbiters, r.Addr)
		case Hidden: // the others keep quiet about it
		default:
			members = append(members, r.Addr)
		}
		if role == Primary {
			leader = r.Addr
		}
	}
	for i, role := range roles {
		s := &Server{Role: role, Set: name, Members: members, Arbiters: arbiters, Me: all[i].Addr, Leader: leader}
		if change != nil {
			change(s)
		}
		all[i].accept(s)
	}
	return all
}

func listen(tb testing.TB) *Running {
	tb.Helper()
	listener, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	r := &Running{Addr: listener.Addr().String(), listener: listener, conns: map[net.Conn]bool{}}
	tb.Cleanup(r.Stop)
	return r
}

func (r *Running) accept(s *Server) {
	r.serving.Go(func() {
		for {
			conn, err := r.listener.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns[conn] = true
			r.mu.Unlock()
			r.serving.Go(func() {
				defer r.drop(conn)
				s.Serve(conn)
			})
		}
	})
}

func (r *Running) drop(conn net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, conn)
	_ = conn.Close()
}

// Stop closes the port and every connection. Further calls do nothing.
func (r *Running) Stop() {
	_ = r.listener.Close()
	r.mu.Lock()
	for conn := range r.conns {
		_ = conn.Close()
	}
	r.mu.Unlock()
	r.serving.Wait()
}
