package egress

import (
	"net/netip"
	"slices"
	"time"
)

// firstBytes is how much of what the other side said first is kept: enough to
// know a protocol by, too little to be anybody's data.
const firstBytes = 16

// Evidence is what an edge saw.
type Evidence struct {
	// Resolver says who answered the first look-up: the DNS server of the
	// Scope, "system" or "hosts file"; empty for a literal address.
	Resolver string
	// Addrs are the allowed addresses of the first look-up. Those that are
	// denied are left out: where names of ours point to is not for callers.
	Addrs []netip.Addr
	// Dials are all attempts, in order, those that were denied included.
	Dials []Dial
	// Used and Local are the two ends of the newest connection.
	Used, Local netip.AddrPort
	// BytesIn and BytesOut count over all connections.
	BytesIn, BytesOut int64
	// FirstBytes are the first that came in, at most 16.
	FirstBytes []byte
	// LookupErr is the first error of a look-up, also of a host that only the
	// driver knew of.
	LookupErr error
	// ReadErr and WriteErr are the first of their kind, io.EOF included, but
	// not what a connection says after its user or the edge was closed.
	ReadErr, WriteErr error
	// Capped: more was to be read than may be.
	Capped bool
}

// Dial is one attempt to connect.
type Dial struct {
	// Host is the name that was dialled; empty for a literal address.
	Host string
	// Addr is the address; of a name that was denied, only the port is set.
	Addr  netip.AddrPort
	Start time.Time
	Took  time.Duration
	// Err is nil, a *DeniedError or what net said.
	Err error
}

// Evidence gives a copy of what was seen so far. It may be called at any time.
func (e *Edge) Evidence() Evidence {
	e.mu.Lock()
	defer e.mu.Unlock()
	seen := e.seen
	seen.Addrs = slices.Clone(seen.Addrs)
	seen.Dials = slices.Clone(seen.Dials)
	seen.FirstBytes = slices.Clone(seen.FirstBytes)
	seen.BytesIn, seen.BytesOut, seen.Capped = e.in.Load(), e.out.Load(), e.capped.Load()
	return seen
}

// received counts what came in.
func (e *Edge) received(b []byte) {
	e.in.Add(int64(len(b)))
	if e.greeted.Load() {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	missing := firstBytes - len(e.seen.FirstBytes)
	e.seen.FirstBytes = append(e.seen.FirstBytes, b[:min(missing, len(b))]...)
	e.greeted.Store(len(e.seen.FirstBytes) == firstBytes)
}

// failed keeps the first error of each direction.
func (e *Edge) failed(first *error, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if *first == nil {
		*first = err
	}
}

func (e *Edge) dialled(d Dial) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen.Dials = append(e.seen.Dials, d)
}
