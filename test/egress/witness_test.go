package egress_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// witness is an address that nobody may reach. It counts the connections that
// are made to one port and, where the test may open raw sockets, every TCP and
// UDP packet that arrives at the address at all: a SYN to any port, a question
// to any server.
type witness struct {
	addr netip.AddrPort
	raw  bool // packets are counted

	mu   sync.Mutex
	own  map[uint16]bool // source ports of the test itself
	seen []sighting
	more chan struct{} // closed and replaced with each sighting
}

// sighting is a packet or, with the protocol "connection", an accepted one.
type sighting struct {
	protocol string
	from, to uint16
}

func (s sighting) String() string { return fmt.Sprintf("%s to port %d", s.protocol, s.to) }

// watch makes the address a witness.
func watch(t *testing.T, addr netip.AddrPort) *witness {
	t.Helper()
	w := &witness{addr: addr, raw: true, own: map[uint16]bool{}, more: make(chan struct{})}
	var watching sync.WaitGroup
	t.Cleanup(watching.Wait) // after what closes the sockets
	l, err := net.Listen("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	watching.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			from := netip.MustParseAddrPort(conn.RemoteAddr().String())
			_ = conn.Close()
			w.saw(sighting{"connection", from.Port(), addr.Port()})
		}
	})
	for _, protocol := range []string{"tcp", "udp"} {
		packets, err := net.ListenIP("ip4:"+protocol, &net.IPAddr{IP: addr.Addr().AsSlice()})
		if err != nil {
			w.raw = false // not allowed: connections only
			continue
		}
		t.Cleanup(func() { _ = packets.Close() })
		watching.Go(func() {
			b := make([]byte, 1<<16)
			for {
				n, err := packets.Read(b) // with the IP header
				if err != nil {
					return
				}
				if s, ok := arrived(b[:n], addr.Addr()); ok {
					s.protocol = protocol + " packet"
					w.saw(s)
				}
			}
		})
	}
	return w
}

// arrived reads the ports of an IPv4 packet to the address. Before a raw socket
// is bound it is given packets to others as well.
func arrived(packet []byte, to netip.Addr) (s sighting, ok bool) {
	const shortest = 20
	if len(packet) < shortest {
		return s, false
	}
	header := int(packet[0]&0xf) * 4
	if header < shortest || len(packet) < header+4 || netip.AddrFrom4([4]byte(packet[16:20])) != to {
		return s, false
	}
	// TCP and UDP begin alike: source port, destination port.
	return sighting{from: binary.BigEndian.Uint16(packet[header:]), to: binary.BigEndian.Uint16(packet[header+2:])}, true
}

func (w *witness) saw(s sighting) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, s)
	close(w.more)
	w.more = make(chan struct{})
}

// others gives what was seen but for the test's own, and whether something was
// seen from its port mine by every eye there is.
func (w *witness) others(mine uint16) (others []sighting, complete bool, more <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.own[mine] = true
	eyes := map[string]bool{}
	for _, s := range w.seen {
		switch {
		case s.from == mine:
			eyes[s.protocol] = true
		case !w.own[s.from]:
			others = append(others, s)
		}
	}
	return others, eyes["connection"] && (!w.raw || eyes["tcp packet"] && eyes["udp packet"]), w.more
}

// visits gives what has arrived. To know that nothing is still on its way to be
// counted, it comes by itself, over TCP and UDP from one port, and waits until
// that has been seen: what came before has been, then.
func (w *witness) visits(t *testing.T) []sighting {
	t.Helper()
	here := netip.MustParseAddr("127.0.0.1")
	conn, err := net.Dial("tcp", w.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	mine := netip.MustParseAddrPort(conn.LocalAddr().String()).Port()
	datagrams, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(here, mine)), net.UDPAddrFromAddrPort(w.addr))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = datagrams.Close() }()
	if _, err := datagrams.Write([]byte("marker")); err != nil {
		t.Fatal(err)
	}
	for deadline := time.After(10 * time.Second); ; {
		others, complete, more := w.others(mine)
		if complete {
			return others
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("the witness %s does not even see the test itself", w.addr)
		}
	}
}

// TestWitness: it sees what it is there for.
func TestWitness(t *testing.T) {
	t.Parallel()
	w := watch(t, netip.MustParseAddrPort("127.66.0.1:7000"))
	if seen := w.visits(t); len(seen) != 0 {
		t.Fatalf("before anybody came: %v", seen)
	}
	conn, err := net.Dial("tcp", "127.66.0.1:7000")
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	kinds := map[string]bool{}
	for _, s := range w.visits(t) {
		kinds[s.String()] = true
	}
	if !kinds["connection to port 7000"] || w.raw && !kinds["tcp packet to port 7000"] {
		t.Errorf("a connection was seen as %v", kinds)
	}
	if !w.raw {
		t.Skip("raw sockets are not allowed: only connections are counted")
	}
	// Nothing listens on these, and yet they are noticed.
	if conn, err := net.Dial("tcp", "127.66.0.1:7001"); err == nil {
		_ = conn.Close()
		t.Error("somebody listens on port 7001")
	}
	question, err := net.Dial("udp", "127.66.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = question.Write([]byte("?"))
	_ = question.Close()
	for _, s := range w.visits(t) {
		kinds[s.String()] = true
	}
	if !kinds["tcp packet to port 7001"] || !kinds["udp packet to port 53"] {
		t.Errorf("a SYN to a closed port and a datagram were seen as %v", kinds)
	}
}
