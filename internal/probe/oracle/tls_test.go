package oracle_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"slices"
	"testing"

	"dialtone/internal/probe"
	"dialtone/internal/probe/oracle/oracletest"
	"dialtone/internal/probe/probetest"
)

// A listener of TCPS hands the socket to a server process, which begins TLS
// anew.
func TestTLS(t *testing.T) {
	t.Parallel()
	authority := probetest.NewAuthority(t)
	elsewhere := func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"elsewhere.example"} }
	for _, tc := range []struct {
		name        string
		change      func(*x509.Certificate)
		renegotiate bool
		oldest      bool
		verify      probe.Verify
		code        probe.Code
		warnings    []probe.Code
	}{
		{"one handshake", nil, false, false, probe.VerifyFull, probe.CodeOK, nil},
		{"two handshakes", nil, true, false, probe.VerifyFull, probe.CodeOK, nil},
		{"two handshakes of TLS 1.2", nil, true, true, probe.VerifyFull, probe.CodeOK, nil},
		{"wrong name", elsewhere, true, false, probe.VerifyCA, probe.CodeOK, []probe.Code{probe.CodeTLSNameMismatch}},
		{"wrong name, full", elsewhere, true, false, probe.VerifyFull, probe.CodeTLSNameMismatch, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			config := authority.Server(t, tc.change)
			if tc.oldest {
				config.MaxVersion = tls.VersionTLS12
			}
			s := serve(t, oracletest.Server{TLS: config, Renegotiate: tc.renegotiate})
			goal := target(s.Server)
			goal.TLS = &probe.TLS{Verify: tc.verify, Certificate: authority.PEM()}
			r := probeIt(t, goal)
			if r.Code != tc.code || !slices.Equal(r.Evidence.Warnings, tc.warnings) {
				t.Errorf("Run() = %s in %q, warned of %v; want %s, %v", r.Code, r.Phase, r.Evidence.Warnings, tc.code, tc.warnings)
			}
			wantConnects := 1
			if tc.renegotiate {
				wantConnects = 2
			}
			if v := s.done(t)[0]; r.OK() && (v.Connects != wantConnects || !v.LoggedIn || !v.Goodbye) {
				t.Errorf("the visit was %+v", v)
			}
		})
	}
}

// A server process that shows another certificate than its listener did gets
// no further than an untrusted listener would.
func TestSecondHandshakeIsJudged(t *testing.T) {
	t.Parallel()
	ours, rogue := probetest.NewAuthority(t), probetest.NewAuthority(t)
	good, bad := ours.Server(t, nil), rogue.Server(t, nil)
	handshakes := 0
	config := good.Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if handshakes++; handshakes == 1 {
			return good, nil
		}
		return bad, nil
	}
	s := serve(t, oracletest.Server{TLS: config, Renegotiate: true})
	goal := target(s.Server)
	goal.TLS = &probe.TLS{Verify: probe.VerifyCA, Certificate: ours.PEM()}
	r := probeIt(t, goal)
	if r.Code != probe.CodeTLSUntrusted || s.Logins() != 0 {
		t.Errorf("Run() = %s in %q, %d logins; want %s", r.Code, r.Phase, s.Logins(), probe.CodeTLSUntrusted)
	}
}

// Plain text at a port of TCPS is answered with an alert.
func TestPlainTextToTLS(t *testing.T) {
	t.Parallel()
	s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = conn.Write([]byte("\x15\x03\x01\x00\x02\x02\x0a"))
	})
	if r := probeIt(t, target(s)); r.Code != probe.CodeTLSRequired || r.Phase != probe.PhaseTLS {
		t.Errorf("Run() = %s in %q, want %s in tls", r.Code, r.Phase, probe.CodeTLSRequired)
	}
}

// wiretap keeps what a client sends.
type wiretap struct {
	net.Conn
	heard bytes.Buffer
}

func (w *wiretap) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.heard.Write(p[:n])
	return n, err
}

// The password itself never leaves, nor does anything derived from it before
// the mark of the login.
func TestPasswordStaysHome(t *testing.T) {
	t.Parallel()
	for name, verifier := range map[string]oracletest.Verifier{"12c": oracletest.Verifier12c, "11g": oracletest.Verifier11g} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var early, all []byte
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
				tap := &wiretap{Conn: conn}
				server := oracletest.Server{
					User: probetest.User, Password: probetest.Password, Verifier: verifier,
				}
				_ = server.Serve(context.Background(), tap)
				_, _ = io.Copy(io.Discard, tap)
				all = tap.heard.Bytes()
			})
			goal := target(s)
			goal.BeforeLogin = func(context.Context) error { return nil }
			r := probeIt(t, goal)
			s.Wait(t)
			early, _, found := bytes.Cut(all, []byte("AUTH_SESSKEY"))
			if !r.OK() || !found || bytes.Contains(early, []byte("AUTH_PASSWORD")) {
				t.Fatalf("Run() = %s, the client sent %q", r.Code, all)
			}
			if bytes.Contains(all, []byte(probetest.Password)) || bytes.Count(all, []byte("AUTH_PASSWORD")) != 1 {
				t.Errorf("the client sent %q", all)
			}
		})
	}
}
