package oracletest_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/probe/oracle/oracletest"
	"dialtone/internal/probe/probetest"
)

// visits collects what the clients of one server did.
type visits struct {
	mu  sync.Mutex
	all []oracletest.Visit
}

func (v *visits) last(t *testing.T) oracletest.Visit {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.all) == 0 {
		t.Fatal("no client came")
	}
	return v.all[len(v.all)-1]
}

// serve starts a server and remembers its visits.
func serve(t *testing.T, s *oracletest.Server) (*probetest.Server, *visits) {
	t.Helper()
	if s.User == "" {
		s.User, s.Password = probetest.User, probetest.Password
	}
	seen := &visits{}
	return probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
		visit := s.Serve(context.WithoutCancel(t.Context()), conn)
		seen.mu.Lock()
		defer seen.mu.Unlock()
		seen.all = append(seen.all, visit)
	}), seen
}

// script logs in with python-oracledb in its thin mode, which shares nothing
// with us.
const script = `
import sys, oracledb
dsn, user, password = sys.argv[1:4]
extra = {"wallet_location": sys.argv[4], "ssl_server_dn_match": False} if len(sys.argv) > 4 else {}
try:
    c = oracledb.connect(user=user, password=password, dsn=dsn, **extra)
    c.ping()
    warning = c.warning
    version = c.version
    c.close()
    print("ok", version, warning.full_code if warning else "")
except oracledb.Error as e:
    while e.__cause__ is not None and isinstance(e.__cause__, oracledb.Error):
        e = e.__cause__
    print("error", e.args[0].full_code, e)
`

// python runs the script and gives what it says first.
func python(t *testing.T, dsn, password string, wallet ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	arguments := append([]string{"-c", script, dsn, probetest.User, password}, wallet...)
	c := exec.CommandContext(ctx, probetest.Need(t, "PYTHON"), arguments...)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func dsn(s *probetest.Server, name string) string { return fmt.Sprintf("%s/%s", s.Addr, name) }

func TestPythonLogsIn(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		server  oracletest.Server
		version string
	}{
		{"12.1", oracletest.Server{Release: oracletest.Release12}, "12.1.0.2.0"},
		{"12.1, 11g verifier", oracletest.Server{Release: oracletest.Release12, Verifier: oracletest.Verifier11g}, "12.1.0.2.0"},
		{"19c", oracletest.Server{Release: oracletest.Release19}, "19.3.0.0.0"},
		{"19c, 11g verifier", oracletest.Server{Release: oracletest.Release19, Verifier: oracletest.Verifier11g}, "19.3.0.0.0"},
		{"19c, asks for CONNECT again", oracletest.Server{Release: oracletest.Release19, Resend: 2}, "19.3.0.0.0"},
		{"19c, small packets", oracletest.Server{Release: oracletest.Release19, SDU: 512}, "19.3.0.0.0"},
		{"23ai", oracletest.Server{Release: oracletest.Release23}, "23.4.0.0.0"},
		{"23ai, 11g verifier", oracletest.Server{Release: oracletest.Release23, Verifier: oracletest.Verifier11g}, "23.4.0.0.0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, seen := serve(t, &tc.server)
			if got, want := python(t, dsn(s, oracletest.DefaultService), probetest.Password), "ok "+tc.version; got != want {
				t.Errorf("python says %q, want %q", got, want)
			}
			s.Wait(t)
			v := seen.last(t)
			if !v.LoggedIn || v.Passwords != 1 || v.Pings != 1 || !v.LoggedOff || !v.Goodbye || v.Err != nil {
				t.Errorf("the visit was %+v", v)
			}
		})
	}
}

func TestPythonIsRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, service, password string
		server                  oracletest.Server
		want                    string
	}{
		{"wrong password", "", "wrong", oracletest.Server{}, "error ORA-01017"},
		{"wrong password, 12.1", "", "wrong", oracletest.Server{Release: oracletest.Release12}, "error ORA-01017"},
		{"wrong password, 23ai", "", "wrong", oracletest.Server{Release: oracletest.Release23}, "error ORA-01017"},
		{"wrong password, plain", "", "wrong", oracletest.Server{PlainErrors: true}, "error ORA-01017"},
		{"wrong password, 11g verifier", "", "wrong", oracletest.Server{Verifier: oracletest.Verifier11g}, "error ORA-01017"},
		{"locked", "", probetest.Password, oracletest.Server{Error: 28000}, "error ORA-28000"},
		{"locked, told early", "", probetest.Password, oracletest.Server{EarlyError: 28000}, "error ORA-28000"},
		{"expired", "", probetest.Password, oracletest.Server{Error: 28001}, "error ORA-28001"},
		{"about to expire", "", probetest.Password, oracletest.Server{Warning: 28002}, "ok 19.3.0.0.0 ORA-28002"},
		{"unknown service", "nowhere", probetest.Password, oracletest.Server{}, "error DPY-6001"},
		{"no handler", "", probetest.Password, oracletest.Server{Refuse: 12516}, "error DPY-6000"},
		{"10g verifier", "", probetest.Password, oracletest.Server{Verifier: oracletest.Verifier10g}, "error DPY-3015"},
		{"11.2", "", probetest.Password, oracletest.Server{Release: oracletest.Release11}, "error DPY-3010"},
		{"native encryption", "", probetest.Password, oracletest.Server{NativeEncryption: true}, "error DPY-3001"},
		{"server that knows no password", "", probetest.Password, oracletest.Server{Unproven: true}, "error DPY-4035"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, _ := serve(t, &tc.server)
			service := tc.service
			if service == "" {
				service = oracletest.DefaultService
			}
			if got := python(t, dsn(s, service), tc.password); !strings.HasPrefix(got, tc.want) {
				t.Errorf("python says %q, want %q", got, tc.want)
			}
		})
	}
}

// A listener that hands the socket over asks for a second handshake.
func TestPythonOverTLS(t *testing.T) {
	t.Parallel()
	authority, wallet := probetest.NewAuthority(t), t.TempDir()
	if err := os.WriteFile(filepath.Join(wallet, "ewallet.pem"), []byte(authority.PEM().Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, renegotiate := range []bool{false, true} {
		t.Run(strconv.FormatBool(renegotiate), func(t *testing.T) {
			t.Parallel()
			s, _ := serve(t, &oracletest.Server{TLS: authority.Server(t, nil), Renegotiate: renegotiate})
			got := python(t, "tcps://"+dsn(s, oracletest.DefaultService), probetest.Password, wallet)
			if !strings.HasPrefix(got, "ok") {
				t.Errorf("python says %q", got)
			}
		})
	}
}

// A redirect ends at another listener, once.
func TestPythonIsRedirected(t *testing.T) {
	t.Parallel()
	target, seen := serve(t, &oracletest.Server{})
	first, _ := serve(t, &oracletest.Server{
		Redirect: fmt.Sprintf("(ADDRESS=(PROTOCOL=TCP)(HOST=%s)(PORT=%d))", target.Addr.Addr(), target.Addr.Port()),
	})
	if got := python(t, dsn(first, oracletest.DefaultService), probetest.Password); !strings.HasPrefix(got, "ok") {
		t.Errorf("python says %q", got)
	}
	target.Wait(t)
	if v := seen.last(t); !v.LoggedIn || !v.Redirected {
		t.Errorf("the visit was %+v", v)
	}
}
