package mongodb

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync/atomic"

	"dialtone/internal/probe"
)

// topology tests the members of the replica set by the names under which they
// know each other: that is where the server sends clients, whatever address it
// was asked at. Without the primary the set is of no use; without a secondary
// it is not what it should be.
func (a *attempt) topology(ctx context.Context, h hello) error {
	s := a.session
	if h.router || h.setName == "" {
		return nil
	}
	s.Enter(probe.PhaseTopology)
	if !h.primary && h.leader == "" {
		return &probe.Error{Code: probe.CodeServerNotReady, Phase: probe.PhaseTopology, Err: errors.New("the replica set has no primary")}
	}
	var leader probe.Code
	warned := map[probe.Code]bool{probe.CodeOK: true}
	for _, r := range s.Members(ctx, a.others(h), a.prove(h, nil)) {
		code := clusterCode(r.Code)
		if r.Role == rolePrimary && !h.primary {
			leader = code
			continue
		}
		if !warned[code] {
			warned[code] = true
			s.Warn(probe.PhaseTopology, code)
		}
	}
	switch {
	case leader == "" || leader == probe.CodeOK:
		return nil
	case a.listed(ctx, h):
		// It has another name where we stand, and the caller listed that one.
		if !warned[leader] {
			s.Warn(probe.PhaseTopology, leader)
		}
		return nil
	default:
		return &probe.Error{Code: leader, Phase: probe.PhaseTopology, Err: errors.New("the primary cannot be reached by the name that the set has for it")}
	}
}

// The roles of members, as the report names them.
const (
	rolePrimary   = "primary"
	roleSecondary = "secondary"
	roleListed    = "listed address"
)

// others are the members by their own names, the primary first; the one that
// is being tested is left out if its own name is the address in use.
func (a *attempt) others(h hello) []probe.Member {
	leader := h.leader
	if h.primary && leader == "" {
		leader = h.me
	}
	var all []probe.Member
	for _, name := range h.members {
		address, ok := parseAddress(name)
		switch {
		case !ok || address == a.session.Address:
		case name == leader:
			all = append([]probe.Member{{Address: address, Role: rolePrimary}}, all...)
		default:
			all = append(all, probe.Member{Address: address, Role: roleSecondary})
		}
	}
	return all
}

// listed says whether another address of the target is the primary.
func (a *attempt) listed(ctx context.Context, h hello) bool {
	var rest []probe.Member
	for _, address := range a.session.Target.Addresses {
		if address != a.session.Address {
			rest = append(rest, probe.Member{Address: address, Role: roleListed})
		}
	}
	if len(rest) == 0 {
		return false
	}
	var found atomic.Bool
	a.session.Members(ctx, rest, a.prove(h, &found))
	return found.Load()
}

// prove asks a member who it is. It must be of the set that h is of; primary
// is set when one says that it leads it.
func (a *attempt) prove(h hello, primary *atomic.Bool) func(context.Context, *probe.Session) error {
	return func(ctx context.Context, s *probe.Session) error {
		m := &attempt{session: s, cfg: a.cfg}
		defer m.close()
		theirs, err := m.meet(ctx, "")
		if err != nil {
			return m.judge(err)
		}
		if !h.cluster().Same(theirs.cluster()) {
			return probe.Fail(probe.CodeTopologyMismatch, errors.New("what answers there is no member of the set"))
		}
		if primary != nil && theirs.primary {
			primary.Store(true)
		}
		return theirs.usable()
	}
}

// clusterCode is what the trouble of one member means for the whole.
func clusterCode(member probe.Code) probe.Code {
	switch member {
	case probe.CodeOK, probe.CodeTargetNotAllowed, probe.CodeTopologyMismatch, probe.CodeServerNotReady:
		return member
	default:
		return probe.CodeAdvertisedUnreachable
	}
}

// parseAddress reads host:port. A name without a port is none of the server's.
func parseAddress(name string) (probe.Address, bool) {
	host, text, err := net.SplitHostPort(name)
	port, numErr := strconv.ParseUint(text, 10, 16)
	return probe.Address{Host: host, Port: uint16(port)}, err == nil && numErr == nil && port != 0 && host != ""
}
