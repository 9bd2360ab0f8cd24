package redis_test

import (
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

// Every password of Redis can be read by the server. Where that is permitted, it
// goes to any.
func TestPasswordByProof(t *testing.T) {
	t.Parallel()
	type trial struct {
		probetest.Proof
		cfg redis.Config
	}
	trials := []trial{
		{probetest.Proof{Name: "plain", Code: probe.CodeInsecureLogin}, redis.Config{}},
		{probetest.Proof{Name: "plain, permitted", Code: probe.CodeOK}, lenient},
	}
	for _, proof := range probetest.Proofs(t, public) {
		trials = append(trials, trial{proof, redis.Config{}})
		proof.Name += ", permitted"
		if proof.Code == probe.CodeInsecureLogin {
			proof.Code = probe.CodeOK
		}
		trials = append(trials, trial{proof, lenient})
	}
	for _, tc := range trials {
		t.Run(tc.Name, func(t *testing.T) {
			t.Parallel()
			log := &heard{}
			fake := &redistest.Server{Users: map[string]string{probetest.User: probetest.Password}, OnCommand: log.command}
			s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) { serve(fake, conn, tc.Config) })
			goal := target(s, probe.Redis)
			if tc.Config != nil {
				goal.TLS = &tc.TLS
			}
			r := run(t, tc.cfg, goal, probetest.Timeout)
			s.Wait(t)
			got := strings.Contains(strings.Join(log.all(), "\n"), probetest.Password)
			if r.Code != tc.Code || got != tc.Shown() || r.LoginSent != got {
				t.Errorf("Run() = %s in %q, login sent %v, the server got the password: %v; want %s", r.Code, r.Phase, r.LoginSent, got, tc.Code)
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
