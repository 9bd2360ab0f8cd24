package mysql

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"dialtone/internal/egress"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

// script is a server that says what it was told to, packet by packet if it can
// be cut into any, and listens to everything.
type script struct {
	net.Conn // nil: whatever else is called for is a mistake

	says  []byte
	heard bytes.Buffer
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.says) == 0 {
		return 0, io.EOF
	}
	n := len(s.says)
	if n > 4 {
		n = min(n, 4+int(s.says[0])|int(s.says[1])<<8|int(s.says[2])<<16)
	}
	n = copy(p, s.says[:n])
	s.says = s.says[n:]
	return n, nil
}

func (s *script) Write(p []byte) (int, error)      { return s.heard.Write(p) }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *script) Close() error                     { return nil }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// scripted is a Prober that talks to a script instead of the address. What the
// Runner makes of errors is not tried: it goes by what the edge has seen.
type scripted struct{ server *script }

func (p scripted) Engines() []probe.Engine { return []probe.Engine{probe.MySQL} }

func (p scripted) Probe(ctx context.Context, s *probe.Session) error {
	a := &attempt{session: s}
	c := a.config(ctx)
	c.DialFunc = func(context.Context, string, string) (net.Conn, error) { return a.receive(ctx, p.server) }
	err := a.run(ctx, c)
	return a.judge(cmp.Or(a.refusal, err))
}

const fuzzPassword = "a-password-of-some-length"

// Whatever a server says in plain text, the driver behind us does not panic,
// and no password leaves that the server could read.
func FuzzDialogue(f *testing.F) {
	const (
		ok     = "\x00\x00\x00\x02\x00\x00\x00"
		nonce  = "abcdefghijklmnopqrst\x00"
		denied = "\xff\x15\x04#28000Access denied"
	)
	numbered := func(plugin string, bodies ...string) []byte {
		b := packet(greetingOf("8.0.36", usual, plugin)[4:])
		for i, body := range bodies {
			b = append(b, byte(len(body)), byte(len(body)>>8), 0, byte(2*i+2))
			b = append(b, body...)
		}
		return b
	}
	for _, seed := range [][]byte{
		numbered(nativePlugin, ok), numbered(nativePlugin, denied), numbered(nativePlugin, ok, "\xfb/etc/passwd"),
		numbered(nativePlugin, "\xfemysql_clear_password\x00"), numbered(nativePlugin, "\xfe"), numbered(nativePlugin, "\xfedialog\x00Password:"),
		numbered(cachingPlugin, "\x01\x03", ok), numbered(cachingPlugin, "\x01\x04", "\x01-----BEGIN PUBLIC KEY-----\n"),
		numbered(cachingPlugin, "\xfe"+nativePlugin+"\x00"+nonce, ok), numbered(sha256Plugin, "\x01-----BEGIN PUBLIC KEY-----\n"),
		numbered(nativePlugin, "\xfeclient_ed25519\x00"+strings.Repeat("n", 32), ok),
		numbered(nativePlugin, "\xfe"+nativePlugin+"\x00abc"), numbered(nativePlugin, "\x00\xfe"), numbered(nativePlugin, "\xff\x15"), numbered(nativePlugin, "\xff\x15\x04#28"),
	} {
		f.Add(seed)
	}
	policy, err := egress.New(egress.Config{Open: true, Local: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, says []byte) {
		server := &script{says: says}
		runner, err := probe.NewRunner(policy, []probe.Prober{scripted{server}}, probe.RunnerConfig{
			Timeout: 5 * time.Second,
			OnPanic: func(_ probe.Engine, stack []byte) { t.Errorf("a panic was caught:\n%s", stack) },
		})
		if err != nil {
			t.Fatal(err)
		}
		r, err := runner.Run(t.Context(), probe.Target{
			Engine: probe.MySQL, Network: "vpc", User: "somebody", Password: secret.New(fuzzPassword), Database: "somewhere",
			Addresses: []probe.Address{{Host: "127.0.0.1", Port: 3306}},
		})
		if err != nil {
			t.Fatal(err)
		}
		heard := server.heard.String()
		if strings.Contains(heard, fuzzPassword) {
			t.Errorf("the server was sent %q", heard)
		}
		if strings.Contains(heard, "somebody") && !r.LoginSent {
			t.Error("a login has left and is not reported")
		}
	})
}
