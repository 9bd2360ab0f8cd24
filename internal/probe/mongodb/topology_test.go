package mongodb_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"dialtone/internal/probe"
	"dialtone/internal/probe/mongodb"
	"dialtone/internal/probe/mongodb/mongodbtest"
	"dialtone/internal/probe/probetest"
)

// set starts a replica set whose members know the account.
func set(t *testing.T, name string, roles ...mongodbtest.Role) []*mongodbtest.Running {
	t.Helper()
	return mongodbtest.StartSet(t, name, func(s *mongodbtest.Server) { s.Users = account() }, roles...)
}

// members is the evidence of the members in short.
func members(r probe.Report) string {
	var all []string
	for _, m := range r.Evidence.Members {
		all = append(all, m.Role+":"+string(m.Code))
	}
	return strings.Join(all, " ")
}

const (
	standalone = mongodbtest.Standalone
	primary    = mongodbtest.Primary
	secondary  = mongodbtest.Secondary
	arbiter    = mongodbtest.Arbiter
	hidden     = mongodbtest.Hidden
	recovering = mongodbtest.Recovering
	pending    = mongodbtest.Uninitiated
	mongos     = mongodbtest.Mongos
)

func TestReplicaSet(t *testing.T) {
	t.Parallel()
	const (
		ok          = probe.CodeOK
		unreachable = probe.CodeAdvertisedUnreachable
		topology    = probe.PhaseTopology
	)
	for _, tc := range []struct {
		name  string
		roles []mongodbtest.Role
		// listed are the members whose addresses the caller gives, stopped
		// those that are down.
		listed, stopped []int
		code            probe.Code
		phase           probe.Phase
		warned          probe.Code
		members         string
		role            string
	}{
		{"the primary", []mongodbtest.Role{primary, secondary, secondary}, []int{0}, nil, ok, "", "", "secondary:ok secondary:ok", "primary"},
		{"a secondary", []mongodbtest.Role{primary, secondary, secondary}, []int{1}, nil, ok, "", "", "primary:ok secondary:ok", "secondary"},
		{"all of them", []mongodbtest.Role{secondary, primary, secondary}, []int{0, 1, 2}, nil, ok, "", "", "primary:ok secondary:ok", "secondary"},
		{"a hidden member", []mongodbtest.Role{primary, hidden}, []int{1}, nil, ok, "", "", "primary:ok", "hidden"},
		{"a set of one", []mongodbtest.Role{primary}, []int{0}, nil, ok, "", "", "", "primary"},
		{
			"a secondary is down",
			[]mongodbtest.Role{primary, secondary, secondary},
			[]int{0},
			[]int{2},
			ok, "", unreachable, "secondary:ok secondary:connection_refused", "primary",
		},
		{
			"the primary is down",
			[]mongodbtest.Role{primary, secondary, secondary},
			[]int{1},
			[]int{0},
			unreachable, topology, "", "primary:connection_refused secondary:ok", "secondary",
		},
		{
			"the primary is down and was listed first",
			[]mongodbtest.Role{primary, secondary},
			[]int{0, 1},
			[]int{0},
			unreachable, topology, "", "primary:connection_refused listed address:connection_refused", "secondary",
		},
		{"no primary", []mongodbtest.Role{secondary, secondary}, []int{0}, nil, probe.CodeServerNotReady, topology, "", "", "secondary"},
		{
			"a secondary is recovering",
			[]mongodbtest.Role{primary, recovering},
			[]int{0},
			nil,
			ok, "", probe.CodeServerNotReady, "secondary:server_not_ready", "primary",
		},
		{"recovering itself", []mongodbtest.Role{primary, recovering}, []int{1}, nil, probe.CodeServerNotReady, probe.PhaseProtocol, "", "", "recovering"},
		{"an arbiter", []mongodbtest.Role{primary, arbiter}, []int{1}, nil, probe.CodeTopologyMismatch, probe.PhaseProtocol, "", "", "arbiter"},
		{"never initiated", []mongodbtest.Role{pending}, []int{0}, nil, probe.CodeServerNotReady, probe.PhaseProtocol, "", "", "uninitiated"},
		// The login goes to the next address.
		{"an arbiter listed first", []mongodbtest.Role{arbiter, primary}, []int{0, 1}, nil, ok, "", "", "", "primary"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			servers := set(t, "rs0", tc.roles...)
			var listed []*mongodbtest.Running
			for _, i := range tc.listed {
				listed = append(listed, servers[i])
			}
			for _, i := range tc.stopped {
				servers[i].Stop()
			}
			r := test(t, at(t, listed...))
			if r.Code != tc.code || r.Phase != tc.phase || members(r) != tc.members || r.Evidence.Facts["role"] != tc.role {
				t.Errorf("Run() = %s in %q at a %s, members %q; want %s in %q at a %s, members %q",
					r.Code, r.Phase, r.Evidence.Facts["role"], members(r), tc.code, tc.phase, tc.role, tc.members)
			}
			var warnings []probe.Code
			if tc.warned != "" {
				warnings = []probe.Code{tc.warned}
			}
			if !slices.Equal(r.Evidence.Warnings, warnings) {
				t.Errorf("warnings %v, want %v", r.Evidence.Warnings, warnings)
			}
		})
	}
}

// TestListedTogether: what is listed for one target must be one deployment.
func TestListedTogether(t *testing.T) {
	t.Parallel()
	one := func(t *testing.T, role mongodbtest.Role) *mongodbtest.Running {
		t.Helper()
		return mongodbtest.Start(t, &mongodbtest.Server{Role: role, Users: account()})
	}
	for _, tc := range []struct {
		name  string
		start func(t *testing.T) (first, second *mongodbtest.Running)
		want  probe.Code
		other string
	}{
		{"two mongos", func(t *testing.T) (first, second *mongodbtest.Running) {
			t.Helper()
			return one(t, mongos), one(t, mongos)
		}, probe.CodeOK, ""},
		{"a mongos and a shard", func(t *testing.T) (first, second *mongodbtest.Running) {
			t.Helper()
			return one(t, mongos), set(t, "shard1", primary)[0]
		}, probe.CodeTopologyMismatch, "replica set shard1"},
		{"two sets", func(t *testing.T) (first, second *mongodbtest.Running) {
			t.Helper()
			return set(t, "rs0", primary)[0], set(t, "rs1", primary)[0]
		}, probe.CodeTopologyMismatch, "replica set rs1"},
		{"two sets of one name", func(t *testing.T) (first, second *mongodbtest.Running) {
			t.Helper()
			return set(t, "rs0", primary)[0], set(t, "rs0", primary)[0]
		}, probe.CodeTopologyMismatch, "replica set rs0"},
		{"a set and a server outside of it", func(t *testing.T) (first, second *mongodbtest.Running) {
			t.Helper()
			return set(t, "rs0", primary)[0], one(t, standalone)
		}, probe.CodeTopologyMismatch, "standalone server"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			first, second := tc.start(t)
			r := test(t, at(t, first, second))
			want := ""
			if tc.other != "" {
				want = second.Addr + " (" + tc.other + ")"
			}
			if r.Code != tc.want || r.Evidence.Facts["does_not_belong"] != want || r.Strict != r.OK() {
				t.Errorf("Run() = %s, strict %v, does_not_belong %q; want %s, %q", r.Code, r.Strict, r.Evidence.Facts["does_not_belong"], tc.want, want)
			}
			if len(r.Addresses) != 2 || r.Addresses[1].Code != tc.want {
				t.Errorf("the addresses: %+v", r.Addresses)
			}
		})
	}
}

// TestAnotherNameInside: the set has names for its members that lead nowhere
// from here, as behind a NAT. What the caller listed works all the same.
func TestAnotherNameInside(t *testing.T) {
	t.Parallel()
	inside := []string{"mongo-1.invalid:27017", "mongo-2.invalid:27017"}
	member := func(t *testing.T, role mongodbtest.Role, i int) *mongodbtest.Running {
		t.Helper()
		return mongodbtest.Start(t, &mongodbtest.Server{
			Role: role, Set: "rs0", Members: inside, Me: inside[i], Leader: inside[0], Users: account(),
		})
	}
	first, second := member(t, primary, 0), member(t, secondary, 1)
	for _, tc := range []struct {
		name   string
		listed []*mongodbtest.Running
		want   probe.Code
	}{
		{"the primary", []*mongodbtest.Running{first}, probe.CodeOK},
		{"the secondary alone", []*mongodbtest.Running{second}, probe.CodeAdvertisedUnreachable},
		{"the secondary first", []*mongodbtest.Running{second, first}, probe.CodeOK},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := test(t, at(t, tc.listed...))
			if r.Code != tc.want || !slices.Equal(r.Evidence.Warnings, []probe.Code{probe.CodeAdvertisedUnreachable}) {
				t.Errorf("Run() = %s in %q with warnings %v, members %s; want %s", r.Code, r.Phase, r.Evidence.Warnings, members(r), tc.want)
			}
		})
	}
}

// TestStrangerAtAMember: somebody else answers at the name of a member.
func TestStrangerAtAMember(t *testing.T) {
	t.Parallel()
	stranger := set(t, "rs0", primary)[0]
	for _, tc := range []struct {
		name   string
		role   mongodbtest.Role
		leader bool
		want   probe.Code
	}{
		{"the primary", secondary, true, probe.CodeTopologyMismatch},
		{"a secondary", primary, false, probe.CodeOK},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			seed := &mongodbtest.Server{Role: tc.role, Set: "rs1", Members: []string{"me.invalid:1", stranger.Addr}, Me: "me.invalid:1", Users: account()}
			if tc.leader {
				seed.Leader = stranger.Addr
			}
			r := test(t, at(t, mongodbtest.Start(t, seed)))
			i := slices.IndexFunc(r.Evidence.Members, func(m probe.MemberResult) bool { return m.Address == stranger.Addr })
			if r.Code != tc.want || i < 0 || r.Evidence.Members[i].Code != probe.CodeTopologyMismatch ||
				r.OK() != slices.Contains(r.Evidence.Warnings, probe.CodeTopologyMismatch) {
				t.Errorf("Run() = %s in %q with warnings %v, members %v; want %s", r.Code, r.Phase, r.Evidence.Warnings, r.Evidence.Members, tc.want)
			}
		})
	}
}

// TestForbiddenMember: what the set names is dialled only if policy allows it.
func TestForbiddenMember(t *testing.T) {
	t.Parallel()
	trap := probetest.Serve(t, nil)
	for _, tc := range []struct {
		name string
		role mongodbtest.Role
		want probe.Code
	}{
		{"the primary", secondary, probe.CodeTargetNotAllowed},
		{"a secondary", primary, probe.CodeOK},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			seed := mongodbtest.Start(t, &mongodbtest.Server{
				Role: tc.role, Set: "rs0", Members: []string{trap.Addr.String()}, Leader: trap.Addr.String(), Me: "me.invalid:1",
			})
			policy := probetest.Only(t, netip.MustParseAddrPort(seed.Addr))
			runner, err := probe.NewRunner(policy, []probe.Prober{mongodb.New(mongodb.Config{})}, probe.RunnerConfig{Timeout: timeout})
			if err != nil {
				t.Fatal(err)
			}
			target := at(t, seed)
			target.User = ""
			r, err := runner.Run(t.Context(), target)
			if err != nil || r.Code != tc.want || len(r.Evidence.Members) != 1 || r.Evidence.Members[0].Code != probe.CodeTargetNotAllowed {
				t.Errorf("Run() = %s in %q, members %s, error %v; want %s", r.Code, r.Phase, members(r), err, tc.want)
			}
			if n := trap.Accepted(); n != 0 {
				t.Errorf("%d connections were made to a forbidden member", n)
			}
		})
	}
}

// TestManyMembers: a server cannot have us dial as many addresses as it likes.
func TestManyMembers(t *testing.T) {
	t.Parallel()
	many := make([]string, 5000)
	for i := range many {
		many[i] = "127.0.0.1:1"
	}
	many[0], many[1], many[2] = "no port", ":27017", "h:99999"
	seed := mongodbtest.Start(t, &mongodbtest.Server{Role: primary, Set: "rs0", Members: many, Users: account()})
	r := test(t, at(t, seed))
	if !r.OK() || len(r.Evidence.Members) != 32 || r.Evidence.Facts["members_left_out"] != "true" {
		t.Errorf("Run() = %s with %d members, facts %v", r.Code, len(r.Evidence.Members), r.Evidence.Facts)
	}
	// And none of what it says about them is believed if it is too long.
	bulky := mongodbtest.Start(t, &mongodbtest.Server{Reply: map[string]func(bson.D) bson.D{"isMaster": func(d bson.D) bson.D {
		return append(d, bson.E{Key: "more", Value: strings.Repeat("x", 300<<10)})
	}}})
	if r := test(t, at(t, bulky)); r.Code != probe.CodeProtocolMismatch {
		t.Errorf("a hello of 300 KB: %s", r.Code)
	}
}
