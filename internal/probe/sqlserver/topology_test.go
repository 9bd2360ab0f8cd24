package sqlserver_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/probe"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/probe/sqlserver"
	"dialtone/internal/probe/sqlserver/sqlservertest"
)

// A server that sends its clients elsewhere has judged the login: the other
// address is tested, as policy lets it, and gets none.
func TestRoute(t *testing.T) {
	t.Parallel()
	own := probetest.NewAuthority(t)
	config := own.Server(t, nil)
	for _, tc := range []struct {
		name   string
		closed bool // nothing listens there
		only   bool // policy allows the first address alone
		code   probe.Code
		want   probe.MemberResult
	}{
		{"reachable", false, false, probe.CodeOK, probe.MemberResult{Code: probe.CodeOK, Reached: probe.PhaseProtocol}},
		{"closed", true, false, probe.CodeAdvertisedUnreachable, probe.MemberResult{Code: probe.CodeConnectionRefused, Reached: probe.PhasePolicy}},
		{"forbidden", false, true, probe.CodeAdvertisedUnreachable, probe.MemberResult{Code: probe.CodeTargetNotAllowed, Reached: probe.PhaseInput}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			there, arrived := serve(t, sqlservertest.Config{TLS: config})
			to := there.Addr
			if tc.closed {
				to = netip.MustParseAddrPort("127.0.0.1:1")
			}
			here, heard := serve(t, sqlservertest.Config{TLS: config, Route: &sqlservertest.Route{Host: to.Addr().String(), Port: to.Port()}})
			policy := probetest.Policy(t)
			if tc.only {
				policy = probetest.Only(t, here.Addr)
			}
			runner, err := probe.NewRunner(policy, []probe.Prober{sqlserver.New(sqlserver.Config{})}, probe.RunnerConfig{Timeout: probetest.Timeout})
			if err != nil {
				t.Fatal(err)
			}
			r, err := runner.Run(t.Context(), target(here, &probe.TLS{Certificate: own.PEM()}))
			if err != nil {
				t.Fatal(err)
			}
			here.Wait(t)
			there.Wait(t)
			probetest.WellFormed(t, r)
			tc.want.Address, tc.want.Role = to.String(), "route"
			if diff := cmp.Diff([]probe.MemberResult{tc.want}, r.Evidence.Members); diff != "" {
				t.Errorf("members (-want +got):\n%s", diff)
			}
			if r.Code != tc.code || r.Phase != "" && r.Phase != probe.PhaseTopology || r.Evidence.Facts["routed_to"] != to.String() {
				t.Errorf("Run() = %s in %q, facts %v; want %s", r.Code, r.Phase, r.Evidence.Facts, tc.code)
			}
			if len(heard.logins) != 1 || len(arrived.logins) != 0 || len(heard.batches) != 0 {
				t.Errorf("%d logins here and %d there, statements %v; want 1 and 0, none", len(heard.logins), len(arrived.logins), heard.batches)
			}
			if tc.only && there.Accepted() != 0 {
				t.Error("a forbidden address was dialled")
			}
		})
	}
}
