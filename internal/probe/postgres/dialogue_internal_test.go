package postgres

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"io"
	"net"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"dialtone/internal/egress"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

// script is a server that says what it was told to, message by message if it
// can be cut into any, and listens to everything.
type script struct {
	net.Conn // nil: whatever else is called for is a mistake

	// The driver closes a connection from a goroutine of its own.
	mu    sync.Mutex
	says  []byte
	heard bytes.Buffer
}

// sent is what was heard so far.
func (s *script) sent() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.heard.Bytes())
}

func (s *script) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.says) == 0 {
		return 0, io.EOF
	}
	n := len(s.says)
	if n > 5 {
		n = min(n, 1+int(binary.BigEndian.Uint32(s.says[1:])&0xffff))
	}
	n = copy(p, s.says[:n])
	s.says = s.says[n:]
	return n, nil
}

func (s *script) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard.Write(p)
}

func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *script) Close() error                     { return nil }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// scripted is a Prober that talks to a script instead of the address. What the
// Runner makes of errors is not tried: it goes by what the edge has seen.
type scripted struct {
	server   *script
	template *pgconn.Config
}

func (p scripted) Engines() []probe.Engine { return []probe.Engine{probe.PostgreSQL} }

func (p scripted) Probe(ctx context.Context, s *probe.Session) error {
	a := &attempt{session: s, socket: &socket{Conn: p.server}}
	c := p.template.Copy()
	a.configure(ctx, c)
	c.DialFunc = func(context.Context, string, string) (net.Conn, error) {
		if a.dialled.Swap(true) {
			return nil, errSecondDial
		}
		return a.socket, nil
	}
	conn, err := pgconn.ConnectConfig(ctx, c)
	if err == nil {
		err = conn.Ping(ctx)
		_ = conn.Close(ctx)
		<-conn.CleanupDone()
	}
	return a.judge(cmp.Or(a.refusal, err))
}

const fuzzPassword = "a-password-of-some-length"

// Whatever a server says in plain text, the driver behind us does not panic,
// no password leaves that the server could read, and nothing without the mark.
func FuzzDialogue(f *testing.F) {
	message := func(kind byte, body string) string {
		return string(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))) + body
	}
	auth := func(kind byte, rest string) string { return message('R', "\x00\x00\x00"+string(kind)+rest) }
	let, ready := auth(authOK, ""), message('Z', "I")
	for _, seed := range []string{
		let + message('S', "server_version\x0015.2\x00") + message('K', "\x00\x00\x00\x01\x00\x00\x00\x02") + ready + message('I', "") + ready,
		auth(authClear, "") + let + ready, auth(authMD5, "salt") + let + ready, auth(authMD5, "salt") + auth(authMD5, "salt"),
		auth(authSASL, "SCRAM-SHA-256\x00\x00") + auth(authSASLMore, "r=abc,s=c2FsdA==,i=4096") + auth(authSASLFinal, "v=AAAA") + let + ready,
		auth(authSASL, "SCRAM-SHA-256\x00\x00") + let + ready, auth(authSASL, "OAUTHBEARER\x00\x00"), auth(7, ""),
		message('E', "SFATAL\x00VFATAL\x00C28P01\x00Mno\x00\x00"), message('N', "SNOTICE\x00C00000\x00Mhm\x00\x00") + let, "N", "HTTP/1.1 400 Bad Request\r\n",
		let + ready + message('T', "\x00\x01a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x17\x00\x04\xff\xff\xff\xff\x00\x00") + message('D', "\x00\x01\x00\x00\x00\x01x"),
	} {
		f.Add([]byte(seed))
	}
	policy, err := egress.New(egress.Config{Open: true, Local: true})
	if err != nil {
		f.Fatal(err)
	}
	template, err := newTemplate()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, says []byte) {
		server := &script{says: says}
		runner, err := probe.NewRunner(policy, []probe.Prober{scripted{server, template}}, probe.RunnerConfig{
			Timeout: 5 * time.Second,
			OnPanic: func(_ probe.Engine, stack []byte) { t.Errorf("a panic was caught:\n%s", stack) },
		})
		if err != nil {
			t.Fatal(err)
		}
		r, err := runner.Run(t.Context(), probe.Target{
			Engine: probe.PostgreSQL, Network: "vpc", User: "somebody", Password: secret.New(fuzzPassword), Database: "somewhere",
			Addresses: []probe.Address{{Host: "127.0.0.1", Port: 5432}},
		})
		if err != nil {
			t.Fatal(err)
		}
		heard := server.sent()
		if bytes.Contains(heard, []byte(fuzzPassword)) {
			t.Errorf("the server was sent %q", heard)
		}
		if proofs := proofsIn(t, heard); proofs > 0 != r.LoginSent || proofs > 2 {
			t.Errorf("credentials have left %d times, reported: %v", proofs, r.LoginSent)
		}
	})
}

// proofsIn counts the messages that carry credentials behind the first
// message, which has no type.
func proofsIn(t *testing.T, sent []byte) int {
	t.Helper()
	count := 0
	for kind := 0; len(sent) > 0; kind = 1 {
		if len(sent) < kind+4 || len(sent) < kind+int(binary.BigEndian.Uint32(sent[kind:])) {
			t.Fatalf("the client sent %q, which ends in half a message", sent)
		}
		if kind == 1 && sent[0] == credentials {
			count++
		}
		sent = sent[kind+int(binary.BigEndian.Uint32(sent[kind:])):]
	}
	return count
}

// What passes is what the driver reads: one number of rounds, and no more than
// the most.
func FuzzChallenge(f *testing.F) {
	for _, seed := range []string{
		"r=abc,s=c2FsdA==,i=4096", "r=abc,s=c2FsdA==,i=1000001", "r=abc,i=4096,s=c2FsdA==,i=5000000", "m=x,r=a,s=b,i=1", "r=,s=,i=+1", "r=a,s=b,i=0x10",
	} {
		f.Add([]byte(seed))
	}
	rounds := regexp.MustCompile(`i=\+?(\d+)`)
	f.Fuzz(func(t *testing.T, body []byte) {
		if challenge(body) != nil {
			return
		}
		fields := bytes.Split(body, []byte{','})
		m := rounds.FindSubmatch(fields[len(fields)-1])
		if len(fields) != 3 || m == nil {
			t.Fatalf("challenge() takes %q", body)
		}
		if n, err := strconv.Atoi(string(m[1])); err != nil || n < 1 || n > maxRounds {
			t.Errorf("challenge() takes %s rounds: %v", m[1], err)
		}
	})
}
