package probe_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/probe"
	"dialtone/internal/probe/probetest"
)

// advertise logs in and then tests the members that the server is said to name.
func advertise(prove scripted, members ...probe.Member) scripted {
	return func(ctx context.Context, s *probe.Session) error {
		if err := talk(ctx, s); err != nil {
			return err
		}
		s.Enter(probe.PhaseTopology)
		for _, m := range s.Members(ctx, members, prove) {
			if m.Code != probe.CodeOK {
				return probe.Fail(probe.CodeAdvertisedUnreachable, nil)
			}
		}
		return nil
	}
}

func TestMembers(t *testing.T) {
	t.Parallel()
	alive, dead := quiet(t), refusing(t)
	unknown := probe.Address{Host: "no-such-host.invalid", Port: 1}
	r := run(t, advertise(talk, probe.Member{Address: alive, Role: "broker 1"}, probe.Member{Address: dead, Role: "broker 2"}), toy(quiet(t)))
	if r.Code != probe.CodeAdvertisedUnreachable || r.Phase != probe.PhaseTopology || !r.LoginSent {
		t.Errorf("Run() = %s in %q, login sent %v; want %s in %q, true",
			r.Code, r.Phase, r.LoginSent, probe.CodeAdvertisedUnreachable, probe.PhaseTopology)
	}
	want := []probe.MemberResult{
		{Address: alive.String(), Role: "broker 1", Code: probe.CodeOK, Reached: probe.PhaseProtocol},
		{Address: dead.String(), Role: "broker 2", Code: probe.CodeConnectionRefused, Reached: probe.PhasePolicy},
	}
	if diff := cmp.Diff(want, r.Evidence.Members); diff != "" {
		t.Errorf("the members in the evidence (-want +got):\n%s", diff)
	}
	if r := run(t, advertise(talk, probe.Member{Address: unknown}), toy(quiet(t))); r.Evidence.Members[0].Reached != probe.PhasePolicy || r.OK() {
		t.Errorf("a name that does not resolve: %+v", r.Evidence.Members[0])
	}
	if r := run(t, advertise(talk, probe.Member{Address: alive}), toy(quiet(t))); !r.OK() {
		t.Errorf("Run() = %s, want ok when every member answers", r.Code)
	}
}

// TestMemberNeverLogsIn: a member that asks for the login mark is refused it.
func TestMemberNeverLogsIn(t *testing.T) {
	t.Parallel()
	calls := 0
	pushy := func(ctx context.Context, s *probe.Session) error { s.Login = true; return talk(ctx, s) }
	target := toy(quiet(t))
	target.BeforeLogin = func(context.Context) error { calls++; return nil }
	r := run(t, advertise(pushy, probe.Member{Address: quiet(t)}), target)
	if calls != 1 || r.Evidence.Members[0].Code == probe.CodeOK {
		t.Errorf("%d logins were permitted, the member says %s; want 1 and a failure", calls, r.Evidence.Members[0].Code)
	}
}

// TestForbiddenMember: what a server advertises is dialled only if the policy
// would allow it to a caller.
func TestForbiddenMember(t *testing.T) {
	t.Parallel()
	trap := probetest.Serve(t, func(*probetest.Server, net.Conn) {})
	seed := quiet(t)
	policy := probetest.Only(t, netip.MustParseAddrPort(seed.String()))
	member := probe.Member{Address: probe.Address{Host: "127.0.0.1", Port: trap.Addr.Port()}}
	runner, err := probe.NewRunner(policy, []probe.Prober{advertise(talk, member)}, probe.RunnerConfig{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	r, err := runner.Run(t.Context(), toy(seed))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Evidence.Members) != 1 || r.Evidence.Members[0].Code != probe.CodeTargetNotAllowed || trap.Accepted() != 0 {
		t.Errorf("members %+v, %d connections to the forbidden one; want %s and none", r.Evidence.Members, trap.Accepted(), probe.CodeTargetNotAllowed)
	}
}

func TestMembersAreBounded(t *testing.T) {
	t.Parallel()
	r := run(t, advertise(talk, make([]probe.Member, 100)...), toy(quiet(t)))
	if len(r.Evidence.Members) != 32 || r.Evidence.Facts["members_left_out"] != "true" {
		t.Errorf("%d members were tested, facts %v; want 32, and a word of the rest", len(r.Evidence.Members), r.Evidence.Facts)
	}
}
