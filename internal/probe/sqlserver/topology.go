package sqlserver

import (
	"context"
	"fmt"

	"dialtone/internal/probe"
)

// routed ends the test of a server that has let the login in and sends its
// clients elsewhere: a gateway of Azure SQL to a node, an availability group to
// a replica. The other address is tested as far as it goes without credentials:
// they have been judged, and there is one login per test.
func (a *attempt) routed(ctx context.Context, to probe.Address) error {
	s := a.session
	s.Enter(probe.PhaseTopology)
	s.Fact("routed_to", to.String())
	for _, m := range s.Members(ctx, []probe.Member{{Address: to, Role: "route"}}, a.prober.Probe) {
		if m.Code != probe.CodeOK {
			return probe.Fail(probe.CodeAdvertisedUnreachable, fmt.Errorf("the route ends with %s", m.Code))
		}
	}
	return nil
}
