package egress

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// own knows the sockets of this service. One that is bound to this machine is
// denied on all addresses of the machine: what listens there may listen on
// all of them, whichever address our configuration has for it.
type own struct {
	ports map[uint16][]netip.Addr // the zero Addr is every address of this machine
	here  *machine
}

func newOwn(pairs []netip.AddrPort) own {
	o := own{ports: map[uint16][]netip.Addr{}, here: &machine{list: net.InterfaceAddrs}}
	for _, pair := range pairs {
		a := pair.Addr().Unmap().WithZone("")
		if a.IsUnspecified() {
			a = netip.Addr{}
		}
		o.ports[pair.Port()] = append(o.ports[pair.Port()], a)
	}
	return o
}

func (o own) has(a netip.Addr, port uint16) bool {
	return slices.ContainsFunc(o.ports[port], func(mine netip.Addr) bool {
		return mine == a || (!mine.IsValid() || o.here.has(mine)) && o.here.has(a)
	})
}

// interfacesFor is how long a list of the machine's addresses is good.
const interfacesFor = 5 * time.Second

// machine knows the addresses of this machine.
type machine struct {
	list func() ([]net.Addr, error)

	mu    sync.Mutex
	until time.Time
	known map[netip.Addr]bool // nil: could not be listed
}

// has says whether a is an address of this machine. If they cannot be listed
// it says yes, because a socket of ours must not be reached by accident.
func (m *machine) has(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); now.After(m.until) {
		m.until, m.known = now.Add(interfacesFor), addresses(m.list)
	}
	return m.known == nil || m.known[a]
}

func addresses(list func() ([]net.Addr, error)) map[netip.Addr]bool {
	all, err := list()
	if err != nil {
		return nil
	}
	known := map[netip.Addr]bool{}
	for _, each := range all {
		if prefix, err := netip.ParsePrefix(each.String()); err == nil {
			known[prefix.Addr().Unmap().WithZone("")] = true
		}
	}
	return known
}
