package api

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// clientOf is the address that a request came from. A peer that is one of our
// own proxies is believed in what it adds to X-Forwarded-For: the address is the
// last in the list that is no proxy of ours. What a caller has put before that
// counts for nothing, and neither does the header of anybody else.
func clientOf(r *http.Request, proxies []netip.Prefix) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return "" // not a TCP connection
	}
	client := peer.Addr().Unmap().WithZone("")
	if !trusted(client, proxies) {
		return client.String()
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr, err := hopAddr(strings.TrimSpace(hop))
		if err != nil {
			break // whoever wrote that is as far as we can see
		}
		if client = addr; !trusted(client, proxies) {
			break
		}
	}
	return client.String()
}

// hopAddr reads one address of X-Forwarded-For; some proxies add the port.
func hopAddr(hop string) (netip.Addr, error) {
	if at, err := netip.ParseAddrPort(hop); err == nil {
		return at.Addr().Unmap().WithZone(""), nil
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(hop, "["), "]"))
	return addr.Unmap().WithZone(""), err
}

func trusted(addr netip.Addr, proxies []netip.Prefix) bool {
	return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}
