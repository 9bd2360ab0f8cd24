package canary_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
	"go.mongodb.org/mongo-driver/v2/bson"

	"dialtone/internal/probe/cassandra/cassandratest"
	"dialtone/internal/probe/gaussdb/gaussdbtest"
	"dialtone/internal/probe/mongodb/mongodbtest"
	"dialtone/internal/probe/oracle/oracletest"
	"dialtone/internal/probe/sqlserver/sqlservertest"
)

// echoed is what stands beside the secret in every text of a hostile server,
// and shows that the text arrived.
const echoed = "canary-echo"

// hostileMySQL greets as MySQL 8 and answers the login with an error.
func hostileMySQL(c net.Conn, say func() string) {
	if _, err := c.Write(mysqlGreeting("8.0.36")); err != nil {
		return
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(c, head); err != nil {
		return
	}
	if _, err := io.CopyN(io.Discard, c, int64(head[0])|int64(head[1])<<8|int64(head[2])<<16); err != nil {
		return
	}
	const accessDenied = 1045
	_, _ = c.Write(mysqlPacket(head[3]+1, "\xff"+string([]byte{accessDenied & 0xff, accessDenied >> 8})+"#28000"+say()))
}

// mysqlGreeting is the first packet of a server without TLS.
func mysqlGreeting(version string) []byte {
	const caps = 1 | 4 | 8 | 1<<9 | 1<<13 | 1<<15 | 1<<19 // with databases, protocol 4.1 and plug-ins
	scramble := strings.Repeat("s", 20)
	return mysqlPacket(0, "\x0a"+version+"\x00\x01\x00\x00\x00"+scramble[:8]+"\x00"+
		string([]byte{caps & 0xff, caps >> 8 & 0xff, 45, 2, 0, caps >> 16 & 0xff, caps >> 24, 21})+strings.Repeat("\x00", 10)+scramble[8:]+
		"\x00mysql_native_password\x00")
}

func mysqlPacket(number byte, body string) []byte {
	return append([]byte{byte(len(body)), byte(len(body) >> 8), byte(len(body) >> 16), number}, body...)
}

// hostilePostgres wants an MD5, and says the text in every part of an error.
func hostilePostgres(c net.Conn, say func() string) {
	b := pgproto3.NewBackend(c, c)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return
	}
	b.Send(&pgproto3.AuthenticationMD5Password{Salt: [4]byte{1, 2, 3, 4}})
	if b.Flush() != nil || b.SetAuthType(pgproto3.AuthTypeMD5Password) != nil {
		return
	}
	if _, err := b.Receive(); err != nil {
		return
	}
	text := say()
	b.Send(&pgproto3.ErrorResponse{
		Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "28P01", Message: text, Detail: text, Hint: text, Where: text, Routine: "auth_failed",
		SchemaName: text, File: text,
	})
	_ = b.Flush()
}

func hostileGaussDB(c net.Conn, say func() string) {
	failure := &gaussdbtest.Failure{Code: "28P01"}
	// The text is asked for when the credentials have come.
	server := &gaussdbtest.Server{User: "nobody", Password: "nothing", Database: "shop", Locked: failure}
	server.OnLogin = func() { failure.Text = say() }
	server.Serve(c)
}

func hostileMongoDB(c net.Conn, say func() string) {
	refuse := func(bson.D) bson.D {
		return bson.D{{Key: "ok", Value: 0.0}, {Key: "errmsg", Value: say()}, {Key: "code", Value: int32(18)}, {Key: "codeName", Value: "AuthenticationFailed"}}
	}
	(&mongodbtest.Server{
		Users: []mongodbtest.User{{Database: "admin", Name: "nobody", Password: "nothing"}},
		Reply: map[string]func(bson.D) bson.D{"saslStart": refuse},
	}).Serve(c)
}

func hostileOracle(c net.Conn, say func() string) {
	(&oracletest.Server{User: "nobody", Password: "nothing", Service: "shop", Unproven: true, Error: 1017, Text: say}).Serve(context.Background(), c)
}

func hostileSQLServer(c net.Conn, say func() string) {
	refusal := []sqlservertest.Error{{Number: 18456, State: 1, Class: 14}}
	_ = sqlservertest.Serve(c, sqlservertest.Config{
		User: "nobody", Password: "nothing", Database: "shop", Refuse: refusal,
		OnLogin: func(sqlservertest.Login) { refusal[0].Text = say() },
	})
}

func hostileCassandra(c net.Conn, say func() string) {
	server := &cassandratest.Server{User: "nobody", Password: "nothing", Authenticator: cassandratest.PasswordAuthenticator}
	server.Fail = func(op cassandratest.Op, _ string) *cassandratest.Error {
		if op != cassandratest.AuthResponse {
			return nil
		}
		const badCredentials = 0x0100
		return &cassandratest.Error{Code: badCredentials, Text: say()}
	}
	server.Serve(c, nil)
}

// hostileRedis answers every command with the text.
func hostileRedis(c net.Conn, say func() string) {
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if strings.EqualFold(strings.TrimSpace(line), "AUTH") {
			if _, err := io.WriteString(c, "-WRONGPASS "+say()+"\r\n"); err != nil {
				return
			}
		}
		if strings.EqualFold(strings.TrimSpace(line), "PING") {
			if _, err := io.WriteString(c, "-NOAUTH Authentication required.\r\n"); err != nil {
				return
			}
		}
	}
}

// hostileWith is a hostile server that says a password.
func hostileWith(e engine, password string) func(net.Conn) {
	return func(c net.Conn) { e.hostile(c, func() string { return echoed + " " + password + " said the server" }) }
}
