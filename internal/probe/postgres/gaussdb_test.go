package postgres_test

import (
	"net"
	"testing"

	"dialtone/internal/probe"
	"dialtone/internal/probe/gaussdb/gaussdbtest"
	"dialtone/internal/probe/postgres"
	"dialtone/internal/probe/probetest"
)

// A GaussDB asks for its own logins in numbers of PostgreSQL's. It is told by
// them, but for md5, which is the same in both.
func TestGaussDB(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		method gaussdbtest.Method
		code   probe.Code
		looks  string
	}{
		{"sha256", gaussdbtest.SHA256, probe.CodeProtocolMismatch, "gaussdb"},
		{"md5 over sha256", gaussdbtest.MD5SHA256, probe.CodeProtocolMismatch, "gaussdb"},
		{"sm3", gaussdbtest.SM3, probe.CodeProtocolMismatch, "gaussdb"},
		{"md5", gaussdbtest.MD5, probe.CodeOK, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server := gaussdbtest.Server{User: probetest.User, Password: probetest.Password, Database: probetest.Database, Method: tc.method}
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) { server.Serve(conn) })
			r := probeIt(t, postgres.New(postgres.Config{}), target(s))
			if r.Code != tc.code || r.Evidence.LooksLike != tc.looks || r.LoginSent != r.OK() {
				t.Errorf("Run() = %s in %q, looks like %q, login sent %v; want %s, %q",
					r.Code, r.Phase, r.Evidence.LooksLike, r.LoginSent, tc.code, tc.looks)
			}
		})
	}
}
