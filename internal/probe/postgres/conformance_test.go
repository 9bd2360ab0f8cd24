package postgres_test

import (
	"bytes"
	"crypto/md5"
	"crypto/tls"
	"encoding/hex"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"dialtone/internal/probe"
	"dialtone/internal/probe/postgres"
	"dialtone/internal/probe/probetest"
)

// fake is one connection of a server that knows one user and one database.
type fake struct {
	conn net.Conn
	back *pgproto3.Backend
	// salted is the answer that a right password gives; nil: clear text.
	salt [4]byte
}

func newFake(conn net.Conn) *fake {
	return &fake{conn: conn, back: pgproto3.NewBackend(conn, conn), salt: [4]byte{1, 2, 3, 4}}
}

func (f *fake) send(messages ...pgproto3.BackendMessage) {
	for _, m := range messages {
		f.back.Send(m)
	}
	_ = f.back.Flush()
}

func fatal(code, text string) *pgproto3.ErrorResponse {
	return &pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: code, Message: text}
}

// startup answers the question for TLS and reads who comes.
func (f *fake) startup(config *tls.Config) (map[string]string, bool) {
	for {
		message, err := f.back.ReceiveStartupMessage()
		if err != nil {
			return nil, false
		}
		switch m := message.(type) {
		case *pgproto3.SSLRequest:
			if config == nil {
				_, _ = f.conn.Write([]byte{'N'})
				continue
			}
			_, _ = f.conn.Write([]byte{'S'})
			secured := tls.Server(f.conn, config)
			f.conn, f.back = secured, pgproto3.NewBackend(secured, secured)
		case *pgproto3.StartupMessage:
			return m.Parameters, true
		default:
			return nil, false
		}
	}
}

// password asks for an MD5 password and says whether it is the right one.
func (f *fake) password(user string, arrived func()) bool {
	f.send(&pgproto3.AuthenticationMD5Password{Salt: f.salt})
	_ = f.back.SetAuthType(pgproto3.AuthTypeMD5Password)
	message, err := f.back.Receive()
	if err != nil {
		return false
	}
	m, ok := message.(*pgproto3.PasswordMessage)
	if !ok {
		return false
	}
	arrived()
	inner := hexMD5(probetest.Password + user)
	return user == probetest.User && m.Password == "md5"+hexMD5(inner+string(f.salt[:]))
}

func hexMD5(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

func ready() *pgproto3.ReadyForQuery { return &pgproto3.ReadyForQuery{TxStatus: 'I'} }

// accept serves one connection as a server that works.
func accept(s *probetest.Server, conn net.Conn, config *tls.Config) {
	f := newFake(conn)
	who, ok := f.startup(config)
	if !ok {
		return
	}
	if !f.password(who["user"], s.Login) {
		f.send(fatal("28P01", "password authentication failed for user"))
		return
	}
	f.send(&pgproto3.AuthenticationOk{})
	if who["database"] != probetest.Database {
		f.send(fatal("3D000", "database does not exist"))
		return
	}
	f.send(&pgproto3.ParameterStatus{Name: "server_version", Value: "15.18"}, &pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 2}}, ready())
	f.statements()
}

func (f *fake) statements() {
	for {
		message, err := f.back.Receive()
		if err != nil {
			return
		}
		if _, ok := message.(*pgproto3.Query); !ok {
			return // Terminate
		}
		f.send(&pgproto3.EmptyQueryResponse{}, ready())
	}
}

// endless greets with notices for ever.
func endless(conn net.Conn) {
	f := newFake(conn)
	if _, ok := f.startup(nil); !ok {
		return
	}
	notice, _ := (&pgproto3.NoticeResponse{Severity: "NOTICE", Message: "still here"}).Encode(nil)
	many := bytes.Repeat(notice, 1000)
	for {
		if _, err := conn.Write(many); err != nil {
			return
		}
	}
}

func TestConformance(t *testing.T) { //nolint:paralleltest // it looks for goroutines left behind
	opening, err := (&pgproto3.AuthenticationMD5Password{Salt: [4]byte{1, 2, 3, 4}}).Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	probetest.Run(t, probetest.Suite{
		Engine: probe.PostgreSQL, Prober: postgres.New(postgres.Config{}),
		Accept:  accept,
		Opening: opening,
		Upgrade: func(conn net.Conn) error {
			if _, err := newFake(conn).back.ReceiveStartupMessage(); err != nil {
				return err
			}
			_, err := conn.Write([]byte{'S'})
			return err
		},
		Huge:    []byte{'R', 0x7f, 0xff, 0xff, 0xff},
		Endless: endless, EndlessPhase: probe.PhaseProtocol,
		Busy: func(conn net.Conn) {
			f := newFake(conn)
			if _, ok := f.startup(nil); ok {
				f.send(fatal("53300", "sorry, too many clients already"))
			}
		},
	})
}
