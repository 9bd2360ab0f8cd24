package postgres_test

import (
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"dialtone/internal/probe/postgres"
	"dialtone/internal/probe/probetest"
)

// public is an authority among the system's roots.
var public *probetest.Authority

func TestMain(m *testing.M) { probetest.TrustedBySystem(m, &public) }

// A server may ask for the password in clear text.
func TestClearTextByProof(t *testing.T) {
	t.Parallel()
	for _, tc := range probetest.Proofs(t, public) {
		t.Run(tc.Name, func(t *testing.T) {
			t.Parallel()
			s := probetest.Serve(t, func(s *probetest.Server, conn net.Conn) {
				f := newFake(conn)
				if _, ok := f.startup(tc.Config); !ok {
					return
				}
				f.send(&pgproto3.AuthenticationCleartextPassword{})
				_ = f.back.SetAuthType(pgproto3.AuthTypeCleartextPassword)
				message, _ := f.back.Receive()
				if _, sent := message.(*pgproto3.PasswordMessage); !sent {
					return // a goodbye
				}
				s.Login()
				f.send(&pgproto3.AuthenticationOk{}, ready())
				f.statements()
			})
			goal := target(s)
			goal.TLS = &tc.TLS
			r := probeIt(t, postgres.New(postgres.Config{}), goal)
			s.Wait(t)
			if r.Code != tc.Code || (s.Logins() == 1) != tc.Shown() || r.LoginSent != tc.Shown() {
				t.Errorf("Run() = %s in %q, sent %v, %d passwords; want %s", r.Code, r.Phase, r.LoginSent, s.Logins(), tc.Code)
			}
		})
	}
}
