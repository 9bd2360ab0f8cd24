package egress_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	mysqlserver "github.com/go-mysql-org/go-mysql/server"
	"github.com/jackc/pgx/v5/pgproto3"

	"dialtone/internal/probe"
	"dialtone/internal/probe/cassandra/cassandratest"
	"dialtone/internal/probe/gaussdb/gaussdbtest"
	"dialtone/internal/probe/mongodb/mongodbtest"
	"dialtone/internal/probe/oracle/oracletest"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/probe/redis/redistest"
	"dialtone/internal/probe/sqlserver/sqlservertest"
)

// row is an engine and a server of its protocol.
type row struct {
	engine probe.Engine
	// serve answers one connection as a server that lets probetest.User in and
	// sends its clients to that address; to nowhere if it is nil.
	serve func(conn net.Conn, to *probe.Address)
	// sends is how the server can send its clients elsewhere.
	sends sends
	// complete adds what a target of the engine needs.
	complete func(*probe.Target)
}

// sends is what a protocol has for an address to go to.
type sends int

const (
	nowhere   sends = iota // the protocol has no such message
	toAddress              // addresses only
	toName                 // addresses and names
	inVain                 // in an error that dialtone does not follow
)

// rows is every engine. A new one is one line here.
func rows() []row {
	return []row{
		{engine: probe.MySQL, serve: serveMySQL},
		{engine: probe.Taurus, serve: serveMySQL},
		{engine: probe.PostgreSQL, serve: servePostgreSQL},
		{engine: probe.GaussDBv5, serve: serveGaussDB},
		{engine: probe.GaussDBv5HA, serve: serveGaussDB},
		{engine: probe.MongoDB, serve: serveMongoDB, sends: toName},
		{engine: probe.Kafka, serve: serveKafka, sends: toName, complete: func(t *probe.Target) {
			t.Kafka = &probe.KafkaSecurity{Protocol: "PLAINTEXT"}
		}},
		{engine: probe.Oracle, serve: serveOracle, sends: toName},
		{engine: probe.Redis, serve: serveRedis, sends: inVain, complete: database("1")},
		{engine: probe.RedisCluster, serve: serveRedisCluster, sends: toName, complete: database("0")},
		{engine: probe.GaussRedis, serve: serveRedisCluster, sends: toName, complete: database("0")},
		{engine: probe.SQLServer, serve: serveSQLServer, sends: toName},
		{engine: probe.Cassandra, serve: serveCassandra, sends: toAddress},
	}
}

// database asks for that one.
func database(name string) func(*probe.Target) {
	return func(t *probe.Target) { t.Database = name }
}

// account is the one user of the MySQL server.
type account struct{}

func (account) CheckUsername(string) (bool, error) { return true, nil }

func (account) GetCredential(user string) (string, bool, error) {
	if user != probetest.User {
		return rand.Text(), true, nil
	}
	return probetest.Password, true, nil
}

// statements lets the prober's own pass.
type statements struct{ mysqlserver.EmptyHandler }

func (statements) UseDB(string) error { return nil }

func (statements) HandleQuery(string) (*gomysql.Result, error) { return &gomysql.Result{}, nil }

// serveMySQL has nowhere to send its clients: MariaDB's redirect_url is a
// variable that clients may follow with a second connection, and dialtone's
// driver does not know it.
func serveMySQL(conn net.Conn, _ *probe.Address) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the server's
	settings := mysqlserver.NewServer("8.0.36", gomysql.DEFAULT_COLLATION_ID, gomysql.AUTH_NATIVE_PASSWORD, nil, nil)
	c, err := settings.NewCustomizedConn(conn, account{}, statements{})
	if err != nil {
		return
	}
	for !c.Closed() {
		if c.HandleCommand() != nil {
			return
		}
	}
}

func servePostgreSQL(conn net.Conn, _ *probe.Address) {
	back := pgproto3.NewBackend(conn, conn)
	if _, err := back.ReceiveStartupMessage(); err != nil {
		return
	}
	back.Send(&pgproto3.AuthenticationOk{})
	back.Send(&pgproto3.ParameterStatus{Name: "server_version", Value: "15.18"})
	back.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 2}})
	back.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	for back.Flush() == nil {
		message, err := back.Receive()
		if err != nil {
			return
		}
		if _, ok := message.(*pgproto3.Query); !ok {
			return
		}
		back.Send(&pgproto3.EmptyQueryResponse{})
		back.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	}
}

func serveGaussDB(conn net.Conn, _ *probe.Address) {
	(&gaussdbtest.Server{User: probetest.User, Password: probetest.Password, Database: probetest.Database}).Serve(conn)
}

// serveMongoDB is the primary of a set whose other member is elsewhere.
func serveMongoDB(conn net.Conn, to *probe.Address) {
	s := &mongodbtest.Server{Users: []mongodbtest.User{{Database: probetest.Database, Name: probetest.User, Password: probetest.Password}}}
	if to != nil {
		here := conn.LocalAddr().String()
		s.Role, s.Set, s.Members, s.Me, s.Leader = mongodbtest.Primary, "rs0", []string{here, to.String()}, here, here
	}
	s.Serve(conn)
}

func serveRedis(conn net.Conn, to *probe.Address) {
	s := redisServer()
	if to != nil {
		s.Replies = map[string]string{"SELECT": fmt.Sprintf("-MOVED 3999 %s\r\n", to), "INFO": fmt.Sprintf("-ASK 3999 %s\r\n", to)}
	}
	s.Serve(conn)
}

func serveRedisCluster(conn net.Conn, to *probe.Address) {
	s := redisServer()
	here := ":" + port(conn)
	s.Slots = redistest.Slots(redistest.Range(0, 16383, here))
	if to != nil {
		s.Slots = redistest.Slots(redistest.Range(0, 8191, here), redistest.Range(8192, 16383, to.String()))
	}
	s.Serve(conn)
}

func redisServer() *redistest.Server {
	return &redistest.Server{Users: map[string]string{probetest.User: probetest.Password}}
}

// serveOracle is a listener. One that sends its clients elsewhere does so again
// if that is itself.
func serveOracle(conn net.Conn, to *probe.Address) {
	s := &oracletest.Server{User: probetest.User, Password: probetest.Password, Service: probetest.Database}
	if to != nil {
		s.Redirect = fmt.Sprintf("(ADDRESS=(PROTOCOL=tcp)(HOST=%s)(PORT=%d))", to.Host, to.Port)
	}
	s.Serve(context.Background(), conn)
}

func serveSQLServer(conn net.Conn, to *probe.Address) {
	c := sqlservertest.Config{User: probetest.User, Password: probetest.Password, Database: probetest.Database}
	if to != nil {
		c.Route = &sqlservertest.Route{Host: to.Host, Port: to.Port}
	}
	_ = sqlservertest.Serve(conn, c)
}

func serveCassandra(conn net.Conn, to *probe.Address) {
	s := &cassandratest.Server{
		User: probetest.User, Password: probetest.Password, Keyspace: probetest.Database, Authenticator: cassandratest.PasswordAuthenticator,
	}
	if to != nil {
		s.Peers = []cassandratest.Peer{{Peer: netip.MustParseAddr("127.0.0.1"), Native: netip.MustParseAddr(to.Host), Port: to.Port}}
	}
	s.Serve(conn, nil)
}

// port is the one that a connection came to.
func port(conn net.Conn) string {
	return strconv.Itoa(int(netip.MustParseAddrPort(conn.LocalAddr().String()).Port()))
}
