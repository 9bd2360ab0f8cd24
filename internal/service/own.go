package service

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

// ownServers knows the addresses of our own servers, which no probe may reach
// whatever the allow-list says. Names are resolved again and again, because a
// process may start before its DNS does and because servers move; an address
// that was ours once stays denied.
type ownServers struct {
	list func(context.Context) []string

	mu    sync.Mutex
	known []netip.AddrPort
}

// look resolves the servers and gives all that is known.
func (o *ownServers) look(ctx context.Context) []netip.AddrPort {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	found := OwnAddresses(ctx, o.list(ctx)...)
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, a := range found {
		if !slices.Contains(o.known, a) {
			o.known = append(o.known, a)
		}
	}
	return slices.Clone(o.known)
}

// follow looks in each period until ctx ends and tells of news.
func (o *ownServers) follow(ctx context.Context, period time.Duration, news func(context.Context)) {
	repeat(ctx, period, func(ctx context.Context) {
		before := o.count()
		if len(o.look(ctx)) != before {
			news(ctx)
		}
	})
}

func (o *ownServers) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.known)
}

// repeat calls do after each period until ctx ends. One call has ten seconds:
// a server that is frozen must not stop it for good.
func repeat(ctx context.Context, period time.Duration, do func(context.Context)) {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
		do(bounded)
		cancel()
	}
}

// OwnAddresses gives the addresses of our own servers, as far as they are
// literals or resolve now: a probe must never reach them, whatever the
// allow-list says.
func OwnAddresses(ctx context.Context, servers ...string) []netip.AddrPort {
	var own []netip.AddrPort
	for _, server := range servers {
		host, port, err := net.SplitHostPort(server)
		if err != nil {
			continue
		}
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			continue
		}
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			continue // it cannot be reached either, then
		}
		for _, a := range addrs {
			own = append(own, netip.AddrPortFrom(a.Unmap(), uint16(number)))
		}
	}
	return own
}
