package egress

import (
	"net/netip"
)

// Outcome is what a policy makes of a destination.
type Outcome string

// The outcomes. Depends is that of a name which may be looked up, and whose
// addresses decide.
const (
	OutcomeAllowed Outcome = "allowed"
	OutcomeDenied  Outcome = "denied"
	OutcomeDepends Outcome = "depends"
)

// Basis is why a destination is allowed.
type Basis string

// The bases.
const (
	BasisRule   Basis = "rule"   // a rule has it
	BasisPublic Basis = "public" // public addresses need no rule on the network eip
	BasisOpen   Basis = "open"   // all that is not denied always, see Config.Open
)

// Explanation is a judgement with its reason.
type Explanation struct {
	Outcome Outcome
	// Basis is why it is allowed; empty if it is not.
	Basis Basis
	// Class is why it is denied; empty if it is not.
	Class Class
	// Always: no rule could allow it.
	Always bool
	// Enforced is false for what is denied and, in report mode, dialled all the
	// same.
	Enforced bool
	// Rule is the one that allows it, or, of Class port, one that has it with
	// other ports. Nil if there is none.
	Rule *Rule
}

// Explain says what the policy makes of a literal address or, without looking
// it up, of a name. The error is a *LookupError for what cannot be a name.
// Nobody is told of a denial.
func (p *Policy) Explain(s Scope, host string, port uint16) (Explanation, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return p.explain(p.judge(s, "", netip.AddrPortFrom(a, port))), nil
	}
	name := canonical(host)
	if !validName(name) {
		return Explanation{}, &LookupError{Host: host, NotFound: true}
	}
	v := p.judgeName(s, name, port)
	e := p.explain(v)
	if v.class == "" {
		e.Outcome = OutcomeDepends
	}
	return e, nil
}

// ExplainAddr says what the policy makes of an address that the name host
// resolved to.
func (p *Policy) ExplainAddr(s Scope, host string, a netip.AddrPort) Explanation {
	return p.explain(p.judge(s, canonical(host), a))
}

func (p *Policy) explain(v verdict) Explanation {
	if v.class == "" {
		return Explanation{Outcome: OutcomeAllowed, Basis: v.basis, Rule: v.rule}
	}
	return Explanation{Outcome: OutcomeDenied, Class: v.class, Always: v.always, Enforced: p.enforces(v), Rule: v.rule}
}
