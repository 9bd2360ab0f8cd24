package gaussdbtest_test

import (
	"crypto/tls"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"dialtone/internal/probe/gaussdb/gaussdbtest"
	"dialtone/internal/probe/probetest"
)

// The drivers of openGauss and of GaussDB, which Huawei wrote, log in to the
// server: so the client of ours that logs in to it too speaks their protocol
// and not one of our invention.
func TestDriversLogIn(t *testing.T) {
	t.Parallel()
	const opengauss, gaussdb = "org.postgresql.Driver jdbc:postgresql", "com.huawei.gaussdb.jdbc.Driver jdbc:gaussdb"
	const in, denied = "(openGauss 5.0.0", "Invalid username/password"
	authority := probetest.NewAuthority(t)
	for _, tc := range []struct {
		name     string
		driver   string
		options  string
		password string
		server   gaussdbtest.Server
		want     string
	}{
		{"openGauss", opengauss, "", probetest.Password, gaussdbtest.Server{}, in},
		{"openGauss, few iterations", opengauss, "", probetest.Password, gaussdbtest.Server{Iterations: 2048}, in},
		{"openGauss, wrong password", opengauss, "", "wrong", gaussdbtest.Server{}, denied},
		// This version is not told how many iterations, and the driver knows but one number.
		{"openGauss, protocol 3.0", opengauss, "&protocolVersion=3", probetest.Password, gaussdbtest.Server{Iterations: 2048}, in},
		{"openGauss, protocol 3.0, product's iterations", opengauss, "&protocolVersion=3", probetest.Password, gaussdbtest.Server{}, denied},
		{"openGauss, md5", opengauss, "", probetest.Password, gaussdbtest.Server{Method: gaussdbtest.MD5}, in},
		{"openGauss, md5, wrong password", opengauss, "", "wrong", gaussdbtest.Server{Method: gaussdbtest.MD5}, denied},
		{"openGauss, sha256 over md5", opengauss, "", probetest.Password, gaussdbtest.Server{Method: gaussdbtest.SHA256MD5}, in},
		{"openGauss, sm3", opengauss, "", probetest.Password, gaussdbtest.Server{Method: gaussdbtest.SM3}, in},
		{"openGauss, sm3, wrong password", opengauss, "", "wrong", gaussdbtest.Server{Method: gaussdbtest.SM3}, denied},
		{"openGauss, TLS", opengauss, "&sslmode=require", probetest.Password, gaussdbtest.Server{TLS: authority.Server(t, nil), RequireTLS: true}, in},
		{"openGauss, TLS required", opengauss, "&sslmode=disable", probetest.Password, gaussdbtest.Server{RequireTLS: true}, "SSL connection is required"},
		{"openGauss, locked", opengauss, "", probetest.Password, gaussdbtest.Server{Locked: &gaussdbtest.Failure{Code: "28000", Text: "The account has been locked."}}, "The account has been locked."},
		{"GaussDB", gaussdb, "", probetest.Password, gaussdbtest.Server{}, in},
		{"GaussDB, wrong password", gaussdb, "", "wrong", gaussdbtest.Server{}, denied},
		{"GaussDB, TLS", gaussdb, "&sslmode=require", probetest.Password, gaussdbtest.Server{TLS: authority.Server(t, nil)}, in},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			jars := probetest.Need(t, "GAUSSDB_JARS")
			server := tc.server
			server.User, server.Password, server.Database = probetest.User, probetest.Password, probetest.Database
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) { server.Serve(conn) })
			driver, url, _ := strings.Cut(tc.driver, " ")
			java := exec.CommandContext(t.Context(), "java", "-cp", jars, "org.h2.tools.Shell",
				"-driver", driver, "-url", url+"://"+s.Addr.String()+"/"+server.Database+"?loggerLevel=OFF"+tc.options,
				"-user", server.User, "-password", tc.password, "-sql", "select version(), pg_is_in_recovery()")
			java.Env = append(os.Environ(), "LC_ALL=C.UTF-8") // or the password is not what it was
			out, _ := java.CombinedOutput()
			if !strings.Contains(string(out), tc.want) {
				t.Errorf("the driver says %s, want %q", out, tc.want)
			}
		})
	}
}

// The shape of what the drivers do not show.
func TestStartupOfAnother(t *testing.T) {
	t.Parallel()
	server := gaussdbtest.Server{User: probetest.User, TLS: &tls.Config{MinVersion: tls.VersionTLS12}}
	for _, tc := range []struct{ name, sent, want string }{
		{"a version that is not listed", "\x00\x00\x00\x0f\x00\x03\x00\x02user\x00u\x00", "unsupported frontend protocol 3.2."},
		{"too short", "\x00\x00\x00\x04", ""},
		{"too long", "\x7f\x00\x00\x00", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			near, far := net.Pipe()
			go func() { defer func() { _ = far.Close() }(); server.Serve(far) }()
			if _, err := near.Write([]byte(tc.sent)); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 1024)
			n, _ := near.Read(got)
			if text := string(got[:n]); !strings.Contains(text, tc.want) || (tc.want == "") != (n == 0) {
				t.Errorf("the server says %q, want %q", text, tc.want)
			}
		})
	}
}
