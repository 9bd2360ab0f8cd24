package probe_test

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"

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
	}{
		{"that passes", func() error { return nil }, probe.CodeOK},
		{"that is refused", func() error { return probe.Fail(probe.CodeAuthFailed, nil) }, probe.CodeAuthFailed},
		{"whose outcome nobody knows", func() error { return probe.Fail(probe.CodeConnectionLost, io.EOF) }, probe.CodeConnectionLost},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var logins atomic.Int32
			var servers []*probetest.Server
			var list []probe.Address
			for range 3 {
				s := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
					if sent, _ := io.ReadAll(conn); len(sent) > 0 {
						logins.Add(1)
					}
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
			for _, s := range servers {
				s.Wait(t)
			}
			if n := logins.Load(); n != 1 {
				t.Errorf("%d servers heard credentials, want 1", n)
			}
		})
	}
}
