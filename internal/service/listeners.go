package service

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"
)

// listenerPatience is how long a worker waits for the list of listeners. A
// store that is away must not keep it from looking its other servers up.
const listenerPatience = 2 * time.Second

// Announce has the process tell the store that it listens there, beside its
// admin listener. Workers deny what they find announced.
func (p *Process) Announce(listeners ...net.Addr) { p.listeners = append(p.listeners, listeners...) }

// announce tells the store where this process listens, until ctx ends, and that
// it does no more then.
func (p *Process) announce(ctx context.Context) {
	told := true
	tell := func(ctx context.Context) {
		err := p.Store.AnnounceListeners(ctx, p.Name, reachableAt(append(slices.Clone(p.listeners), p.admin.Addr()), net.InterfaceAddrs))
		if err != nil && told && ctx.Err() == nil {
			p.Log.WarnContext(ctx, "listeners not announced; workers may not know them", "error", err)
		}
		told = err == nil
	}
	tell(ctx)
	repeat(ctx, time.Minute, tell)
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), listenerPatience)
	defer cancel()
	_ = p.Store.AnnounceListeners(ending, p.Name, nil) // else it is forgotten in time
}

// announced lists where processes of this service listen, as far as the store
// can be asked.
func (p *Process) announced(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, listenerPatience)
	defer cancel()
	list, err := p.Store.Listeners(ctx)
	if err != nil {
		p.Log.DebugContext(ctx, "listeners not known", "error", err)
	}
	return list
}

// reachableAt gives the addresses of listeners: one that listens everywhere is
// reached at every address of the machine. Link-local ones nobody may test.
func reachableAt(listeners []net.Addr, machine func() ([]net.Addr, error)) []string {
	var all []string
	for _, l := range listeners {
		at, err := netip.ParseAddrPort(l.String())
		if err != nil {
			continue
		}
		if !at.Addr().IsUnspecified() {
			all = append(all, netip.AddrPortFrom(at.Addr().Unmap(), at.Port()).String())
			continue
		}
		interfaces, err := machine()
		if err != nil {
			continue // said again in a minute
		}
		for _, each := range interfaces {
			if prefix, err := netip.ParsePrefix(each.String()); err == nil && !prefix.Addr().IsLinkLocalUnicast() {
				all = append(all, netip.AddrPortFrom(prefix.Addr().Unmap(), at.Port()).String())
			}
		}
	}
	return all
}
