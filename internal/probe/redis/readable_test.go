package redis_test

import (
	"crypto/x509"
	"net"
	"strings"
	"sync"
	"testing"

	"dialtone/internal/probe"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/probe/redis"
	"dialtone/internal/probe/redis/redistest"
	"dialtone/internal/secret"
)

// public is an authority among the system's roots.
var public *probetest.Authority

// target is an account on a server of the test.
func target(addr *probetest.Server, engine probe.Engine) probe.Target {
	return probe.Target{
		Engine: engine, Network: "vpc", User: probetest.User, Password: secret.New(probetest.Password),
		Addresses: []probe.Address{{Host: addr.Addr.Addr().String(), Port: addr.Addr.Port()}},
	}
}

// heard keeps the commands that a server was sent.
type heard struct {
	mu       sync.Mutex
	commands []string
}

func (h *heard) command(words []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.commands = append(h.commands, strings.Join(words, " "))
}

func (h *heard) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.commands
}

// A password goes to a server that has proven to be the one meant, by its name
// or by a certificate of the caller's own authority; else only where it is
// permitted.
func TestPasswordByProof(t *testing.T) {
	t.Parallel()
	elsewhere := func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"elsewhere.example"} }
	own := probetest.NewAuthority(t)
	const refused, ok = probe.CodeInsecureLogin, probe.CodeOK
	for _, tc := range []struct {
		name      string
		authority *probetest.Authority
		change    func(*x509.Certificate)
		tls       *probe.TLS
		cfg       redis.Config
		code      probe.Code
	}{
		{"plain", nil, nil, nil, redis.Config{}, refused},
		{"plain, permitted", nil, nil, nil, lenient, ok},
		{"system's roots, another name", public, elsewhere, &probe.TLS{Verify: probe.VerifyCA}, redis.Config{}, refused},
		{"system's roots, another name, permitted", public, elsewhere, &probe.TLS{Verify: probe.VerifyCA}, lenient, ok},
		{"system's roots, by default", public, nil, &probe.TLS{}, redis.Config{}, refused},
		{"system's roots and the name", public, nil, &probe.TLS{Verify: probe.VerifyFull}, redis.Config{}, ok},
		{"system's roots, the wrong name", public, elsewhere, &probe.TLS{Verify: probe.VerifyFull}, lenient, probe.CodeTLSNameMismatch},
		{"own authority, another name", own, elsewhere, &probe.TLS{Verify: probe.VerifyCA, Certificate: own.PEM()}, redis.Config{}, ok},
		{"own authority, not asked", own, nil, &probe.TLS{Verify: probe.VerifyNone, Certificate: own.PEM()}, redis.Config{}, refused},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			log := &heard{}
			fake := &redistest.Server{Users: map[string]string{probetest.User: probetest.Password}, OnCommand: log.command}
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
				if tc.authority == nil {
					serve(fake, conn, nil)
					return
				}
				serve(fake, conn, tc.authority.Server(t, tc.change))
			})
			goal := target(s, probe.Redis)
			goal.TLS = tc.tls
			r := run(t, tc.cfg, goal, probetest.Timeout)
			s.Wait(t)
			got := strings.Contains(strings.Join(log.all(), "\n"), probetest.Password)
			if r.Code != tc.code || got != (tc.code == ok) || r.LoginSent != got {
				t.Errorf("Run() = %s in %q, login sent %v, the server got the password: %v; want %s", r.Code, r.Phase, r.LoginSent, got, tc.code)
			}
		})
	}
}

// The order of a good test, and its goodbye.
func TestOrder(t *testing.T) {
	t.Parallel()
	log := &heard{}
	fake := &redistest.Server{Users: map[string]string{"default": "pw"}, OnCommand: log.command}
	s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) { fake.Serve(conn) })
	goal := target(s, probe.Redis)
	goal.User, goal.Password, goal.Database = "", secret.New("pw"), "7"
	if r := run(t, redis.Config{AllowRecoverable: true, ProgramName: "my probe"}, goal, probetest.Timeout); !r.OK() || r.Evidence.Mechanism != "password" {
		t.Errorf("Run() = %s, by %q", r.Code, r.Evidence.Mechanism)
	}
	s.Wait(t)
	const want = "PING|AUTH pw|CLIENT SETNAME my_probe|PING|INFO replication|INFO server|SELECT 7|QUIT"
	if got := strings.Join(log.all(), "|"); got != want {
		t.Errorf("the server heard %s, want %s", got, want)
	}
}
