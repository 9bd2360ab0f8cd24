package probe_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/probe"
)

func TestClusterSame(t *testing.T) {
	t.Parallel()
	set := func(name string, members ...string) probe.Cluster {
		return probe.Cluster{Name: name, Members: members}
	}
	for _, tc := range []struct {
		name string
		a, b probe.Cluster
		want bool
	}{
		{"equal", set("rs0", "a", "b"), set("rs0", "a", "b"), true},
		{"being changed", set("rs0", "a", "b"), set("rs0", "b", "c"), true},
		{"another name", set("rs0", "a"), set("rs1", "a"), false},
		{"the same name by chance", set("rs0", "a", "b"), set("rs0", "c", "d"), false},
		{"no members to tell by", set("mongos"), set("mongos"), true},
		{"one knows no members", set("rs0", "a"), set("rs0"), true},
		{"nothing known", set(""), set(""), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := tc.a.Same(tc.b); got != tc.want {
				t.Errorf("Same() = %v, want %v", got, tc.want)
			}
			if got := tc.b.Same(tc.a); got != tc.want {
				t.Errorf("the other way round it is %v, want %v", got, tc.want)
			}
		})
	}
}

func TestRunComparesClusters(t *testing.T) {
	t.Parallel()
	const (
		ok       = probe.CodeOK
		mismatch = probe.CodeTopologyMismatch
		refused  = probe.CodeConnectionRefused
		denied   = probe.CodeAuthFailed
	)
	for _, tc := range []struct {
		name string
		// clusters are what the addresses say; an empty one says nothing, and
		// "-" is an address where nobody listens.
		clusters []string
		// login is what comes of it.
		login error
		code  probe.Code
		codes []probe.Code
		alien int // the address that the report names, if one
	}{
		{"one cluster", []string{"rs0", "rs0", "rs0"}, nil, ok, []probe.Code{ok, ok, ok}, 0},
		{"the second is another's", []string{"rs0", "rs1", "rs0"}, nil, mismatch, []probe.Code{ok, mismatch, ok}, 1},
		{"two are another's", []string{"rs0", "rs1", "rs2"}, nil, mismatch, []probe.Code{ok, mismatch, mismatch}, 1},
		{"one says nothing", []string{"rs0", "", "rs0"}, nil, ok, []probe.Code{ok, ok, ok}, 0},
		{"the first says nothing", []string{"", "rs0", "rs1"}, nil, ok, []probe.Code{ok, ok, ok}, 0},
		{"the first is down", []string{"-", "rs0", "rs0"}, nil, ok, []probe.Code{refused, ok, ok}, 0},
		{"the first is down, the others differ", []string{"-", "rs0", "rs1"}, nil, mismatch, []probe.Code{refused, ok, mismatch}, 2},
		{"a wrong password comes first", []string{"rs0", "rs1"}, probe.Fail(denied, nil), denied, []probe.Code{denied}, 0},
		{"all are down", []string{"-", "-"}, nil, refused, []probe.Code{refused, refused}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			says := map[probe.Address]string{}
			var addresses []probe.Address
			for _, cluster := range tc.clusters {
				at := quiet(t)
				if cluster == "-" {
					at = refusing(t)
				}
				addresses = append(addresses, at)
				says[at] = cluster
			}
			r := run(t, scripted(func(ctx context.Context, s *probe.Session) error {
				if name := says[s.Address]; name != "" && name != "-" {
					s.Belongs(probe.Cluster{Name: "set " + name})
				}
				if err := talk(ctx, s); err != nil || !s.Login {
					return err
				}
				return tc.login
			}), toy(addresses...))
			if r.Code != tc.code || (r.Code == mismatch) != (r.Phase == probe.PhaseTopology) {
				t.Errorf("Run() = %s in %q, want %s", r.Code, r.Phase, tc.code)
			}
			var codes []probe.Code
			for _, a := range r.Addresses {
				codes = append(codes, a.Code)
			}
			if diff := cmp.Diff(tc.codes, codes); diff != "" {
				t.Errorf("the addresses (-want +got):\n%s", diff)
			}
			want := ""
			if tc.alien != 0 {
				want = addresses[tc.alien].String() + " (set " + tc.clusters[tc.alien] + ")"
			}
			if got := r.Evidence.Facts["does_not_belong"]; got != want {
				t.Errorf("does_not_belong = %q, want %q", got, want)
			}
			if r.Strict != (r.OK() && len(codes) > 0 && codes[0] == ok && tc.clusters[0] != "-") {
				t.Errorf("strict = %v with code %s", r.Strict, r.Code)
			}
		})
	}
}

// TestClusterNameIsScrubbed: the name comes from the other side.
func TestClusterNameIsScrubbed(t *testing.T) {
	t.Parallel()
	first, second := quiet(t), quiet(t)
	r := run(t, scripted(func(ctx context.Context, s *probe.Session) error {
		name := "set of hunter22"
		if s.Address == second {
			name = "hunter22's other set"
		}
		s.Belongs(probe.Cluster{Name: name})
		return talk(ctx, s)
	}), toy(first, second))
	if r.Evidence.Facts["cluster"] != "set of [redacted]" || r.Evidence.Facts["does_not_belong"] != second.String()+" ([redacted]'s other set)" {
		t.Errorf("facts = %v", r.Evidence.Facts)
	}
}
