package probetest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"dialtone/internal/egress"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

// network: what goes wrong before anybody answers.
func (s *Suite) network(t *testing.T) {
	t.Parallel()
	t.Run("closed port", func(t *testing.T) {
		t.Parallel()
		r := s.check(t, s.target(closedPort(t)), Want{Code: probe.CodeConnectionRefused, Phase: probe.PhaseConnect})
		if len(r.Evidence.Dials) != 1 || !r.Retryable() {
			t.Errorf("%d dials, retryable %v; want 1, true", len(r.Evidence.Dials), r.Retryable())
		}
	})
	t.Run("black hole", func(t *testing.T) {
		t.Parallel()
		s.check(t, s.target(blackHole(t)), Want{Code: probe.CodeTimeoutConnect, Phase: probe.PhaseConnect})
	})
	t.Run("name that does not resolve", func(t *testing.T) {
		t.Parallel()
		const name = "no-such-host.invalid"
		w := Want{Code: probe.CodeDNSFailed, Phase: probe.PhaseResolve}
		// Without a DNS server the resolver fails instead of denying.
		_, err := net.DefaultResolver.LookupNetIP(t.Context(), "ip", name)
		if answer, ok := errors.AsType[*net.DNSError](err); ok && answer.IsNotFound {
			w.Code = probe.CodeDNSNotFound
		}
		target := s.target(netip.MustParseAddrPort("127.0.0.1:1"))
		target.Addresses[0].Host = name
		s.check(t, target, w)
	})
	t.Run("forbidden address", func(t *testing.T) {
		t.Parallel()
		server := Serve(t, func(_ *Server, conn net.Conn) { drain(conn) })
		policy, err := egress.New(egress.Config{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.run(t.Context(), t, policy, s.target(server.Addr), Timeout)
		if err != nil {
			t.Fatal(err)
		}
		if r.Code != probe.CodeTargetNotAllowed || r.Phase != probe.PhasePolicy {
			t.Errorf("Run() = %s in %q, want %s in %q", r.Code, r.Phase, probe.CodeTargetNotAllowed, probe.PhasePolicy)
		}
		WellFormed(t, r)
		if n := server.Accepted(); n != 0 {
			t.Errorf("%d connections were made to a forbidden address", n)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		server := Serve(t, func(_ *Server, conn net.Conn) { cancel(); drain(conn) })
		start := time.Now()
		_, err := s.run(ctx, t, Policy(t), s.target(server.Addr), time.Minute)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Run() error = %v, want %v", err, context.Canceled)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("cancelling took %s", took)
		}
	})
}

// hostile: servers that are not what was asked for, or not well.
func (s *Suite) hostile(t *testing.T) {
	t.Parallel()
	garbage := make([]byte, 4096)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(garbage)
	hear := func(conn net.Conn) {
		if !s.SpeaksFirst {
			_, _ = conn.Read(make([]byte, 4096))
		}
	}
	mismatch := Want{Code: probe.CodeProtocolMismatch, Phase: probe.PhaseProtocol}
	for _, tc := range []struct {
		name  string
		serve func(conn net.Conn)
		want  Want
	}{
		{"accepts and stays silent", drain, Want{Code: probe.CodeTimeoutNoReply, Phase: probe.PhaseProtocol}},
		{"drips", func(conn net.Conn) { hear(conn); drip(conn, s.Opening[:len(s.Opening)-1]) }, Want{Code: probe.CodeTimeoutHandshake, Phase: probe.PhaseProtocol}},
		{"sends garbage", func(conn net.Conn) { _, _ = conn.Write(garbage); drain(conn) }, mismatch},
		{"answers with garbage", func(conn net.Conn) { hear(conn); flood(conn, garbage) }, mismatch},
		{"closes at once", func(conn net.Conn) { hear(conn) }, Want{Code: probe.CodeClosedNoReply, Phase: probe.PhaseProtocol}},
		{"resets at once", func(conn net.Conn) { hear(conn); pause(); reset(conn) }, Want{Code: probe.CodeClosedNoReply, Phase: probe.PhaseProtocol}},
		{"resets in mid-handshake", func(conn net.Conn) {
			hear(conn)
			_, _ = conn.Write(s.Opening[:len(s.Opening)/2])
			pause()
			reset(conn)
		}, Want{Code: probe.CodeConnectionLost, Phase: probe.PhaseProtocol}},
		{"announces a huge message", func(conn net.Conn) { hear(conn); _, _ = conn.Write(s.Huge); drain(conn) }, mismatch},
		{"sends a huge message", func(conn net.Conn) { hear(conn); _, _ = conn.Write(s.Huge); flood(conn, make([]byte, 1<<16)) }, mismatch},
		{"never ends", s.Endless, Want{Code: probe.CodePeerAbusive, Phase: s.EndlessPhase}},
		{"speaks HTTP", func(conn net.Conn) {
			_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"))
			drain(conn)
		}, Want{Code: probe.CodeProtocolMismatch, Phase: probe.PhaseProtocol, Looks: "http"}},
		{
			"speaks SSH", func(conn net.Conn) { _, _ = conn.Write([]byte("SSH-2.0-OpenSSH_9.2p1\r\n")); drain(conn) },
			Want{Code: probe.CodeProtocolMismatch, Phase: probe.PhaseProtocol, Looks: "ssh"},
		},
		{"is busy", s.Busy, Want{Code: probe.CodeTooManyConnections, Phase: probe.PhaseProtocol}},
	} {
		expected, ok := s.expected(tc.name, tc.want)
		if tc.want = expected; !ok || tc.serve == nil {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server := Serve(t, func(_ *Server, conn net.Conn) { tc.serve(conn) })
			target, called := s.target(server.Addr), 0
			target.BeforeLogin = func(context.Context) error { called++; return nil }
			r := s.check(t, target, tc.want)
			most := 1
			if s.AsksAgain && tc.want.Code == probe.CodeClosedNoReply {
				most = 2
			}
			if n := server.Accepted(); n < 1 || n > most {
				t.Errorf("%d connections were made, want 1 to %d", n, most)
			}
			if before := tc.want.Phase == probe.PhaseProtocol; before && (called != 0 || r.LoginSent) {
				t.Errorf("the login hook was called %d times, login sent %v; want neither", called, r.LoginSent)
			}
		})
	}
}

// pause lets what was done before arrive: a reset overtakes it.
func pause() { <-time.After(50 * time.Millisecond) }

// tls: encryption that fails, and how strict we are with what does not.
func (s *Suite) tls(t *testing.T) {
	t.Parallel()
	ours, rogue := NewAuthority(t), NewAuthority(t)
	good := ours.Server(t, nil)
	wrongName := ours.Server(t, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"elsewhere.example"} })
	nameless := ours.Server(t, func(c *x509.Certificate) { c.IPAddresses, c.Subject.CommonName = nil, "127.0.0.1" })
	alone, issuer, root := ours.Below(t)
	expired := ours.Server(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	future := ours.Server(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })
	foreign := rogue.Server(t, nil)
	old := good.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	threeDES := ours.ServerWithKey(t, rsaKey(t), nil)
	threeDES.MaxVersion, threeDES.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA}

	failed := func(code probe.Code) Want { return Want{Code: code, Phase: probe.PhaseTLS} }
	ok := Want{Code: probe.CodeOK}
	for _, tc := range []struct {
		name   string
		mode   probe.Verify
		config *tls.Config
		want   Want
		warned probe.Code
	}{
		{"good certificate", probe.VerifyFull, good, ok, ""},
		{"default strictness", "", good, ok, ""},
		{"wrong name, full", probe.VerifyFull, wrongName, failed(probe.CodeTLSNameMismatch), ""},
		{"wrong name, ca", probe.VerifyCA, wrongName, ok, probe.CodeTLSNameMismatch},
		{"common name only, full", probe.VerifyFull, nameless, failed(probe.CodeTLSCommonNameOnly), ""},
		{"chain", probe.VerifyFull, Sending(alone, issuer), ok, ""},
		{"chain incomplete", probe.VerifyCA, alone, failed(probe.CodeTLSChainIncomplete), ""},
		{"chain out of order", probe.VerifyFull, Sending(alone, root, issuer), ok, probe.CodeTLSChainOrder},
		{"negative serial number", probe.VerifyFull, ours.NegativeSerial(t), ok, probe.CodeTLSNegativeSerial},
		{"untrusted", probe.VerifyCA, foreign, failed(probe.CodeTLSUntrusted), ""},
		{"untrusted, none", probe.VerifyNone, foreign, ok, probe.CodeTLSUntrusted},
		{"expired", probe.VerifyCA, expired, failed(probe.CodeTLSExpired), ""},
		{"not yet valid", probe.VerifyFull, future, failed(probe.CodeTLSNotYetValid), ""},
		{"old version", probe.VerifyCA, old, failed(probe.CodeTLSVersion), ""},
		{"old cipher", probe.VerifyCA, threeDES, failed(probe.CodeTLSCipher), ""},
		{"not offered", probe.VerifyCA, nil, failed(probe.CodeTLSNotSupported), ""},
	} {
		expected, ok := s.expected(tc.name, tc.want)
		if tc.want = expected; !ok {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server := Serve(t, func(srv *Server, conn net.Conn) { s.Accept(srv, conn, tc.config) })
			target := s.target(server.Addr)
			target.TLS = &probe.TLS{Verify: tc.mode, Certificate: ours.PEM()}
			r := s.check(t, target, tc.want)
			s.judgeTLS(t, r, tc.config, tc.warned)
			if logins := server.Logins(); (logins == 1) != r.OK() || logins > 1 {
				t.Errorf("%d logins arrived in a test that ended with %s", logins, r.Code)
			}
		})
	}
	s.clientCertificates(t, ours, rogue, good)
	s.brokenTLS(t, ours)
}

// clientCertificates: a server that wants one gets it, or says that it does not,
// in the handshake (TLS 1.2) or after it (1.3).
func (s *Suite) clientCertificates(t *testing.T, ours, rogue *Authority, good *tls.Config) {
	t.Helper()
	for _, tc := range []struct {
		name    string
		version uint16
		trust   secret.Text
		want    Want
	}{
		{"client certificate", tls.VersionTLS12, ours.Client(t), Want{Code: probe.CodeOK}},
		{"no client certificate, TLS 1.2", tls.VersionTLS12, ours.PEM(), Want{Code: probe.CodeTLSClientCertRequired, Phase: probe.PhaseTLS}},
		{"no client certificate, TLS 1.3", tls.VersionTLS13, ours.PEM(), Want{Code: probe.CodeTLSClientCertRequired, Phase: probe.PhaseTLS}},
		{"foreign client certificate, TLS 1.2", tls.VersionTLS12, foreignClient(t, ours, rogue), Want{Code: probe.CodeTLSClientCertRejected, Phase: probe.PhaseTLS}},
		{"foreign client certificate, TLS 1.3", tls.VersionTLS13, foreignClient(t, ours, rogue), Want{Code: probe.CodeTLSClientCertRejected, Phase: probe.PhaseTLS}},
	} {
		expected, ok := s.expected(tc.name, tc.want)
		if tc.want = expected; !ok {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			config := ours.WantsClient(good, tc.version)
			server := Serve(t, func(srv *Server, conn net.Conn) { s.Accept(srv, conn, config) })
			target := s.target(server.Addr)
			target.TLS = &probe.TLS{Verify: probe.VerifyFull, Certificate: tc.trust}
			r := s.check(t, target, tc.want)
			if logins := server.Logins(); (logins == 1) != r.OK() {
				t.Errorf("%d logins arrived in a test that ended with %s", logins, r.Code)
			}
		})
	}
}

// foreignClient is a client of an authority that the server does not know, with
// the one that the client is to trust.
func foreignClient(tb testing.TB, ours, rogue *Authority) secret.Text {
	tb.Helper()
	return secret.New(rogue.Client(tb).Reveal() + ours.PEM().Reveal())
}

// judgeTLS checks warning and evidence of a handshake.
func (s *Suite) judgeTLS(t *testing.T, r probe.Report, config *tls.Config, warned probe.Code) {
	t.Helper()
	for _, row := range r.Phases {
		if row.Phase != probe.PhaseTLS || r.Phase == probe.PhaseTLS || config == nil {
			continue
		}
		wantState := probe.Passed
		if warned != "" {
			wantState = probe.Warned
		}
		if row.State != wantState || row.Code != warned {
			t.Errorf("the tls phase is %s with code %q, want %s with %q", row.State, row.Code, wantState, warned)
		}
	}
	switch r.Code {
	case probe.CodeTLSVersion, probe.CodeTLSCipher, probe.CodeTLSNotSupported:
		return // no handshake came as far as a certificate
	default:
	}
	if config == nil {
		return
	}
	e := r.Evidence.TLS
	if e == nil || e.SHA256 == "" || e.Subject == "" || e.Modes.Full != e.Verdict || (e.Verdict == probe.CodeOK) != (len(e.Findings) == 0) && warned == "" {
		t.Errorf("evidence of the handshake: %+v", e)
	}
}

// brokenTLS: handshakes that never come to a certificate.
func (s *Suite) brokenTLS(t *testing.T, ours *Authority) {
	t.Helper()
	upgraded := func(then func(conn net.Conn)) func(conn net.Conn) {
		return func(conn net.Conn) {
			if s.Upgrade == nil || s.Upgrade(conn) == nil {
				then(conn)
			}
		}
	}
	// Where nothing comes before TLS, a silent server has sent nothing at all;
	// so this one begins to answer.
	tarpit := upgraded(drain)
	if s.Upgrade == nil {
		tarpit = func(conn net.Conn) { _, _ = conn.Write([]byte{0x16, 3, 3}); drain(conn) }
	}
	for _, tc := range []struct {
		name  string
		serve func(conn net.Conn)
		want  Want
	}{
		{"tarpit", tarpit, Want{Code: probe.CodeTimeoutTLS, Phase: probe.PhaseTLS}},
		{
			"plain text where TLS was due", upgraded(func(conn net.Conn) { _, _ = conn.Write(s.Opening); drain(conn) }),
			Want{Code: probe.CodeTLSHandshake, Phase: probe.PhaseTLS},
		},
		{
			"reset where TLS was due", upgraded(func(conn net.Conn) { _, _ = conn.Read(make([]byte, 4096)); reset(conn) }),
			Want{Code: probe.CodeConnectionLost, Phase: probe.PhaseTLS},
		},
		{"silent", drain, Want{Code: probe.CodeTimeoutNoReply, Phase: probe.PhaseProtocol}},
	} {
		expected, ok := s.expected(tc.name, tc.want)
		if tc.want = expected; !ok {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server := Serve(t, func(_ *Server, conn net.Conn) { tc.serve(conn) })
			target := s.target(server.Addr)
			target.TLS = &probe.TLS{Certificate: ours.PEM()}
			s.check(t, target, tc.want)
		})
	}
}

// login: what the server says to credentials.
func (s *Suite) login(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(*probe.Target)
		want   Want
	}{
		{"right", func(*probe.Target) {}, Want{Code: probe.CodeOK}},
		{"wrong password", func(t *probe.Target) { t.Password = secret.New("wrong" + Password) }, Want{Code: probe.CodeAuthFailed, Phase: probe.PhaseLogin}},
		{"unknown user", func(t *probe.Target) { t.User = "nobody" }, Want{Code: probe.CodeAuthFailed, Phase: probe.PhaseLogin}},
		{"unknown database", func(t *probe.Target) { t.Database = "nowhere" }, Want{Code: probe.CodeDatabaseUnknown, Phase: probe.PhaseSession}},
	} {
		expected, ok := s.expected(tc.name, tc.want)
		if tc.want = expected; !ok {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server := Serve(t, func(srv *Server, conn net.Conn) { s.Accept(srv, conn, nil) })
			target := s.target(server.Addr)
			tc.change(&target)
			r := s.check(t, target, tc.want)
			if server.Logins() != 1 || server.Accepted() != 1 || !r.LoginSent || r.Retryable() {
				t.Errorf("%d logins on %d connections, sent %v, retryable %v; want 1 on 1, true, false",
					server.Logins(), server.Accepted(), r.LoginSent, r.Retryable())
			}
		})
	}
}

// hook: the login mark is set before credentials leave, once, or nothing leaves.
func (s *Suite) hook(t *testing.T) {
	t.Parallel()
	authority := NewAuthority(t)
	encrypted := authority.Server(t, nil)
	for _, tc := range []struct {
		name   string
		config *tls.Config
		tls    *probe.TLS
	}{
		{"plain", nil, nil},
		{"verified TLS", encrypted, &probe.TLS{Certificate: authority.PEM()}},
		{"unverified TLS", encrypted, &probe.TLS{Verify: probe.VerifyNone}},
	} {
		start := func(t *testing.T) (*Server, probe.Target) {
			t.Helper()
			server := Serve(t, func(srv *Server, conn net.Conn) { s.Accept(srv, conn, tc.config) })
			target := s.target(server.Addr)
			target.TLS = tc.tls
			return server, target
		}
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server, target := start(t)
			calls, before := 0, -1
			target.BeforeLogin = func(context.Context) error { calls++; before = server.Logins(); return nil }
			s.check(t, target, Want{Code: probe.CodeOK})
			if calls != 1 || before != 0 || server.Logins() != 1 {
				t.Errorf("the hook was called %d times, after %d logins, of %d in all; want 1, 0, 1", calls, before, server.Logins())
			}
		})
		t.Run(tc.name+", refused", func(t *testing.T) {
			t.Parallel()
			server, target := start(t)
			target.BeforeLogin = func(context.Context) error { return errNo }
			r, err := s.run(t.Context(), t, Policy(t), target, Timeout)
			if !errors.Is(err, errNo) || r.LoginSent {
				t.Errorf("Run() error = %v, login sent %v; want %v, false", err, r.LoginSent, errNo)
			}
			server.Wait(t)
			if n := server.Logins(); n != 0 {
				t.Errorf("%d logins were sent though the hook said no", n)
			}
		})
		t.Run(tc.name+", second address", func(t *testing.T) {
			t.Parallel()
			first, target := start(t)
			second, _ := start(t)
			target.Addresses = append(target.Addresses, s.target(second.Addr).Addresses...)
			calls := 0
			target.BeforeLogin = func(context.Context) error { calls++; return nil }
			r := s.check(t, target, Want{Code: probe.CodeOK})
			second.Wait(t)
			if calls != 1 || first.Logins() != 1 || second.Logins() != 0 || second.Accepted() != 1 || !r.Strict || len(r.Addresses) != 2 {
				t.Errorf("hook %d, logins %d and %d, connections to the second %d, strict %v, %d addresses; want 1, 1 and 0, 1, true, 2",
					calls, first.Logins(), second.Logins(), second.Accepted(), r.Strict, len(r.Addresses))
			}
		})
	}
}

// memory: a server that sends without end costs little. It runs alone.
func (s *Suite) memory(t *testing.T) {
	const most = 8 << 20
	for name, serve := range map[string]func(net.Conn){
		"never ends":           s.Endless,
		"sends a huge message": func(conn net.Conn) { _, _ = conn.Write(s.Huge); flood(conn, make([]byte, 1<<16)) },
	} {
		server := Serve(t, func(_ *Server, conn net.Conn) { serve(conn) })
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := s.run(t.Context(), t, Policy(t), s.target(server.Addr), Timeout); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > most {
			t.Errorf("%s: the test allocated %d bytes, want at most %d", name, used, most)
		}
	}
}
