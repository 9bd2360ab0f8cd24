package matrix_test

import (
	"crypto/tls"
	"net"
	"path/filepath"
	"testing"

	"dialtone/internal/batch"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/secret"
)

// What the accounts of the test servers are called; those of the real servers
// come from scripts/services.
const (
	testUser     = "dt_user"
	testPassword = "Dt-p/w+ö%41 \"q\""
	testDatabase = "dt_login"
)

// identity is the tests' certificate for a server.
func identity(t *testing.T) *tls.Config {
	t.Helper()
	dir := probetest.Need(t, "PKI")
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
}

// played describes an account on a server that the test plays itself.
func played(t *testing.T, dbType string, serve func(net.Conn)) batch.Endpoint {
	t.Helper()
	server := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) { serve(conn) })
	return at(t, batch.Endpoint{
		DBType: dbType, User: testUser, Password: secret.New(testPassword), DBName: testDatabase,
	}, server.Addr.String())
}
