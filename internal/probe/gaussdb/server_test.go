package gaussdb_test

import (
	"testing"

	"dialtone/internal/probe"
	"dialtone/internal/probe/gaussdb"
	"dialtone/internal/probe/probetest"
)

// Other databases are told apart before any login.
func TestOtherProducts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, addr string
		mode       probe.Verify
		looks      string
	}{
		{"PostgreSQL", "POSTGRES_ADDR", "", "postgresql"},
		{"PostgreSQL over TLS", "POSTGRES_ADDR", probe.VerifyCA, "postgresql"},
		{"MariaDB", "MARIADB_ADDR", "", "mysql"},
		{"MariaDB over TLS", "MARIADB_ADDR", probe.VerifyCA, "mysql"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			goal := probetest.RealTarget(t, probe.GaussDBv5, tc.addr, "dt_scram", "dt_login", tc.mode)
			r, err := probetest.Runner(t, gaussdb.New(gaussdb.Config{}), serverTimeout).Run(t.Context(), goal)
			if err != nil {
				t.Fatal(err)
			}
			if r.Code != probe.CodeProtocolMismatch || r.Evidence.LooksLike != tc.looks || r.LoginSent {
				t.Errorf("Run() = %s in %q, looks like %q, login sent %v; want %s, %q, false",
					r.Code, r.Phase, r.Evidence.LooksLike, r.LoginSent, probe.CodeProtocolMismatch, tc.looks)
			}
			probetest.WellFormed(t, r)
		})
	}
}
