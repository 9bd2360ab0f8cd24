package cassandra_test

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/probe"
	"dialtone/internal/probe/cassandra"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/secret"
)

const (
	plain     = "CASSANDRA_ADDR"
	encrypted = "CASSANDRA_TLS_ADDR"
)

// Against a real Cassandra: scripts/services up cassandra.
func TestRealServer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name           string
		addr           string
		user, database string
		verify         probe.Verify
		code           probe.Code
		phase          probe.Phase
		number         string
		facts          map[string]string
	}{
		{"plain", plain, "dt_reader", "dt_login", "", probe.CodeOK, "", "", nil},
		{"no keyspace", plain, "dt_reader", "", "", probe.CodeOK, "", "", nil},
		{"full", encrypted, "dt_reader", "dt_login", probe.VerifyFull, probe.CodeOK, "", "", nil},
		{"own authority", encrypted, "dialtone", "dt_login", probe.VerifyCA, probe.CodeOK, "", "", nil},
		{"unknown keyspace", plain, "dt_reader", "nowhere", "", probe.CodeDatabaseUnknown, probe.PhaseSession, "0x2200", nil},
		{"upper case", plain, "dt_reader", "DT_LOGIN", "", probe.CodeDatabaseUnknown, probe.PhaseSession, "0x2200", map[string]string{"keyspace_has_upper_case": "true"}},
		{"may not log in", plain, "dt_nologin", "dt_login", "", probe.CodeAccountLocked, probe.PhaseLogin, "0x0100", nil},
		{"unknown user", plain, "dt_nobody", "dt_login", "", probe.CodeAuthFailed, probe.PhaseLogin, "0x0100", nil},
		{"accounts are away", plain, "cassandra", "dt_login", "", probe.CodeServerNotReady, probe.PhaseLogin, "0x0100", nil},
		{"another data centre's", plain, "dt_elsewhere", "dt_login", "", probe.CodePermissionDenied, probe.PhaseSession, "0x2100", map[string]string{"denied_by": "datacenter"}},
		{"another address's", plain, "dt_office", "", "", probe.CodePermissionDenied, probe.PhaseSession, "0x2100", map[string]string{"denied_by": "address"}},
		{"TLS not offered", plain, "dt_reader", "dt_login", probe.VerifyCA, probe.CodeTLSNotSupported, probe.PhaseTLS, "", nil},
		// It closes what is no handshake, and says nothing.
		{"TLS required", encrypted, "dt_reader", "dt_login", "", probe.CodeClosedNoReply, probe.PhaseProtocol, "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			goal := probetest.RealTarget(t, probe.Cassandra, tc.addr, tc.user, tc.database, tc.verify)
			r := probeReal(t, permissive(), goal)
			if r.Code != tc.code || r.Phase != tc.phase || r.Evidence.ServerCode != tc.number {
				t.Errorf("Run() = %s in %q, server's code %q; want %s in %q, %q (%s)",
					r.Code, r.Phase, r.Evidence.ServerCode, tc.code, tc.phase, tc.number, r.Evidence.ServerText)
			}
			for name, want := range tc.facts {
				if got := r.Evidence.Facts[name]; got != want {
					t.Errorf("fact %s = %q, want %q", name, got, want)
				}
			}
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		t.Parallel()
		goal := probetest.RealTarget(t, probe.Cassandra, plain, "dt_reader", "dt_login", "")
		goal.Password = secret.New("wrong " + goal.Password.Reveal())
		if r := probeReal(t, permissive(), goal); r.Code != probe.CodeAuthFailed || !r.LoginSent {
			t.Errorf("Run() = %s, login sent %v", r.Code, r.LoginSent)
		}
	})
	t.Run("not in plain text", func(t *testing.T) {
		t.Parallel()
		goal := probetest.RealTarget(t, probe.Cassandra, plain, "dt_reader", "dt_login", "")
		if r := probeReal(t, cassandra.New(cassandra.Config{}), goal); r.Code != probe.CodeInsecureLogin || r.LoginSent {
			t.Errorf("Run() = %s, login sent %v", r.Code, r.LoginSent)
		}
	})
}

// What the real one tells of itself, and the node that it names.
func TestRealEvidence(t *testing.T) {
	t.Parallel()
	goal := probetest.RealTarget(t, probe.Cassandra, plain, "dt_reader", "dt_login", "")
	r := probeReal(t, permissive(), goal)
	got := maps.Clone(r.Evidence.Facts)
	delete(got, "protocol_versions")
	want := map[string]string{
		"cluster_name": "dialtone", "data_center": "datacenter1", "protocol_version": "4", "peers": "1", "peers_elsewhere": "1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	if r.Evidence.Product != "Cassandra" || r.Evidence.Version == "" || r.Evidence.Mechanism != "PasswordAuthenticator" {
		t.Errorf("evidence: %q %q by %q", r.Evidence.Product, r.Evidence.Version, r.Evidence.Mechanism)
	}
	members := []probe.MemberResult{{Address: goal.Addresses[0].String(), Role: "node", Code: probe.CodeOK, Reached: probe.PhaseProtocol}}
	if diff := cmp.Diff(members, r.Evidence.Members); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
}

// Every version that we speak, spoken to the real one.
func TestRealVersions(t *testing.T) {
	t.Parallel()
	for version, name := range map[byte]string{3: "3", 4: "4", 5: "5"} {
		t.Run("v"+name, func(t *testing.T) {
			t.Parallel()
			goal := probetest.RealTarget(t, probe.Cassandra, encrypted, "dt_reader", "dt_login", probe.VerifyFull)
			r := probeReal(t, cassandra.NewSpeaking(version), goal)
			if !r.OK() || r.Evidence.Facts["protocol_version"] != name {
				t.Errorf("Run() = %s by version %q, want ok by %s (%s)", r.Code, r.Evidence.Facts["protocol_version"], name, r.Evidence.ServerText)
			}
		})
	}
}

// probeReal gives the real one more time than a script needs.
func probeReal(t *testing.T, p probe.Prober, target probe.Target) probe.Report {
	t.Helper()
	r, err := probetest.Runner(t, p, 10*probetest.Timeout).Run(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	probetest.WellFormed(t, r)
	probetest.NoSecrets(t, target, r)
	return r
}
