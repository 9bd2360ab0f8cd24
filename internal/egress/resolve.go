package egress

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"dialtone/internal/sabotage"
)

// maxAddrs is how many addresses of a name are kept.
const maxAddrs = 16

// patience is how long one DNS packet waits for its answer. The resolver's own
// measure, 5 s, would let a single lost packet fail a look-up.
const patience = 2 * time.Second

// What Evidence.Resolver says apart from a server's address.
const (
	resolverSystem = "system"
	resolverHosts  = "hosts file"
)

// answer is what a name resolved to, before the policy has chosen.
type answer struct {
	addrs    []netip.Addr
	resolver string
}

// find gives the allowed addresses of a host, with no look-up for a literal or
// for a name that was looked up before.
func (e *Edge) find(ctx context.Context, host string, port uint16) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		a = a.Unmap()
		if err := e.judge("", netip.AddrPortFrom(a, port)); err != nil {
			return nil, err
		}
		e.found(answer{addrs: []netip.Addr{a}}, []netip.Addr{a})
		return []netip.Addr{a}, nil
	}
	if err := e.CheckName(host, port); err != nil && !sabotage.On(sabotage.AskForbiddenNames) {
		return nil, err
	}
	name := canonical(host)
	known, err := e.resolve(ctx, name)
	if err != nil {
		e.failed(&e.seen.LookupErr, err)
		return nil, err
	}
	var allowed []netip.Addr
	var denied error
	for _, a := range known.addrs {
		if err := e.judge(name, netip.AddrPortFrom(a, port)); err != nil && !sabotage.On(sabotage.SkipAnswers) {
			denied = err
			continue
		}
		allowed = append(allowed, a)
	}
	if len(allowed) == 0 {
		return nil, denied
	}
	e.found(known, allowed)
	return allowed, nil
}

// found keeps the first look-up as evidence.
func (e *Edge) found(known answer, allowed []netip.Addr) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.seen.Addrs == nil {
		e.seen.Resolver, e.seen.Addrs = known.resolver, slices.Clone(allowed)
	}
}

// resolve looks a name up, once: the first answer is pinned.
func (e *Edge) resolve(ctx context.Context, name string) (answer, error) {
	e.mu.Lock()
	known, ok := e.pinned[name]
	e.mu.Unlock()
	if ok && !sabotage.On(sabotage.UnpinNames) {
		return known, nil
	}
	if !e.spend(&e.lookups) {
		return answer{}, ErrDialBudget
	}
	known, err := e.ask(ctx, name)
	if err != nil {
		return answer{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if first, ok := e.pinned[name]; ok && !sabotage.On(sabotage.UnpinNames) {
		return first, nil
	}
	e.pinned[name] = known
	return known, nil
}

// ask makes the look-up. The resolver is Go's own, never the C library's: that
// one cannot be cancelled, and it cannot be given a server.
func (e *Edge) ask(ctx context.Context, name string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, e.limits.LookupTimeout)
	defer cancel()
	query, source := name, resolverSystem
	asking := &inquiry{edge: e, sockets: map[net.Conn]struct{}{}}
	if e.scope.DNS.IsValid() {
		asking.server = netip.AddrPortFrom(e.scope.DNS.Unmap(), e.policy.cfg.DNSPort)
		if err := e.mayAsk(asking.server); err != nil {
			return answer{}, err
		}
		// The search list of this machine means nothing to a server of the caller's.
		query, source = name+".", asking.server.String()
	}
	// The resolver reads on in the background when its context has ended;
	// without their sockets those reads end too.
	defer asking.close()
	defer context.AfterFunc(ctx, asking.close)()

	resolver := net.Resolver{PreferGo: true, Dial: asking.dial}
	addrs, err := resolver.LookupNetIP(ctx, "ip", query)
	if denied := asking.refusal(); denied != nil {
		return answer{}, denied
	}
	if err != nil {
		return answer{}, lookupError(name, err)
	}
	if !asking.asked.Load() {
		source = resolverHosts
	}
	if len(addrs) > maxAddrs {
		addrs = addrs[:maxAddrs]
	}
	for i, a := range addrs {
		addrs[i] = a.Unmap()
	}
	return answer{addrs, source}, nil
}

// mayAsk judges the caller's DNS server.
func (e *Edge) mayAsk(server netip.AddrPort) error {
	v := e.policy.judge(e.scope, "", server)
	if sabotage.On(sabotage.SkipResolverCheck) {
		return nil
	}
	if v.class != "" {
		v.class = ClassResolver
	}
	return e.policy.settle(e.scope, v, e.report)
}

// inquiry owns the sockets of one look-up.
type inquiry struct {
	edge   *Edge
	server netip.AddrPort // the caller's; zero for the system's
	asked  atomic.Bool    // whether a server was

	mu      sync.Mutex
	closed  bool
	denied  error
	sockets map[net.Conn]struct{}
}

// dial gives the resolver a socket to a DNS server. The resolver speaks
// differently to one that is a net.PacketConn.
func (q *inquiry) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	if q.server.IsValid() {
		address = q.server.String()
		dialer.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return &DeniedError{Class: ClassResolver}
			}
			return q.refuse(q.edge.mayAsk(ap))
		}
	}
	q.asked.Store(true)
	socket, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		_ = socket.Close()
		return nil, net.ErrClosed
	}
	q.sockets[socket] = struct{}{}
	if datagrams, ok := socket.(*net.UDPConn); ok {
		return hasty{datagrams}, nil
	}
	return socket, nil
}

// hasty is a packet connection with little patience.
type hasty struct{ *net.UDPConn }

// SetDeadline implements net.Conn.
func (c hasty) SetDeadline(t time.Time) error {
	if limit := time.Now().Add(patience); t.IsZero() || t.After(limit) {
		t = limit
	}
	return c.UDPConn.SetDeadline(t)
}

// refuse keeps a denial, which the resolver would flatten into text.
func (q *inquiry) refuse(denied error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if denied != nil {
		q.denied = denied
	}
	return denied
}

func (q *inquiry) refusal() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.denied
}

func (q *inquiry) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for socket := range q.sockets {
		_ = socket.Close()
	}
	clear(q.sockets)
}
