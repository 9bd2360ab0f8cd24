package matrix_test

import (
	"net"
	"testing"

	"dialtone/internal/batch"
	"dialtone/internal/probe/oracle/oracletest"
)

// No Oracle can be had here: all of it is played, by a server into which
// python-oracledb and go-ora log in.
func oracleScenarios() map[string]scenario {
	is := func(change func(t *testing.T, s *oracletest.Server)) base {
		return func(t *testing.T) batch.Endpoint {
			t.Helper()
			s := oracletest.Server{User: testUser, Password: testPassword}
			if change != nil {
				change(t, &s)
			}
			return played(t, "oracle", func(conn net.Conn) { s.Serve(t.Context(), conn) })
		}
	}
	release := func(r oracletest.Release) scenario {
		return scenario(is(func(_ *testing.T, s *oracletest.Server) { s.Release = r }))
	}
	refuses := func(number int) scenario {
		return scenario(is(func(_ *testing.T, s *oracletest.Server) { s.Refuse = number }))
	}
	ends := func(number int) scenario {
		return scenario(is(func(_ *testing.T, s *oracletest.Server) { s.Error = number }))
	}
	b := is(nil)
	tcps := is(func(t *testing.T, s *oracletest.Server) { s.TLS = identity(t) })
	secured := base(tcps.tls("ca.pem"))
	return merge(b.network(), tcps.certificates(), map[string]scenario{
		"right": scenario(b),
		"right, 11g": scenario(is(func(_ *testing.T, s *oracletest.Server) {
			s.Release, s.Verifier = oracletest.Release11, oracletest.Verifier11g
		})),
		"right, 12c":                release(oracletest.Release12),
		"right, 23ai":               release(oracletest.Release23),
		"right, TCPS":               scenario(secured),
		"right, password expires":   scenario(is(func(_ *testing.T, s *oracletest.Server) { s.Warning = 28002 })),
		"wrong password":            b.wrongPassword(),
		"wrong password, TCPS":      secured.wrongPassword(),
		"unknown user":              b.user("nobody"),
		"unknown database":          b.database("nowhere"),
		"SID in place of a service": b.database(oracletest.DefaultSID),
		"SID unknown to listener":   refuses(12505),
		"no handler":                refuses(12516),
		"no handler left":           refuses(12520),
		"instance restricted":       refuses(12526),
		"instances blocked":         refuses(12528),
		"no instance behind it":     refuses(12541),
		"account locked":            ends(28000),
		"password expired":          ends(28001),
		"no right to a session":     ends(1045),
		"too many processes":        ends(20),
		"native encryption wanted":  scenario(is(func(_ *testing.T, s *oracletest.Server) { s.NativeEncryption = true })),
		"10g verifier":              scenario(is(func(_ *testing.T, s *oracletest.Server) { s.Verifier = oracletest.Verifier10g })),
		"hostile rounds":            scenario(is(func(_ *testing.T, s *oracletest.Server) { s.Rounds, s.Unhashed = 100_000_000, true })),
		"knows no password":         scenario(is(func(_ *testing.T, s *oracletest.Server) { s.Unproven = true })),
		"redirected to nowhere": scenario(is(func(_ *testing.T, s *oracletest.Server) {
			s.Redirect = "(ADDRESS=(PROTOCOL=TCP)(HOST=127.0.0.1)(PORT=9))"
		})),
		"plain to TCPS":              scenario(tcps),
		"wrong protocol":             b.at("MARIADB_ADDR"),
		"wrong protocol, PostgreSQL": b.at("POSTGRES_ADDR"),
	})
}
