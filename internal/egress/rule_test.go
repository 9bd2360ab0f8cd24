package egress_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/egress"
)

func TestParseRules(t *testing.T) {
	t.Parallel()
	const file = "# what tenants may reach\r\n" +
		"\n" +
		"10.0.0.0/8\t5432,6000-6010 vpc,vpc-* p1,p2 # the data centre\r\n" +
		"  192.168.7.9 * * *\n" +
		"fd00::/8 1-65535 * *\n" +
		".DB.example.com. 3306 eip *\n" +
		"one_db.example * * p3#no space before the comment"
	got, err := egress.ParseRules(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	want := []egress.Rule{
		{
			Prefix: netip.MustParsePrefix("10.0.0.0/8"), Ports: []egress.PortRange{{First: 5432, Last: 5432}, {First: 6000, Last: 6010}},
			Networks: []string{"vpc", "vpc-*"}, Projects: []string{"p1", "p2"}, Line: 3,
		},
		{Prefix: netip.MustParsePrefix("192.168.7.9/32"), Line: 4},
		{Prefix: netip.MustParsePrefix("fd00::/8"), Ports: []egress.PortRange{{First: 1, Last: 65535}}, Line: 5},
		{Host: ".db.example.com", Ports: []egress.PortRange{{First: 3306, Last: 3306}}, Networks: []string{"eip"}, Line: 6},
		{Host: "one_db.example", Projects: []string{"p3"}, Line: 7},
	}
	if diff := cmp.Diff(want, got, byValue[netip.Prefix]()); diff != "" {
		t.Errorf("ParseRules() (-want +got):\n%s", diff)
	}
	// Written out, they are read as they were.
	var lines strings.Builder
	for _, rule := range got {
		fmt.Fprintf(&lines, "%s\n", &rule)
	}
	again, err := egress.ParseRules(strings.NewReader("\n\n" + lines.String()))
	if diff := cmp.Diff(want, again, byValue[netip.Prefix]()); diff != "" || err != nil {
		t.Errorf("ParseRules() of the rules' own text: %v (-want +got):\n%s", err, diff)
	}
}

func TestParseRulesNamesEveryProblem(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"10.0.0.0/8 5432":                    "2 fields, want 4",
		"10.0.0.0/8 5432 * * extra":          "5 fields, want 4",
		"10.0.0.0/33 * * *":                  `"10.0.0.0/33" is no address range`,
		"10.0.0.1/8 * * *":                   "the range is 10.0.0.0/8",
		"10.0.0 * * *":                       `"10.0.0" is no host name`,
		"::ffff:10.0.0.0/104 * * *":          "write it as IPv4",
		"::ffff:10.0.0.1 * * *":              "write it as IPv4",
		"fe80::1%eth0 * * *":                 "has a zone",
		"a:b * * *":                          "no address range",
		". * * *":                            "either an address range or a name",
		"..example * * *":                    "no host name",
		"*.example * * *":                    "no host name",
		"a.example 0 * *":                    "ports 0-0",
		"a.example 5-4 * *":                  "ports 5-4",
		"a.example 65536 * *":                `"65536" is neither`,
		"a.example 1,,2 * *":                 `"" is neither`,
		"a.example mysql * *":                `"mysql" is neither`,
		"a.example 1-2-3 * *":                `"1-2-3" is neither`,
		"a.example * vpc, *":                 `empty network name in "vpc,"`,
		"a.example * * ,p":                   `empty project name in ",p"`,
		"10.0.0.0/99 x , *":                  `no address range; "x" is neither a port nor a range of ports; empty network name in ","`,
		strings.Repeat("a", 70_000) + " * *": "token too long",
	} {
		_, err := egress.ParseRules(strings.NewReader("# first\n\n" + line + "\n"))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "line 3: ") {
			t.Errorf("ParseRules(%.40q) error = %v, want %q at line 3", line, err, want)
		}
	}
	rules, err := egress.ParseRules(strings.NewReader("a b\n10.0.0.0/8 * * *\nc d\n"))
	if rules != nil || err == nil || !strings.Contains(err.Error(), "line 1: ") || !strings.Contains(err.Error(), "line 3: ") {
		t.Errorf("ParseRules() = %v, %v; want no rule and both problems", rules, err)
	}
}

// format writes a rule as a line of a file.
func format(r egress.Rule) string {
	list := func(items []string) string {
		if len(items) == 0 {
			return "*"
		}
		return strings.Join(items, ",")
	}
	destination, ports := r.Host, make([]string, len(r.Ports))
	if r.Prefix.IsValid() {
		destination = r.Prefix.String()
	}
	for i, p := range r.Ports {
		ports[i] = fmt.Sprintf("%d-%d", p.First, p.Last)
	}
	return fmt.Sprintln(destination, list(ports), list(r.Networks), list(r.Projects))
}

// FuzzParseRules: what is accepted makes a policy, means the same when it is
// written down again, and never opens what is denied always.
func FuzzParseRules(f *testing.F) {
	f.Add("10.0.0.0/8 5432,6000-6010 vpc,vpc-* p1 # x\n.db.example.com 3306 * *")
	f.Add("::/0 * * *\n0.0.0.0/0 1-65535 * *\nlocalhost * * *")
	f.Add("::ffff:1.2.3.4 * * *\r\n\x00 * * *\n127.1 * * *")
	f.Fuzz(func(t *testing.T, file string) {
		rules, err := egress.ParseRules(strings.NewReader(file))
		if err != nil {
			return
		}
		p, err := egress.New(egress.Config{Rules: rules})
		if err != nil {
			t.Fatalf("New() refuses what ParseRules accepts: %v", err)
		}
		var text strings.Builder
		for i, r := range rules {
			text.WriteString(format(r))
			rules[i].Line = i + 1 // where it is written down
		}
		again, err := egress.ParseRules(strings.NewReader(text.String()))
		if err != nil {
			t.Fatalf("%v in\n%s", err, text.String())
		}
		if diff := cmp.Diff(rules, again, byValue[netip.Prefix]()); diff != "" {
			t.Fatalf("written down and read again (-first +second):\n%s", diff)
		}
		for _, never := range []string{"127.0.0.1:1", "[::1]:1", "169.254.169.254:80", "0.0.0.0:1", "[64:ff9b::a00:1]:1", "224.0.0.1:1"} {
			for _, s := range []egress.Scope{{Network: "vpc"}, {Network: "eip", Project: "p1"}} {
				if p.CheckAddr(s, netip.MustParseAddrPort(never)) == nil {
					t.Fatalf("rules open %s", never)
				}
			}
		}
	})
}
