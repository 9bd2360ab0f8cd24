package egress_test

import (
	"errors"
	"net/netip"
	"testing"

	"dialtone/internal/egress"
)

// An explanation says what a check would, and why, and tells nobody.
func TestExplain(t *testing.T) {
	t.Parallel()
	rules := []string{
		"10.1.0.0/16      5432,6000  vpc  *",
		".db.example.com  3306       vpn  p1",
		"127.0.0.9        5432       *    *",
		"0.0.0.0/0        *          vpn  p2",
		".db.example.com  5432       vpc  *",
		"one.example      3306       eip  *",
	}
	config := egress.Config{
		Local: true, Own: []netip.AddrPort{netip.MustParseAddrPort("10.1.0.1:5432")},
		Report: func(egress.Decision) { t.Error("an explanation was reported as a denial") },
	}
	enforcing := newPolicy(t, config, rules...)
	config.Mode = egress.ModeReport
	reporting := newPolicy(t, config, rules...)
	open := newPolicy(t, egress.Config{Open: true})

	type want struct {
		outcome egress.Outcome
		basis   egress.Basis
		class   egress.Class
		line    int
		always  bool
	}
	for _, tc := range []struct {
		name, project, network, host string
		port                         uint16
		want                         want
	}{
		{"by a rule", "p1", "vpc", "10.1.2.3", 6000, want{"allowed", "rule", "", 1, false}},
		{"mapped", "p1", "vpc", "::ffff:10.1.2.3", 6000, want{"allowed", "rule", "", 1, false}},
		{"other port", "p1", "vpc", "10.1.2.3", 22, want{"denied", "", "port", 1, false}},
		{"other network", "p1", "vpn", "10.1.2.3", 6000, want{"denied", "", "private", 0, false}},
		{"by the rule of its project", "p2", "vpn", "10.1.2.3", 6000, want{"allowed", "rule", "", 4, false}},
		{"our own", "p1", "vpc", "10.1.0.1", 5432, want{"denied", "", "own", 0, true}},
		{"metadata, whatever the rules", "p2", "vpn", "169.254.169.254", 80, want{"denied", "", "metadata", 0, true}},
		{"public", "p1", "eip", "93.184.216.34", 1, want{"allowed", "public", "", 0, false}},
		{"public, elsewhere", "p1", "vpc", "93.184.216.34", 1, want{"denied", "", "not_listed", 0, false}},
		{"loopback that is meant", "p1", "eip", "127.0.0.9", 5432, want{"allowed", "rule", "", 3, false}},
		{"loopback that is not", "p2", "vpn", "127.0.0.1", 5432, want{"denied", "", "loopback", 0, true}},
		{"name by a rule", "p1", "vpn", "A.db.example.com.", 3306, want{"depends", "rule", "", 2, false}},
		{"name of another project", "p3", "vpn", "a.db.example.com", 3306, want{"denied", "", "port", 3, false}},
		{"name by its own rule and by a range", "p1", "vpc", "a.db.example.com", 5432, want{"depends", "rule", "", 5, false}},
		{"name by a range", "p1", "vpc", "db.example", 5432, want{"depends", "rule", "", 1, false}},
		{"name on eip by a rule", "p1", "eip", "one.example", 3306, want{"depends", "rule", "", 6, false}},
		{"name on eip", "p1", "eip", "db.example", 1, want{"depends", "public", "", 0, false}},
		{"port zero", "p1", "eip", "db.example", 0, want{"denied", "", "port", 0, true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := egress.Scope{Project: tc.project, Network: tc.network}
			for mode, p := range map[egress.Mode]*egress.Policy{egress.ModeEnforce: enforcing, egress.ModeReport: reporting} {
				e, err := p.Explain(s, tc.host, tc.port)
				got := want{e.Outcome, e.Basis, e.Class, 0, e.Always}
				if e.Rule != nil {
					got.line = e.Rule.Line
				}
				if got != tc.want || err != nil {
					t.Errorf("Explain() = %+v, %v; want %+v", got, err, tc.want)
				}
				if enforced := tc.want.outcome == "denied" && (tc.want.always || mode == egress.ModeEnforce); e.Enforced != enforced {
					t.Errorf("enforced = %v in mode %s, want %v", e.Enforced, mode, enforced)
				}
			}
		})
	}

	s := egress.Scope{Project: "p1", Network: "vpn"}
	if e := enforcing.ExplainAddr(s, "A.db.example.com.", netip.MustParseAddrPort("192.168.0.1:3306")); e.Outcome != "allowed" || e.Rule == nil || e.Rule.Line != 2 {
		t.Errorf("an address behind a name that a rule has: %+v", e)
	}
	if e := enforcing.ExplainAddr(s, "a.db.example.com", netip.MustParseAddrPort("169.254.169.254:3306")); e.Class != egress.ClassMetadata {
		t.Errorf("the metadata service behind such a name: %+v", e)
	}
	if e, err := open.Explain(s, "127.0.0.1", 1); err != nil || e.Basis != egress.BasisOpen {
		t.Errorf("loopback in the open: %+v, %v", e, err)
	}
	_, err := enforcing.Explain(s, "127.1", 1)
	if _, ok := errors.AsType[*egress.LookupError](err); !ok {
		t.Errorf("Explain(127.1) error = %v, want a *LookupError", err)
	}
}

// Every class has a meaning, in words.
func TestClassMeaning(t *testing.T) {
	t.Parallel()
	for _, c := range egress.Classes() {
		if c.Meaning() == "" {
			t.Errorf("class %s has no meaning", c)
		}
	}
	if n := len(egress.Classes()); n != 13 {
		t.Errorf("%d classes", n)
	}
}
