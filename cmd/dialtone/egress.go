package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"dialtone/internal/config"
	"dialtone/internal/egress"
	"dialtone/internal/service"
)

// egressCommand is about the policy that says what may be dialled.
type egressCommand struct {
	Explain explainCommand `cmd:"" help:"Say whether an address may be tested, and by which rule, without dialling it."`
}

// explainCommand is `dialtone egress explain`.
type explainCommand struct {
	Destination string `arg:"" name:"host:port" help:"Address or name with its port."`

	Network string `default:"eip" placeholder:"NET" help:"Network that the test is made from: eip, vpn, vpc or vpc-ID."`
	Project string `env:"DIALTONE_PROJECT" default:"0123456789abcdef0123456789abcdef" placeholder:"ID" help:"Project that the test is made for."`
	Lookup  bool   `help:"Look a name up, with this machine's resolver, and judge its addresses. Without it nothing is sent anywhere."`
	JSON    bool   `name:"json" help:"Write JSON instead of text."`

	config.Egress `embed:"" group:"Egress"`
}

// Help is what --help says below the flags.
func (*explainCommand) Help() string {
	return `The policy is that of a worker with these settings. The addresses of its Postgres, Redis and listeners, which a worker denies as well, are known here only as far as DIALTONE_EGRESS_OWN names them.

Exit code: 0 allowed, or a name whose addresses decide; 1 denied; 2 the call is wrong.`
}

// Run explains one destination.
func (x *explainCommand) Run(ctx context.Context, c console) error {
	host, port, err := x.destination()
	if err != nil {
		return usageError{err}
	}
	policy, err := service.OpenPolicy(slog.New(slog.DiscardHandler), x.Egress, nil, nil)
	if err != nil {
		return usageError{err}
	}
	scope := egress.Scope{Project: x.Project, Network: x.Network}
	found, err := policy.Explain(scope, host, port)
	if err != nil {
		return usageError{errors.New("the host is neither an address nor a name")}
	}
	told := explained{
		Destination: x.Destination, Project: x.Project, Network: x.Network, Mode: x.EgressMode, judgement: newJudgement(found, egress.Mode(x.EgressMode)),
	}
	if x.Lookup && found.Outcome == egress.OutcomeDepends {
		if err := told.lookUp(ctx, policy, scope, host, port); err != nil {
			return err
		}
	}
	if err := told.render(c.stdout, x.JSON); err != nil {
		return err
	}
	if told.Outcome == egress.OutcomeDenied {
		return errFailed
	}
	return nil
}

// destination checks the call.
func (x *explainCommand) destination() (host string, port uint16, err error) {
	if err := x.Check(); err != nil {
		return "", 0, err
	}
	if !config.IsNetwork(x.Network) {
		return "", 0, errors.New("--network is not eip, vpn, vpc or vpc-ID")
	}
	host, text, err := net.SplitHostPort(x.Destination)
	if err != nil {
		return "", 0, errors.New("the destination is not HOST:PORT; an IPv6 address stands in brackets")
	}
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil || number == 0 {
		return "", 0, errors.New("the port is no number from 1 to 65535")
	}
	return host, uint16(number), nil
}

// lookUp judges the addresses of a name: it is allowed if one of them is, for
// only those are dialled.
func (t *explained) lookUp(ctx context.Context, policy *egress.Policy, scope egress.Scope, name string, port uint16) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	resolver := net.Resolver{PreferGo: true} // as the workers do
	addrs, err := resolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return fmt.Errorf("look up the name: %w", err)
	}
	mode := egress.Mode(t.Mode)
	for i, a := range addrs {
		a = a.Unmap()
		each := newJudgement(policy.ExplainAddr(scope, name, netip.AddrPortFrom(a, port)), mode)
		t.Addresses = append(t.Addresses, explainedAddress{Address: a, judgement: each})
		if i == 0 || each.Outcome == egress.OutcomeAllowed && t.Outcome == egress.OutcomeDenied {
			t.judgement = each
		}
	}
	return nil
}
