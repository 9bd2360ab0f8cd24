package egress

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"dialtone/internal/sabotage"
)

// dialMargin is what a dial or a look-up has less than its context, so that
// one which runs into the deadline still ends with an error of its own, and
// "no connection in time" differs from "connected, then silence".
const dialMargin = 10 * time.Millisecond

// Limits bound what one Edge may use. Zero values are the defaults.
type Limits struct {
	// Dials is how many connections may be attempted, each address of a host
	// counted, and how many names looked up. Default 4.
	Dials int
	// ReadBytes may be received over all connections. Default 1 MiB.
	ReadBytes int64
	// ConnectTimeout is for one address. Default 5 s.
	ConnectTimeout time.Duration
	// LookupTimeout is for one name. Default 5 s.
	LookupTimeout time.Duration
}

// Edge is the way out of one probe. It is safe for concurrent use, since
// drivers dial from goroutines of their own. It must be closed.
type Edge struct {
	policy   *Policy
	scope    Scope
	limits   Limits
	deadline time.Time // of the probe; zero if there is none

	unwatch func() bool   // stop watching the probe's context
	watched chan struct{} // closed when the watcher has run
	closing sync.Once
	busy    sync.WaitGroup // dials and look-ups in progress

	in, out atomic.Int64
	capped  atomic.Bool
	greeted atomic.Bool // FirstBytes is full

	mu       sync.Mutex
	ended    error // why nothing more is possible; nil while it is
	cancels  map[*context.CancelFunc]struct{}
	sockets  map[io.Closer]struct{}
	pinned   map[string]answer
	reported map[Decision]struct{}
	dials    int
	lookups  int
	seen     Evidence
}

// Open makes the edge of one probe. The deadline of ctx is forced onto every
// socket, and its end closes them. A negative limit is taken as the default.
func (p *Policy) Open(ctx context.Context, s Scope, l Limits) *Edge {
	e := &Edge{
		policy: p,
		scope:  s,
		limits: Limits{
			Dials:          cmp.Or(max(l.Dials, 0), 4),
			ReadBytes:      cmp.Or(max(l.ReadBytes, 0), 1<<20),
			ConnectTimeout: cmp.Or(max(l.ConnectTimeout, 0), 5*time.Second),
			LookupTimeout:  cmp.Or(max(l.LookupTimeout, 0), 5*time.Second),
		},
		watched:  make(chan struct{}),
		cancels:  map[*context.CancelFunc]struct{}{},
		sockets:  map[io.Closer]struct{}{},
		pinned:   map[string]answer{},
		reported: map[Decision]struct{}{},
	}
	e.deadline, _ = ctx.Deadline()
	e.unwatch = context.AfterFunc(ctx, func() {
		e.end(ctx.Err())
		close(e.watched)
	})
	return e
}

// CheckName is Policy.CheckName for this edge.
func (e *Edge) CheckName(host string, port uint16) error {
	return e.policy.checkName(e.scope, host, port, e.report)
}

// Lookup judges the host, looks it up unless it is a literal address, and
// gives those of its addresses that are allowed for port: at least one, or a
// *DeniedError or *LookupError. What a name resolved to stays so for this edge.
func (e *Edge) Lookup(ctx context.Context, host string, port uint16) ([]netip.Addr, error) {
	ctx, end, err := e.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	return e.find(ctx, host, port)
}

// Dial connects to "host:port" over TCP. A host that Lookup has not seen is
// judged and looked up first. Its addresses are tried one after the other. The
// error is a *DeniedError, *LookupError, *DialError or ErrDialBudget, or that
// of the probe's context after its end.
func (e *Edge) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, end, err := e.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	host, port, err := destination(network, address)
	if err != nil {
		return nil, e.refused(err, port)
	}
	addrs, err := e.find(ctx, host, port)
	if err != nil {
		return nil, e.refused(err, port)
	}
	name := canonical(host)
	if _, err := netip.ParseAddr(host); err == nil {
		name = ""
	}
	var failed error
	for _, a := range addrs {
		if a.Is4() && network == "tcp6" || a.Is6() && network == "tcp4" {
			continue
		}
		if !e.spend(&e.dials) {
			// Addresses that failed are the news then, not that there were many.
			return nil, cmp.Or(failed, ErrDialBudget)
		}
		c, err := e.connect(ctx, network, name, netip.AddrPortFrom(a, port))
		if err == nil {
			return c, nil
		}
		failed = clearer(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	if failed == nil {
		return nil, &LookupError{Host: host, NotFound: true}
	}
	return nil, failed
}

// destination takes a dial's arguments apart.
func destination(network, address string) (string, uint16, error) {
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return "", 0, &DeniedError{Class: ClassTransport}
	}
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, &LookupError{Host: address, NotFound: true}
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, &DeniedError{Class: ClassPort, Host: host}
	}
	return host, uint16(port), nil
}

// refused takes a dial that was denied out of the budget, or a driver that is
// sent to forbidden places could try for ever. The evidence has the name, not
// what it resolved to.
func (e *Edge) refused(err error, port uint16) error {
	denied, ok := errors.AsType[*DeniedError](err)
	if !ok {
		return err
	}
	if !e.spend(&e.dials) {
		return ErrDialBudget
	}
	addr := denied.Addr
	if denied.Host != "" {
		addr = netip.AddrPortFrom(netip.Addr{}, port)
	}
	e.dialled(Dial{Host: denied.Host, Addr: addr, Start: time.Now(), Err: denied})
	return err
}

// connect makes one attempt at one address.
func (e *Edge) connect(ctx context.Context, network, host string, ap netip.AddrPort) (net.Conn, error) {
	dialer := net.Dialer{
		Timeout:   sabotage.Swap(sabotage.StretchConnect, e.limits.ConnectTimeout, time.Minute),
		KeepAlive: -1, // no probe lives long enough
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			return e.atKernel(host, address)
		},
	}
	start := time.Now()
	raw, err := dialer.DialContext(ctx, network, ap.String())
	if errors.Is(err, context.Canceled) && errors.Is(e.whyClosed(err), os.ErrDeadlineExceeded) {
		// On a busy machine the end of the probe comes before the dial's own.
		err = os.ErrDeadlineExceeded
	}
	e.dialled(Dial{Host: host, Addr: ap, Start: start, Took: time.Since(start), Err: err})
	if denied, ok := errors.AsType[*DeniedError](err); ok {
		return nil, denied
	}
	if err != nil {
		return nil, &DialError{Addr: ap, Err: err}
	}
	return e.own(raw, ap)
}

// atKernel judges the address that the kernel is about to use.
func (e *Edge) atKernel(host, address string) error {
	if sabotage.On(sabotage.SkipControl) {
		return nil
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return &DeniedError{Class: ClassUnspecified}
	}
	return e.judge(host, ap)
}

// own takes a new socket into the edge's care.
func (e *Edge) own(raw net.Conn, ap netip.AddrPort) (net.Conn, error) {
	if err := raw.SetDeadline(sabotage.Swap(sabotage.FreeSockets, e.deadline, time.Time{})); err != nil {
		_ = raw.Close()
		return nil, &DialError{Addr: ap, Err: err}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended != nil {
		_ = raw.Close()
		return nil, e.ended
	}
	e.sockets[raw] = struct{}{}
	e.seen.Used = ap
	e.seen.Local, _ = netip.ParseAddrPort(raw.LocalAddr().String())
	return &conn{raw: raw, edge: e}, nil
}

// release gives up a socket that its user closes.
func (e *Edge) release(socket io.Closer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.sockets, socket)
}

// judge is Policy.judge for this edge, settled.
func (e *Edge) judge(host string, ap netip.AddrPort) error {
	return e.policy.settle(e.scope, e.policy.judge(e.scope, host, ap), e.report)
}

// report passes a decision on, once per edge: an address is judged when it is
// found and again when it is dialled.
func (e *Edge) report(d Decision) {
	e.mu.Lock()
	_, known := e.reported[d]
	if !known && len(e.reported) < 64 {
		e.reported[d] = struct{}{}
	}
	e.mu.Unlock()
	if !known {
		e.policy.cfg.Report(d)
	}
}

// spend takes one from the budget.
func (e *Edge) spend(used *int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if *used >= e.limits.Dials && !sabotage.On(sabotage.UnlimitDials) {
		return false
	}
	*used++
	return true
}

// begin enters a dial or look-up: its context ends with the edge, and a little
// before the deadline. The caller must call end.
func (e *Edge) begin(ctx context.Context) (_ context.Context, end func(), _ error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended != nil {
		return nil, nil, e.ended
	}
	var cancel context.CancelFunc
	limit, ok := ctx.Deadline()
	if !e.deadline.IsZero() && (!ok || e.deadline.Before(limit)) {
		limit, ok = e.deadline, true
	}
	if ok {
		ctx, cancel = context.WithDeadline(ctx, limit.Add(-dialMargin))
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	e.busy.Add(1)
	e.cancels[&cancel] = struct{}{}
	return ctx, func() {
		e.mu.Lock()
		delete(e.cancels, &cancel)
		e.mu.Unlock()
		cancel()
		e.busy.Done()
	}, nil
}

// end makes the edge unusable and closes all it has given out.
func (e *Edge) end(why error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended != nil {
		return
	}
	e.ended = why
	for cancel := range e.cancels {
		(*cancel)()
	}
	for socket := range e.sockets {
		if !sabotage.On(sabotage.LeaveSocketsOpen) {
			_ = socket.Close()
		}
	}
	clear(e.sockets)
}

// Close closes every socket that the edge has given out and waits until no
// dial or look-up is in progress. Further calls do nothing; Evidence stays.
func (e *Edge) Close() error {
	e.closing.Do(func() {
		if !e.unwatch() {
			<-e.watched
		}
		e.end(net.ErrClosed)
		e.busy.Wait()
	})
	return nil
}
