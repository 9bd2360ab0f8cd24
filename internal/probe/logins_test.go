package probe_test

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"dialtone/internal/probe"
	"dialtone/internal/probe/probetest"
)

// TestAListGetsOneLogin: of the servers behind a list of addresses one hears
// credentials, whatever becomes of them there, and the others a hello.
func TestAListGetsOneLogin(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		then func() error
		want probe.Code
		// tested is how many of the three addresses are.
		tested int32
	}{
		{"that passes", func() error { return nil }, probe.CodeOK, 3},
		{"that is refused", func() error { return probe.Fail(probe.CodeAuthFailed, nil) }, probe.CodeAuthFailed, 1},
		{"whose outcome nobody knows", func() error { return probe.Fail(probe.CodeConnectionLost, io.EOF) }, probe.CodeConnectionLost, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var heard, logins atomic.Int32
			var servers []*probetest.Server
			var list []probe.Address
			for range 3 {
				s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
					if sent, _ := io.ReadAll(conn); len(sent) > 0 {
						logins.Add(1)
					}
					heard.Add(1)
				})
				list = append(list, probe.Address{Host: s.Addr.Addr().String(), Port: s.Addr.Port()})
				servers = append(servers, s)
			}
			logIn := scripted(func(ctx context.Context, s *probe.Session) error {
				if err := talk(ctx, s); err != nil || !s.Login {
					return err
				}
				return tc.then()
			})
			if r := run(t, logIn, toy(list...)); r.Code != tc.want || !r.LoginSent {
				t.Errorf("Run() = %s, login sent %v; want %s and true", r.Code, r.LoginSent, tc.want)
			}
			for deadline := time.Now().Add(5 * time.Second); heard.Load() < tc.tested && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond) // a poll, not a wait
			}
			for _, s := range servers {
				s.Wait(t)
			}
			if n := logins.Load(); n != 1 {
				t.Errorf("%d servers heard credentials, want 1", n)
			}
		})
	}
}
