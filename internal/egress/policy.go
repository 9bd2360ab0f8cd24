// Package egress decides which addresses a probe may reach, and is its only way
// to a socket.
//
// A Policy judges names and addresses. An Edge is the way out of one probe: it
// resolves and dials under the policy, and bounds and records what is done with
// the sockets. What is spoken over them, and for whom, it refuses to know.
package egress

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"

	"dialtone/internal/sabotage"
)

// Mode says what a Policy does with what it denies.
type Mode string

// The modes.
const (
	ModeEnforce Mode = "enforce" // deny
	ModeReport  Mode = "report"  // tell Config.Report and allow, except what is denied always
)

// networkEIP is the network on which public addresses need no rule.
const networkEIP = "eip"

// Config says what is allowed.
type Config struct {
	// Rules allow what is not denied always.
	Rules []Rule
	// Own are the addresses of our own store, queue and listeners. They are
	// denied always. A pair whose address is unspecified or the zero Addr
	// means the port on every address of this machine.
	Own []netip.AddrPort
	// Local admits loopback where a rule gives a loopback range with ports.
	Local bool
	// Open allows local, private and public targets without rules, as befits a
	// service that only its own machine can call. What is denied always stays
	// denied, loopback excepted.
	Open bool
	// Mode is ModeEnforce or ModeReport. Default ModeEnforce.
	Mode Mode
	// DNSPort is where callers' DNS servers are asked. Default 53.
	DNSPort uint16
	// Report is told of each denial, also of those that are only noted. It is
	// called on the path of a probe, concurrently. Default: nobody.
	Report func(Decision)
}

// Decision is a denial.
type Decision struct {
	Scope Scope
	// Host is the name, if it was one that was judged.
	Host string
	// Addr is the address; of a name that was denied before its look-up, only
	// the port is set.
	Addr  netip.AddrPort
	Class Class
	// Enforced is false if it was allowed all the same.
	Enforced bool
}

// Scope is for whom and from where a destination is judged.
type Scope struct {
	// Project is the tenant.
	Project string
	// Network is where the worker stands: eip, vpn, vpc, vpc-<id>.
	Network string
	// DNS is the server that the caller wants to be asked. Zero: the system's.
	DNS netip.Addr
}

// Policy judges destinations. It is immutable and safe for concurrent use.
type Policy struct {
	cfg    Config
	ranges *ranges
	own    own
}

// New makes a Policy. The error names every problem.
func New(cfg Config) (*Policy, error) {
	var problems []error
	switch cfg.Mode {
	case "":
		cfg.Mode = ModeEnforce
	case ModeEnforce, ModeReport:
	default:
		problems = append(problems, fmt.Errorf("egress mode %q is neither %s nor %s", cfg.Mode, ModeEnforce, ModeReport))
	}
	cfg.DNSPort = cmp.Or(cfg.DNSPort, 53)
	if cfg.Report == nil {
		cfg.Report = func(Decision) {}
	}
	for i := range cfg.Rules {
		if err := cfg.Rules[i].validate(); err != nil {
			problems = append(problems, fmt.Errorf("egress rule %d: %w", i+1, err))
		}
	}
	for _, pair := range cfg.Own {
		if pair.Port() == 0 {
			problems = append(problems, fmt.Errorf("own address %s has no port", pair.Addr()))
		}
	}
	ranges, err := newRanges()
	if err != nil {
		problems = append(problems, err)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return &Policy{cfg: cfg, ranges: ranges, own: newOwn(cfg.Own)}, nil
}

// CheckAddr says whether the address may be dialled: nil or a *DeniedError.
func (p *Policy) CheckAddr(s Scope, a netip.AddrPort) error {
	return p.settle(s, p.judge(s, "", a), p.cfg.Report)
}

// CheckName says whether the host may be looked up at all, for a connection to
// port; of a literal address, whether it may be dialled. It gives nil, a
// *DeniedError, or a *LookupError for what cannot be a name. No look-up is made.
func (p *Policy) CheckName(s Scope, host string, port uint16) error {
	return p.checkName(s, host, port, p.cfg.Report)
}

func (p *Policy) checkName(s Scope, host string, port uint16, report func(Decision)) error {
	if a, err := netip.ParseAddr(host); err == nil {
		return p.settle(s, p.judge(s, "", netip.AddrPortFrom(a, port)), report)
	}
	name := canonical(host)
	if !validName(name) {
		return &LookupError{Host: host, NotFound: true}
	}
	return p.settle(s, p.judgeName(s, name, port), report)
}

// verdict is a judgement before the mode is applied. Its zero value allows.
type verdict struct {
	class  Class
	always bool
	host   string
	addr   netip.AddrPort
	basis  Basis // why it allows
	rule   *Rule // that which allows, or has the destination with other ports
}

// settle applies the mode to a verdict and reports a denial.
func (p *Policy) settle(s Scope, v verdict, report func(Decision)) error {
	if v.class == "" {
		return nil
	}
	enforced := p.enforces(v)
	report(Decision{Scope: s, Host: v.host, Addr: v.addr, Class: v.class, Enforced: enforced})
	if !enforced {
		return nil
	}
	denied := &DeniedError{Class: v.class, Host: v.host}
	if v.addr.IsValid() {
		denied.Addr = v.addr
	}
	return denied
}

// enforces says whether a denial is more than noted.
func (p *Policy) enforces(v verdict) bool { return v.always || p.cfg.Mode != ModeReport }

// judge decides on an address that host, in canonical form, resolved to; host
// is empty for a literal.
func (p *Policy) judge(s Scope, host string, ap netip.AddrPort) verdict {
	if sabotage.On(sabotage.DialAnything) {
		return verdict{}
	}
	a, port := sabotage.Swap(sabotage.SkipUnmap, ap.Addr().Unmap(), ap.Addr()), ap.Port()
	v := verdict{host: host, addr: netip.AddrPortFrom(a, port), always: true}
	switch {
	case a.Zone() != "":
		v.class = ClassLinkLocal
	case port == 0:
		v.class = ClassPort
	case p.own.has(a, port) && !sabotage.On(sabotage.SkipOwn):
		v.class = ClassOwn
	default:
		v.class = p.ranges.never(a)
	}
	if v.class == ClassLoopback {
		return p.loopback(s, v)
	}
	switch {
	case v.class != "":
		return v
	case p.cfg.Open:
		return verdict{basis: BasisOpen}
	case s.Network == networkEIP && p.ranges.global(a):
		return verdict{basis: BasisPublic}
	}
	v.always, v.class = false, p.ranges.unlisted(a)
	for i := range p.cfg.Rules {
		rule := &p.cfg.Rules[i]
		if !rule.applies(s) || !rule.names(host) && !rule.Prefix.Contains(a) {
			continue
		}
		if rule.port(port) {
			return verdict{basis: BasisRule, rule: rule}
		}
		v.class, v.rule = ClassPort, rule
	}
	return v
}

// loopback lifts the denial of a loopback address where the configuration means
// this one.
func (p *Policy) loopback(s Scope, denied verdict) verdict {
	if p.cfg.Open {
		return verdict{basis: BasisOpen}
	}
	if !p.cfg.Local {
		return denied
	}
	for i := range p.cfg.Rules {
		if rule := &p.cfg.Rules[i]; rule.applies(s) && rule.opensLoopback(denied.addr.Addr(), denied.addr.Port()) {
			return verdict{basis: BasisRule, rule: rule}
		}
	}
	return denied
}

// judgeName decides whether a name may be looked up. It may if its addresses
// could be allowed: by a rule for the name, or by any range.
func (p *Policy) judgeName(s Scope, name string, port uint16) verdict {
	v := verdict{host: name, addr: netip.AddrPortFrom(netip.Addr{}, port)}
	if port == 0 {
		v.class, v.always = ClassPort, true
		return v
	}
	if p.cfg.Open {
		return verdict{basis: BasisOpen}
	}
	v.class = ClassNotListed
	var byRange *Rule
	for i := range p.cfg.Rules {
		rule := &p.cfg.Rules[i]
		switch {
		case !rule.applies(s) || rule.Host != "" && !rule.names(name):
		case !rule.port(port):
			v.class, v.rule = ClassPort, rule
		case rule.Host != "":
			return verdict{basis: BasisRule, rule: rule}
		case byRange == nil:
			byRange = rule
		}
	}
	switch {
	case s.Network == networkEIP:
		return verdict{basis: BasisPublic}
	case byRange != nil:
		return verdict{basis: BasisRule, rule: byRange}
	default:
		return v
	}
}
