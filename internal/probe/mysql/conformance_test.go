package mysql_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/server"

	"dialtone/internal/probe"
	"dialtone/internal/probe/mysql"
	"dialtone/internal/probe/probetest"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the fake server's
	probetest.TrustedBySystem(m, &public)
}

// account gives the fake its one user, and counts who asks for it. Others have
// a password that nobody knows, so that they are refused in the same words.
type account struct{ arrived func() }

func (a account) CheckUsername(string) (bool, error) { return true, nil }

func (a account) GetCredential(user string) (string, bool, error) {
	a.arrived()
	if user != probetest.User {
		return rand.Text(), true, nil
	}
	return probetest.Password, true, nil
}

// statements answers what the prober says once it is in. The fake asks for the
// database before it looks at the credentials that came with it.
type statements struct {
	server.EmptyHandler
	arrived func()
}

func (s statements) UseDB(name string) error {
	s.arrived()
	if name != probetest.Database {
		return gomysql.NewDefaultError(gomysql.ER_BAD_DB_ERROR, name)
	}
	return nil
}

func (statements) HandleQuery(query string) (*gomysql.Result, error) {
	if query != "DO 1" {
		return nil, errors.New("what?")
	}
	return &gomysql.Result{}, nil
}

// fake serves one connection as MySQL 8 does, with one method for all.
func fake(srv *probetest.Server, conn net.Conn, method string, config *tls.Config, key []byte) {
	counted := false
	arrived := func() {
		if !counted {
			srv.Login()
		}
		counted = true
	}
	settings := server.NewServer("8.0.36", gomysql.DEFAULT_COLLATION_ID, method, key, config)
	c, err := settings.NewCustomizedConn(conn, account{arrived}, statements{arrived: arrived})
	if err != nil {
		return
	}
	for !c.Closed() {
		if c.HandleCommand() != nil {
			return
		}
	}
}

// rsaServer is a server's TLS configuration with an RSA key, and the public
// half of that key as the server hands it to clients who ask for it.
func rsaServer(t *testing.T, authority *probetest.Authority) (*tls.Config, []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return authority.ServerWithKey(t, key, nil), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

const (
	capTLS    = 1 << 11
	plainCaps = 0x81bff7df &^ capTLS // what a MySQL 8 says, without TLS
)

func packet(seq byte, body ...byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
	b[3] = seq
	return append(b, body...)
}

// greeting is a server's first packet.
func greeting(caps uint32, plugin string) []byte {
	scramble := strings.Repeat("s", 20)
	b := append([]byte{10}, "8.0.36"...)
	b = append(b, 0, 1, 0, 0, 0)
	b = append(b, scramble[:8]...)
	b = append(b, 0, byte(caps), byte(caps>>8), 45, 2, 0, byte(caps>>16), byte(caps>>24), 21)
	b = append(b, make([]byte, 10)...)
	b = append(b, scramble[8:]...)
	b = append(b, 0)
	b = append(append(b, plugin...), 0)
	return packet(0, b...)
}

// readPacket reads what the client sends.
func readPacket(conn net.Conn) ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(conn, head); err != nil {
		return nil, err
	}
	body := make([]byte, int(head[0])|int(head[1])<<8|int(head[2])<<16)
	_, err := io.ReadFull(conn, body)
	return body, err
}

// endless lets the client in and answers its statement with rows for ever.
func endless(conn net.Conn) {
	_, _ = conn.Write(greeting(plainCaps, "mysql_native_password"))
	_, _ = readPacket(conn)
	_, _ = conn.Write(packet(2, 0, 0, 0, 2, 0, 0, 0))
	_, _ = readPacket(conn)
	column := append([]byte("\x03def\x00\x00\x00\x011\x00"), 0x0c, 63, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0)
	_, _ = conn.Write(slices.Concat(packet(1, 1), packet(2, column...)))
	// The numbers of the packets repeat after 256, so one piece will do.
	var rows []byte
	for i := range 256 {
		rows = append(rows, packet(byte(i+3), append([]byte{60}, make([]byte, 60)...)...)...)
	}
	for {
		if _, err := conn.Write(rows); err != nil {
			return
		}
	}
}

func TestConformance(t *testing.T) { //nolint:paralleltest // it looks for goroutines left behind
	probetest.Run(t, probetest.Suite{
		Engine: probe.MySQL, Prober: mysql.New(mysql.Config{}),
		Accept: func(s *probetest.Server, conn net.Conn, config *tls.Config) {
			fake(s, conn, gomysql.AUTH_NATIVE_PASSWORD, config, nil)
		},
		SpeaksFirst: true,
		Opening:     greeting(plainCaps, "mysql_native_password"),
		Upgrade: func(conn net.Conn) error {
			if _, err := conn.Write(greeting(plainCaps|capTLS, "mysql_native_password")); err != nil {
				return err
			}
			_, err := readPacket(conn)
			return err
		},
		Huge:    []byte{0xff, 0xff, 0xff, 0},
		Endless: endless, EndlessPhase: probe.PhaseSession,
		Busy: func(conn net.Conn) { _, _ = conn.Write(packet(0, []byte("\xff\x10\x04Too many connections")...)) },
	})
}
