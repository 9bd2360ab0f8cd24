package egress_test

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// resolver is a DNS server whose answers change from question to question.
type resolver struct {
	addr netip.AddrPort

	mu    sync.Mutex
	names map[string][][]netip.Addr
	asked map[string]int
}

// resolve starts a server on loopback.
func resolve(t *testing.T) *resolver {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	r := &resolver{
		addr:  netip.MustParseAddrPort(conn.LocalAddr().String()),
		names: map[string][][]netip.Addr{}, asked: map[string]int{},
	}
	var serving sync.WaitGroup
	serving.Go(func() { r.serve(conn) })
	t.Cleanup(func() { _ = conn.Close(); serving.Wait() })
	return r
}

// answers sets what the questions for a name are answered with, one after the
// other; the last answer stays.
func (r *resolver) answers(name string, each ...[]netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names[name] = each
}

// questions is how often the addresses of a name were asked for.
func (r *resolver) questions(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked[name]
}

func (r *resolver) serve(conn *net.UDPConn) {
	b := make([]byte, 4096)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		if reply, ok := r.reply(b[:n]); ok {
			_, _ = conn.WriteToUDPAddrPort(reply, from)
		}
	}
}

func (r *resolver) reply(query []byte) ([]byte, bool) {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil, false
	}
	q := m.Questions[0]
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	known, addrs := r.next(strings.TrimSuffix(strings.ToLower(q.Name.String()), "."), q.Type)
	if !known {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, a := range addrs {
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
			Body:   &dnsmessage.AResource{A: a.As4()},
		})
	}
	packed, err := m.Pack()
	return packed, err == nil
}

// next gives the answer that is due. There are no IPv6 addresses here.
func (r *resolver) next(name string, kind dnsmessage.Type) (known bool, addrs []netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	each, known := r.names[name]
	if !known || kind != dnsmessage.TypeA {
		return known, nil
	}
	i := min(r.asked[name], len(each)-1)
	r.asked[name]++
	return true, each[i]
}
