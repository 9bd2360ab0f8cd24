package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"

	"dialtone/internal/probe"
)

// topology tries every listener that the cluster advertises. The one that was
// tested already is not dialled again.
func (p *Prober) topology(ctx context.Context, s *probe.Session, brokers []broker) error {
	s.Enter(probe.PhaseTopology)
	var members []probe.Member
	seen := map[probe.Address]bool{s.Address: true}
	for _, b := range brokers {
		if b.host == "" || b.port < 1 || b.port > math.MaxUint16 {
			s.Fact("advertised_address", fmt.Sprintf("%s:%d", b.host, b.port))
			return probe.Fail(probe.CodeAdvertisedUnreachable, fmt.Errorf("broker %d advertises no usable address", b.id))
		}
		address := probe.Address{Host: b.host, Port: uint16(b.port)}
		if !seen[address] {
			seen[address] = true
			members = append(members, probe.Member{Address: address, Role: fmt.Sprintf("broker %d", b.id)})
		}
	}
	if len(members) == 0 {
		return nil
	}
	return judge(s.Members(ctx, members, p.reach))
}

// reach proves that a broker listens there and talks to us, without a login.
func (p *Prober) reach(ctx context.Context, s *probe.Session) error {
	a := &attempt{session: s, cfg: p.cfg}
	if err := a.open(ctx); err != nil {
		return err
	}
	defer a.link.close()
	return a.negotiate()
}

// judge makes one verdict of all listeners. That one of them may not be
// dialled comes first: whether it works is not known then.
func judge(results []probe.MemberResult) error {
	failed := 0
	for _, r := range results {
		switch r.Code {
		case probe.CodeOK:
		case probe.CodeTargetNotAllowed:
			return &probe.Error{
				Code: probe.CodeTargetNotAllowed, Phase: probe.PhaseTopology,
				Err: errors.New("an advertised address may not be tested"),
			}
		default:
			failed++
		}
	}
	if failed > 0 {
		return probe.Fail(probe.CodeAdvertisedUnreachable, fmt.Errorf("%d of %d advertised addresses cannot be reached", failed, len(results)))
	}
	return nil
}
