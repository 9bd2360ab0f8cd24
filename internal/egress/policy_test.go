package egress_test

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/egress"
)

// newPolicy makes a policy from a rule file and a configuration.
func newPolicy(tb testing.TB, cfg egress.Config, rules ...string) *egress.Policy {
	tb.Helper()
	parsed, err := egress.ParseRules(strings.NewReader(strings.Join(rules, "\n")))
	if err != nil {
		tb.Fatal(err)
	}
	cfg.Rules = append(cfg.Rules, parsed...)
	p, err := egress.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// class is the class of a denial, "ok" for none.
func class(tb testing.TB, err error) egress.Class {
	tb.Helper()
	if err == nil {
		return "ok"
	}
	denied, ok := errors.AsType[*egress.DeniedError](err)
	if !ok {
		tb.Fatalf("error = %v (%T), want a *DeniedError", err, err)
	}
	return denied.Class
}

// everything would open all addresses, if any rule could.
var everything = []string{"0.0.0.0/0 * * *", "::/0 * * *"}

func TestClassification(t *testing.T) {
	t.Parallel()
	closed := newPolicy(t, egress.Config{})
	listed := newPolicy(t, egress.Config{Local: true}, everything...)
	open := newPolicy(t, egress.Config{Open: true})
	for _, tc := range []struct {
		addr string
		// on the network vpc without rules, on eip without rules, with rules
		// for everything, and in the open mode
		vpc, eip, listed, open egress.Class
	}{
		// Loopback: rules for everything do not mean it.
		{"127.0.0.0", "loopback", "loopback", "loopback", "ok"},
		{"127.0.0.1", "loopback", "loopback", "loopback", "ok"},
		{"127.255.255.255", "loopback", "loopback", "loopback", "ok"},
		{"126.255.255.255", "not_listed", "ok", "ok", "ok"},
		{"128.0.0.0", "not_listed", "ok", "ok", "ok"},
		{"::1", "loopback", "loopback", "loopback", "ok"},
		{"::ffff:127.0.0.1", "loopback", "loopback", "loopback", "ok"},
		// Unspecified.
		{"0.0.0.0", "unspecified", "unspecified", "unspecified", "unspecified"},
		{"0.255.255.255", "unspecified", "unspecified", "unspecified", "unspecified"},
		{"1.0.0.0", "not_listed", "ok", "ok", "ok"},
		{"::", "unspecified", "unspecified", "unspecified", "unspecified"},
		{"::ffff:0.0.0.0", "unspecified", "unspecified", "unspecified", "unspecified"},
		// Link-local, and anything with a zone.
		{"169.253.255.255", "not_listed", "ok", "ok", "ok"},
		{"169.254.0.0", "link_local", "link_local", "link_local", "link_local"},
		{"169.254.255.255", "link_local", "link_local", "link_local", "link_local"},
		{"169.255.0.0", "not_listed", "ok", "ok", "ok"},
		{"fe80::", "link_local", "link_local", "link_local", "link_local"},
		{"febf:ffff::1", "link_local", "link_local", "link_local", "link_local"},
		{"fec0::", "reserved", "reserved", "ok", "ok"},
		{"fe80::1%lo", "link_local", "link_local", "link_local", "link_local"},
		{"2606:4700::1%lo", "link_local", "link_local", "link_local", "link_local"},
		{"::1%lo", "link_local", "link_local", "link_local", "link_local"},
		// Metadata, wherever it hides.
		{"169.254.169.254", "metadata", "metadata", "metadata", "metadata"},
		{"::ffff:169.254.169.254", "metadata", "metadata", "metadata", "metadata"},
		{"169.254.169.253", "link_local", "link_local", "link_local", "link_local"},
		{"169.254.170.2", "metadata", "metadata", "metadata", "metadata"},
		{"100.100.100.200", "metadata", "metadata", "metadata", "metadata"},
		{"100.100.100.199", "private", "private", "ok", "ok"},
		{"100.100.100.201", "private", "private", "ok", "ok"},
		{"168.63.129.16", "metadata", "metadata", "metadata", "metadata"},
		{"168.63.129.17", "not_listed", "ok", "ok", "ok"},
		{"192.0.0.192", "metadata", "metadata", "metadata", "metadata"},
		{"fd00:ec2::254", "metadata", "metadata", "metadata", "metadata"},
		{"fd00:ec2::23", "metadata", "metadata", "metadata", "metadata"},
		{"fd00:ec2::255", "private", "private", "ok", "ok"},
		{"fd20:ce::254", "metadata", "metadata", "metadata", "metadata"},
		// Multicast and broadcast.
		{"223.255.255.255", "not_listed", "ok", "ok", "ok"},
		{"224.0.0.0", "multicast", "multicast", "multicast", "multicast"},
		{"239.255.255.255", "multicast", "multicast", "multicast", "multicast"},
		{"255.255.255.255", "multicast", "multicast", "multicast", "multicast"},
		{"255.255.255.254", "reserved", "reserved", "ok", "ok"},
		{"ff00::", "multicast", "multicast", "multicast", "multicast"},
		{"ff02::1", "multicast", "multicast", "multicast", "multicast"},
		{"feff:ffff::", "reserved", "reserved", "ok", "ok"},
		// IPv6 that becomes IPv4 on the way.
		{"::2", "embedded_ipv4", "embedded_ipv4", "embedded_ipv4", "embedded_ipv4"},
		{"::10.0.0.1", "embedded_ipv4", "embedded_ipv4", "embedded_ipv4", "embedded_ipv4"},
		{"::1:0:0", "reserved", "reserved", "ok", "ok"},
		{"::ffff:0:10.0.0.1", "embedded_ipv4", "embedded_ipv4", "embedded_ipv4", "embedded_ipv4"},
		{"64:ff9b::", "embedded_ipv4", "embedded_ipv4", "embedded_ipv4", "embedded_ipv4"},
		{"64:ff9b::169.254.169.254", "embedded_ipv4", "embedded_ipv4", "embedded_ipv4", "embedded_ipv4"},
		{"64:ff9b::1:0:0", "reserved", "reserved", "ok", "ok"},
		{"64:ff9b:1::", "embedded_ipv4", "embedded_ipv4", "embedded_ipv4", "embedded_ipv4"},
		{"64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "embedded_ipv4", "embedded_ipv4", "embedded_ipv4", "embedded_ipv4"},
		{"64:ff9b:2::", "reserved", "reserved", "ok", "ok"},
		{"2001::", "embedded_ipv4", "embedded_ipv4", "embedded_ipv4", "embedded_ipv4"},
		{"2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "embedded_ipv4", "embedded_ipv4", "embedded_ipv4", "embedded_ipv4"},
		{"2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "not_listed", "ok", "ok", "ok"},
		{"2002::", "embedded_ipv4", "embedded_ipv4", "embedded_ipv4", "embedded_ipv4"},
		{"2002:ffff::1", "embedded_ipv4", "embedded_ipv4", "embedded_ipv4", "embedded_ipv4"},
		{"2003::", "not_listed", "ok", "ok", "ok"},
		// Private use.
		{"9.255.255.255", "not_listed", "ok", "ok", "ok"},
		{"10.0.0.0", "private", "private", "ok", "ok"},
		{"::ffff:10.0.0.0", "private", "private", "ok", "ok"},
		{"10.255.255.255", "private", "private", "ok", "ok"},
		{"11.0.0.0", "not_listed", "ok", "ok", "ok"},
		{"172.15.255.255", "not_listed", "ok", "ok", "ok"},
		{"172.16.0.0", "private", "private", "ok", "ok"},
		{"172.31.255.255", "private", "private", "ok", "ok"},
		{"172.32.0.0", "not_listed", "ok", "ok", "ok"},
		{"192.167.255.255", "not_listed", "ok", "ok", "ok"},
		{"192.168.0.0", "private", "private", "ok", "ok"},
		{"192.169.0.0", "not_listed", "ok", "ok", "ok"},
		{"100.63.255.255", "not_listed", "ok", "ok", "ok"},
		{"100.64.0.0", "private", "private", "ok", "ok"},
		{"100.127.255.255", "private", "private", "ok", "ok"},
		{"100.128.0.0", "not_listed", "ok", "ok", "ok"},
		{"fbff::1", "reserved", "reserved", "ok", "ok"},
		{"fc00::", "private", "private", "ok", "ok"},
		{"fdff:ffff::", "private", "private", "ok", "ok"},
		{"fe00::", "reserved", "reserved", "ok", "ok"},
		// The rest of the registries; the most specific entry wins.
		{"192.0.0.0", "reserved", "reserved", "ok", "ok"},
		{"192.0.0.8", "reserved", "reserved", "ok", "ok"},
		{"192.0.0.9", "not_listed", "ok", "ok", "ok"},
		{"192.0.0.10", "not_listed", "ok", "ok", "ok"},
		{"192.0.0.11", "reserved", "reserved", "ok", "ok"},
		{"192.0.0.171", "reserved", "reserved", "ok", "ok"},
		{"192.0.1.0", "not_listed", "ok", "ok", "ok"},
		{"192.0.2.0", "reserved", "reserved", "ok", "ok"},
		{"192.0.3.0", "not_listed", "ok", "ok", "ok"},
		{"192.31.196.1", "not_listed", "ok", "ok", "ok"},
		{"192.88.99.1", "reserved", "reserved", "ok", "ok"},
		{"198.17.255.255", "not_listed", "ok", "ok", "ok"},
		{"198.18.0.0", "reserved", "reserved", "ok", "ok"},
		{"198.19.255.255", "reserved", "reserved", "ok", "ok"},
		{"198.20.0.0", "not_listed", "ok", "ok", "ok"},
		{"198.51.100.255", "reserved", "reserved", "ok", "ok"},
		{"203.0.113.0", "reserved", "reserved", "ok", "ok"},
		{"203.0.114.0", "not_listed", "ok", "ok", "ok"},
		{"240.0.0.0", "reserved", "reserved", "ok", "ok"},
		{"100::", "reserved", "reserved", "ok", "ok"},
		{"1fff:ffff::", "reserved", "reserved", "ok", "ok"},
		{"2000::", "not_listed", "ok", "ok", "ok"},
		{"2001:1::1", "not_listed", "ok", "ok", "ok"},
		{"2001:1::4", "reserved", "reserved", "ok", "ok"},
		{"2001:2::", "reserved", "reserved", "ok", "ok"},
		{"2001:20::1", "not_listed", "ok", "ok", "ok"},
		{"2001:1ff:ffff::", "reserved", "reserved", "ok", "ok"},
		{"2001:200::", "not_listed", "ok", "ok", "ok"},
		{"2001:db7:ffff::", "not_listed", "ok", "ok", "ok"},
		{"2001:db8::", "reserved", "reserved", "ok", "ok"},
		{"2001:db9::", "not_listed", "ok", "ok", "ok"},
		{"3fff::", "reserved", "reserved", "ok", "ok"},
		{"3fff:1000::", "not_listed", "ok", "ok", "ok"},
		{"4000::", "reserved", "reserved", "ok", "ok"},
		{"5f00::", "reserved", "reserved", "ok", "ok"},
	} {
		t.Run(tc.addr, func(t *testing.T) {
			t.Parallel()
			a := netip.AddrPortFrom(netip.MustParseAddr(tc.addr), 5432)
			vpc, eip := egress.Scope{Network: "vpc"}, egress.Scope{Network: "eip"}
			got := []egress.Class{
				class(t, closed.CheckAddr(vpc, a)), class(t, closed.CheckAddr(eip, a)),
				class(t, listed.CheckAddr(vpc, a)), class(t, open.CheckAddr(vpc, a)),
			}
			want := []egress.Class{tc.vpc, tc.eip, tc.listed, tc.open}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("on vpc, on eip, with rules, open (-want +got):\n%s", diff)
			}
			// A literal is judged as a name in the same way.
			if got := class(t, closed.CheckName(eip, tc.addr, 5432)); got != tc.eip {
				t.Errorf("CheckName() = %s, want %s", got, tc.eip)
			}
		})
	}
	if got := class(t, closed.CheckAddr(egress.Scope{Network: "eip"}, netip.AddrPort{})); got != egress.ClassPort {
		t.Errorf("no address at all: %s, want %s", got, egress.ClassPort)
	}
	if got := class(t, closed.CheckAddr(egress.Scope{Network: "eip"}, netip.AddrPortFrom(netip.Addr{}, 1))); got != egress.ClassUnspecified {
		t.Errorf("no address: %s, want %s", got, egress.ClassUnspecified)
	}
}

func TestRulesDecide(t *testing.T) {
	t.Parallel()
	p := newPolicy(t, egress.Config{},
		"10.1.0.0/16        5432,6000-6010  vpc,vpn  *",
		"10.2.0.1           *               vpc-*    p1,p2",
		"fd00:1::/32        5432            *        *",
		".db.example.com    3306            vpn      *",
		"one.example.net.   *               vpn      p1",
	)
	for _, tc := range []struct {
		name, project, network, host string
		port                         uint16
		want                         egress.Class
	}{
		{"in the range", "p1", "vpc", "10.1.2.3", 5432, "ok"},
		{"mapped, in the range", "p1", "vpc", "::ffff:10.1.2.3", 5432, "ok"},
		{"first of a port range", "p1", "vpn", "10.1.2.3", 6000, "ok"},
		{"last of a port range", "p1", "vpn", "10.1.2.3", 6010, "ok"},
		{"behind a port range", "p1", "vpn", "10.1.2.3", 6011, "port"},
		{"before a port range", "p1", "vpn", "10.1.2.3", 5999, "port"},
		{"port zero", "p1", "vpc-7", "10.2.0.1", 0, "port"},
		{"before the range", "p1", "vpc", "10.0.255.255", 5432, "private"},
		{"behind the range", "p1", "vpc", "10.2.0.0", 5432, "private"},
		{"other network", "p1", "eip", "10.1.2.3", 5432, "private"},
		{"one network does not stand for its children", "p1", "vpc-7", "10.1.2.3", 5432, "private"},
		{"network by its beginning", "p1", "vpc-7", "10.2.0.1", 1, "ok"},
		{"beginning missed", "p1", "vpc", "10.2.0.1", 1, "private"},
		{"second project", "p2", "vpc-8", "10.2.0.1", 65535, "ok"},
		{"other project", "p3", "vpc-7", "10.2.0.1", 1, "private"},
		{"no project", "", "vpc-7", "10.2.0.1", 1, "private"},
		{"no network", "p1", "", "10.1.2.3", 5432, "private"},
		{"IPv6", "p1", "", "fd00:1:ffff::1", 5432, "ok"},
		{"IPv6 outside", "p1", "vpc", "fd00:2::", 5432, "private"},

		{"name below a suffix", "p1", "vpn", "a.db.example.com", 3306, "ok"},
		{"two below a suffix", "p1", "vpn", "b.a.DB.Example.com.", 3306, "ok"},
		{"name below a suffix, other port", "p1", "vpn", "a.db.example.com", 3307, "port"},
		{"name allowed by a range's port", "p1", "vpn", "anything.example.org", 5432, "ok"},
		{"the suffix itself", "p1", "vpn", "db.example.com", 3306, "port"},
		{"name that only ends so", "p1", "vpn", "adb.example.com", 3306, "port"},
		{"suffix, other network", "p1", "vpc", "a.db.example.com", 3306, "port"},
		{"exact name", "p1", "vpn", "ONE.example.net", 1, "ok"},
		{"below an exact name", "p1", "vpn", "a.one.example.net", 1, "port"},
		{"exact name, other project", "p2", "vpn", "one.example.net", 1, "port"},
		{"name, port zero", "p1", "vpn", "one.example.net", 0, "port"},
		{"name on eip", "p1", "eip", "anything.example.org", 1, "ok"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			err := p.CheckName(egress.Scope{Project: tc.project, Network: tc.network}, tc.host, tc.port)
			if got := class(t, err); got != tc.want {
				t.Errorf("CheckName(%s, %d) = %s, want %s", tc.host, tc.port, got, tc.want)
			}
		})
	}
	if got := class(t, newPolicy(t, egress.Config{}).CheckName(egress.Scope{Network: "vpn"}, "a.example", 1)); got != egress.ClassNotListed {
		t.Errorf("a name without any rule: %s, want %s", got, egress.ClassNotListed)
	}
}

func TestNamesThatCannotBe(t *testing.T) {
	t.Parallel()
	p := newPolicy(t, egress.Config{Open: true})
	for _, host := range []string{
		"", ".", "a..b", "127.1", "2130706433", "0x7f000001", "017700000001", "127.0.0.1.", "1.2.3.4.5", "a b", "a/b", "ä.example", "-a.example",
		"a-.example", "a\x00b", strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 127) + "bc", "[::1]", "a:b", "::1%",
	} {
		err := p.CheckName(egress.Scope{Network: "eip"}, host, 1)
		if failed, ok := errors.AsType[*egress.LookupError](err); !ok || !failed.NotFound {
			t.Errorf("CheckName(%q) = %v, want a name that is not found", host, err)
		}
	}
	for _, host := range []string{"a", "localhost", "_db._tcp.example", "3com.example", "xn--4gq.example", "db1", strings.Repeat("a.", 126) + "b"} {
		if err := p.CheckName(egress.Scope{}, host, 1); err != nil {
			t.Errorf("CheckName(%q) = %v", host, err)
		}
	}
}

func TestLoopbackByRule(t *testing.T) {
	t.Parallel()
	rules := []string{
		"127.0.0.1    5432  vpc  p1",
		"127.8.0.0/16 *     *    *", // no port is named
		"::1          5433  *    *",
		"0.0.0.0/0    9999  *    *", // no loopback address is named
		"localhost    7777  *    *",
	}
	p := newPolicy(t, egress.Config{Local: true}, rules...)
	for _, tc := range []struct {
		project, network, addr string
		want                   egress.Class
	}{
		{"p1", "vpc", "127.0.0.1:5432", "ok"},
		{"p1", "vpc", "[::ffff:127.0.0.1]:5432", "ok"},
		{"p2", "vpc", "127.0.0.1:5432", "loopback"},
		{"p1", "eip", "127.0.0.1:5432", "loopback"},
		{"p1", "vpc", "127.0.0.1:5433", "loopback"},
		{"p1", "vpc", "127.0.0.2:5432", "loopback"},
		{"p1", "vpc", "127.8.0.1:5432", "loopback"},
		{"p1", "vpc", "127.0.0.1:9999", "loopback"},
		{"p1", "vpc", "127.0.0.1:7777", "loopback"},
		{"p1", "vpc", "[::1]:5433", "ok"},
		{"p1", "vpc", "[::1]:5432", "loopback"},
	} {
		got := class(t, p.CheckAddr(egress.Scope{Project: tc.project, Network: tc.network}, netip.MustParseAddrPort(tc.addr)))
		if got != tc.want {
			t.Errorf("%s on %s to %s = %s, want %s", tc.project, tc.network, tc.addr, got, tc.want)
		}
	}
	deaf := newPolicy(t, egress.Config{}, rules...)
	if got := class(t, deaf.CheckAddr(egress.Scope{Project: "p1", Network: "vpc"}, netip.MustParseAddrPort("127.0.0.1:5432"))); got != egress.ClassLoopback {
		t.Errorf("without Local = %s, want %s", got, egress.ClassLoopback)
	}
}

func TestOwnIsDeniedAlways(t *testing.T) {
	t.Parallel()
	own := []netip.AddrPort{
		netip.MustParseAddrPort("10.0.0.5:5432"),
		netip.MustParseAddrPort("[::ffff:10.0.0.6]:5432"),
		netip.MustParseAddrPort("127.0.0.1:6379"),
		netip.MustParseAddrPort("[::]:8080"),
		netip.AddrPortFrom(netip.Addr{}, 9090),
	}
	p := newPolicy(t, egress.Config{Open: true, Local: true, Own: own, Mode: egress.ModeReport}, append(everything, "127.0.0.1 6379 * *")...)
	for _, tc := range []struct {
		addr string
		want egress.Class
	}{
		{"10.0.0.5:5432", "own"},
		{"[::ffff:10.0.0.5]:5432", "own"},
		{"10.0.0.6:5432", "own"},
		{"10.0.0.5:5433", "ok"},
		{"10.0.0.7:5432", "ok"},
		{"127.0.0.1:5432", "ok"},
		{"127.0.0.1:6379", "own"},
		{"127.0.0.9:6379", "own"}, // what is bound to one may be bound to all
		{"[::1]:6379", "own"},
		{"10.0.0.5:6379", "ok"},
		{"127.0.0.1:8080", "own"},
		{"[::1]:8080", "own"},
		{"10.0.0.5:8080", "ok"},
		{"127.0.0.1:9090", "own"},
		{"127.0.0.1:9091", "ok"},
	} {
		if got := class(t, p.CheckAddr(egress.Scope{Network: "eip"}, netip.MustParseAddrPort(tc.addr))); got != tc.want {
			t.Errorf("CheckAddr(%s) = %s, want %s", tc.addr, got, tc.want)
		}
	}
}

func TestReportModeNotesAndAllows(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []egress.Decision
	p := newPolicy(t, egress.Config{Mode: egress.ModeReport, Report: func(d egress.Decision) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, d)
	}}, "10.1.0.0/16 5432 vpc *")
	s := egress.Scope{Project: "p1", Network: "vpc"}
	private, metadata := netip.MustParseAddrPort("10.2.0.1:5432"), netip.MustParseAddrPort("169.254.169.254:5432")
	for _, a := range []netip.AddrPort{private, netip.MustParseAddrPort("10.1.0.1:5432")} {
		if err := p.CheckAddr(s, a); err != nil {
			t.Errorf("CheckAddr(%s) = %v", a, err)
		}
	}
	if err := p.CheckName(s, "db.example", 80); err != nil {
		t.Errorf("CheckName() = %v", err)
	}
	if got := class(t, p.CheckAddr(s, metadata)); got != egress.ClassMetadata {
		t.Errorf("CheckAddr(%s) = %s, want %s", metadata, got, egress.ClassMetadata)
	}
	want := []egress.Decision{
		{Scope: s, Addr: private, Class: egress.ClassPrivate},
		{Scope: s, Host: "db.example", Addr: netip.AddrPortFrom(netip.Addr{}, 80), Class: egress.ClassPort},
		{Scope: s, Addr: metadata, Class: egress.ClassMetadata, Enforced: true},
	}
	if diff := cmp.Diff(want, seen, byValue[netip.Addr](), byValue[netip.AddrPort]()); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}
}

// byValue lets cmp compare a type of values that are equal by ==.
func byValue[T interface {
	netip.Addr | netip.AddrPort | netip.Prefix
}]() cmp.Option {
	return cmp.Comparer(func(a, b T) bool { return any(a) == any(b) })
}

func TestNewNamesEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := egress.New(egress.Config{
		Mode:  "strict",
		Rules: []egress.Rule{{}, {Host: "a.example", Prefix: netip.MustParsePrefix("10.0.0.0/8")}, {Host: "a", Ports: []egress.PortRange{{First: 2, Last: 1}}}},
		Own:   []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), 0)},
	})
	if err == nil {
		t.Fatal("New() accepted it")
	}
	for _, part := range []string{`"strict"`, "rule 1:", "rule 2:", "rule 3: ports 2-1", "10.0.0.1 has no port"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("New() error lacks %q:\n%v", part, err)
		}
	}
}
