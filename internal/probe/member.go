package probe

import (
	"context"
	"errors"
	"sync"
	"time"

	"dialtone/internal/sabotage"
)

// Member is an address that the other side named and that clients will be
// sent to: an advertised listener, a node of a cluster, a replica.
type Member struct {
	Address Address
	// Role is what the other side calls it, such as "primary" or "broker 3".
	Role string
}

// MemberResult is how far the test of one member came.
type MemberResult struct {
	Address string `json:"address"`
	Role    string `json:"role,omitempty"`
	Code    Code   `json:"code"`
	// Reached is the last phase that passed.
	Reached Phase `json:"reached,omitempty"`
}

const (
	// maxMembers bounds how many addresses one server can have us dial.
	maxMembers = 32
	// membersAtOnce is how many of them are dialled at a time.
	membersAtOnce = 8
)

// Members tests addresses that the other side named, each by prove and with a
// session of its own: policy, look-up, limits and judgement are those of a
// listed address, and no login can be made there. The results are in the order
// of the members, and in the evidence. Those beyond the first 32 are left out,
// which is noted as the fact members_left_out.
//
// It takes at most nine tenths of the time that is left, so that the session
// that asked can still say goodbye.
func (s *Session) Members(ctx context.Context, members []Member, prove func(context.Context, *Session) error) []MemberResult {
	if len(members) > maxMembers {
		members = members[:maxMembers]
		s.Fact("members_left_out", "true")
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)*9/10)
		defer cancel()
	}
	results := make([]MemberResult, len(members))
	places := make(chan struct{}, membersAtOnce)
	var tests sync.WaitGroup
	for i, m := range members {
		places <- struct{}{} // a place is given back at the latest when ctx ends
		tests.Go(func() {
			defer func() { <-places }()
			results[i] = s.member(ctx, m, prove)
		})
	}
	tests.Wait()
	s.note(func(e *Evidence) { e.Members = append(e.Members, results...) })
	return results
}

func (s *Session) member(ctx context.Context, m Member, prove func(context.Context, *Session) error) MemberResult {
	gate := &loginGate{}
	if !sabotage.On(sabotage.LoginAtMembers) {
		_ = gate.pass(ctx, func(context.Context) error { return errors.New("no login at a member") })
	}
	start := time.Now()
	child := s.run.open(ctx, m.Address, gate)
	code, phase, seen := s.run.try(ctx, child, prove)
	rows, _ := child.trace.finish(phase, code)
	if forbidden(code, seen) {
		s.run.deny(ctx, start)
	}
	return MemberResult{Address: s.printable(m.Address.String()), Role: s.printable(m.Role), Code: code, Reached: lastPassed(rows)}
}
