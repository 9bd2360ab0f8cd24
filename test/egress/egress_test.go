// Package egress_test proves for every engine that no packet goes to an address
// that the policy denies: not when a server sends its clients there, and not
// when a name changes its mind between look-up and dial. The forbidden address
// is watched by a listener and, below it, by a raw socket.
package egress_test

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dialtone/internal/egress"
	"dialtone/internal/probe"
	"dialtone/internal/probe/engines"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/secret"
)

// The two names that the DNS server of a scene knows.
const (
	targetName    = "target.test"
	elsewhereName = "elsewhere.test"
)

// scene is a server that may be tested and, on another address of the same
// port, a witness that may not.
type scene struct {
	server  *probetest.Server
	allowed netip.Addr
	witness *witness
	dns     *resolver
	runner  *probe.Runner
}

// probers are all that there are. What they send in the clear does not matter
// here, only where to.
func probers() []probe.Prober { return engines.All(engines.Config{AllowRecoverable: true}) }

// play makes the scene of a row; number makes its forbidden address its own.
// The server sends its clients to the address that to gives; nil: to nowhere.
func play(t *testing.T, r row, number int, to func(*scene) *probe.Address) *scene {
	t.Helper()
	s := &scene{dns: resolve(t)}
	set := make(chan struct{})
	s.server = probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) {
		<-set
		r.serve(conn, to(s))
	})
	s.allowed = s.server.Addr.Addr()
	forbidden := netip.AddrFrom4([4]byte{127, 66, 1, byte(number)})
	s.witness = watch(t, netip.AddrPortFrom(forbidden, s.server.Addr.Port()))
	policy, err := egress.New(egress.Config{Local: true, DNSPort: s.dns.addr.Port(), Rules: []egress.Rule{only(s.server.Addr), only(s.dns.addr)}})
	if err != nil {
		t.Fatal(err)
	}
	s.runner, err = probe.NewRunner(policy, probers(), probe.RunnerConfig{Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	close(set)
	return s
}

func only(a netip.AddrPort) egress.Rule {
	return egress.Rule{Prefix: netip.PrefixFrom(a.Addr(), a.Addr().BitLen()), Ports: []egress.PortRange{{First: a.Port(), Last: a.Port()}}}
}

// test probes the server under a host, and fails if the witness has seen anything.
func (s *scene) test(t *testing.T, r row, host string) probe.Report {
	t.Helper()
	target := probe.Target{
		Engine: r.engine, Network: "eip", User: probetest.User, Password: secret.New(probetest.Password), Database: probetest.Database,
		Addresses: []probe.Address{{Host: host, Port: s.server.Addr.Port()}}, DNS: s.dns.addr.Addr(),
	}
	if r.complete != nil {
		r.complete(&target)
	}
	report, err := s.runner.Run(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	if seen := s.witness.visits(t); len(seen) > 0 {
		t.Errorf("the forbidden address %s was sent %v", s.witness.addr, seen)
	}
	return report
}

func (s *scene) forbidden() netip.Addr { return s.witness.addr.Addr() }

// elsewhere is a host with the port that server and witness share.
func (s *scene) elsewhere(host string) *probe.Address {
	return &probe.Address{Host: host, Port: s.server.Addr.Port()}
}

// refusals counts the addresses that the server named and the policy refused.
func refusals(r probe.Report) int {
	n := 0
	for _, m := range r.Evidence.Members {
		if m.Code == probe.CodeTargetNotAllowed {
			n++
		}
	}
	for _, d := range r.Evidence.Dials {
		if d.Code == probe.CodeTargetNotAllowed {
			n++
		}
	}
	return n
}

// TestEveryEngineIsHere: an engine without a row has proven nothing.
func TestEveryEngineIsHere(t *testing.T) {
	t.Parallel()
	var have, want []probe.Engine
	for _, r := range rows() {
		have = append(have, r.engine)
	}
	for _, p := range probers() {
		want = append(want, p.Engines()...)
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("the rows are %v, the engines %v", have, want)
	}
}

// TestSentToAForbiddenAddress: the server redirects to it or names it as a
// member, as its protocol has it.
func TestSentToAForbiddenAddress(t *testing.T) {
	t.Parallel()
	for i, r := range rows() {
		if r.sends == nowhere {
			continue // TestANameThatRebinds has all there is
		}
		t.Run(string(r.engine), func(t *testing.T) {
			t.Parallel()
			s := play(t, r, 1+i, func(s *scene) *probe.Address { return s.elsewhere(s.forbidden().String()) })
			report := s.test(t, r, s.allowed.String())
			// It has understood where it was to go, or the server has said nothing.
			switch r.sends {
			case inVain:
				if !strings.Contains(fmt.Sprint(report.Evidence), s.forbidden().String()) {
					t.Errorf("the server's error is not in the report: %s, %+v", report.Code, report.Evidence)
				}
			default:
				if refusals(report) != 1 {
					t.Errorf("Run() = %s in %q, members %+v, dials %+v; want one that is not allowed", report.Code, report.Phase, report.Evidence.Members, report.Evidence.Dials)
				}
			}
		})
	}
}

// TestSentToAForbiddenName: as above by a name that belongs to the address.
func TestSentToAForbiddenName(t *testing.T) {
	t.Parallel()
	for i, r := range rows() {
		if r.sends != toName {
			continue
		}
		t.Run(string(r.engine), func(t *testing.T) {
			t.Parallel()
			s := play(t, r, 51+i, func(s *scene) *probe.Address { return s.elsewhere(elsewhereName) })
			s.dns.answers(elsewhereName, []netip.Addr{s.forbidden()})
			report := s.test(t, r, s.allowed.String())
			if refusals(report) != 1 || s.dns.questions(elsewhereName) == 0 {
				t.Errorf("Run() = %s in %q, members %+v, dials %+v, %d questions; want one that is not allowed", report.Code, report.Phase,
					report.Evidence.Members, report.Evidence.Dials, s.dns.questions(elsewhereName))
			}
			if strings.Contains(fmt.Sprint(report.Evidence), s.forbidden().String()) {
				t.Errorf("the report says what the name resolves to: %+v", report.Evidence)
			}
		})
	}
}

// TestSentToANameThatRebinds: the name belongs to the server when it is looked
// up, and to the forbidden address when it is asked for again.
func TestSentToANameThatRebinds(t *testing.T) {
	t.Parallel()
	for i, r := range rows() {
		if r.sends != toName {
			continue
		}
		t.Run(string(r.engine), func(t *testing.T) {
			t.Parallel()
			s := play(t, r, 101+i, func(s *scene) *probe.Address { return s.elsewhere(elsewhereName) })
			s.dns.answers(elsewhereName, []netip.Addr{s.allowed}, []netip.Addr{s.forbidden()})
			report := s.test(t, r, s.allowed.String())
			if n := s.server.Accepted(); n < 2 || s.dns.questions(elsewhereName) == 0 {
				t.Errorf("Run() = %s in %q: %d connections, want one to the name as well", report.Code, report.Phase, n)
			}
		})
	}
}

// TestANameThatRebinds: the target's own name does.
func TestANameThatRebinds(t *testing.T) {
	t.Parallel()
	for i, r := range rows() {
		t.Run(string(r.engine), func(t *testing.T) {
			t.Parallel()
			s := play(t, r, 151+i, func(*scene) *probe.Address { return nil })
			s.dns.answers(targetName, []netip.Addr{s.allowed}, []netip.Addr{s.forbidden()})
			if report := s.test(t, r, targetName); !report.OK() || s.dns.questions(targetName) != 1 {
				t.Errorf("Run() = %s in %q after %d questions, want ok after 1\n%+v", report.Code, report.Phase, s.dns.questions(targetName), report.Evidence)
			}
			// Seen from the other side, nothing is dialled at all.
			before := s.server.Accepted()
			s.dns.answers(targetName, []netip.Addr{s.forbidden()}) // it has been asked for before, so this is the answer
			if report := s.test(t, r, targetName); report.Code != probe.CodeTargetNotAllowed || s.server.Accepted() != before {
				t.Errorf("Run() = %s in %q with %d connections, want %s and none", report.Code, report.Phase, s.server.Accepted()-before, probe.CodeTargetNotAllowed)
			}
			// And of two addresses the one that may be dialled is, alone.
			s.dns.answers(targetName, []netip.Addr{s.forbidden(), s.allowed})
			if report := s.test(t, r, targetName); !report.OK() {
				t.Errorf("Run() = %s in %q where one of two addresses is allowed", report.Code, report.Phase)
			}
		})
	}
}
