package system

import (
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// Forward is a second address of a server, which can be taken away and given
// back while the server itself runs on for others. It can also be taken away
// from one client alone, where that is one of Redis' and says its name.
type Forward struct {
	// Addr is where it listens.
	Addr string

	to string

	mu    sync.Mutex
	ways  map[string]way // by a part of the client's name; "" is everybody
	news  chan struct{}  // closed when ways change
	open  map[*passage]struct{}
	total int
}

// way is how it stands with the network.
type way int

const (
	passing way = iota
	silent
	cut
)

// NewForward passes on what connects to Addr until the test ends.
func NewForward(t *testing.T, to string) *Forward {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &Forward{Addr: l.Addr().String(), to: to, ways: map[string]way{}, news: make(chan struct{}), open: map[*passage]struct{}{}}
	var under sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		f.Cut()
		under.Wait()
	})
	under.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			under.Go(func() { f.pass(&passage{in: in}) })
		}
	})
	return f
}

// Cut ends all connections, and each new one at once.
func (f *Forward) Cut() { f.set("", cut) }

// Silence lets nothing through in either direction, and says so to nobody, as a
// network does that loses packets. What was sent meanwhile arrives at the Mend.
func (f *Forward) Silence() { f.set("", silent) }

// Mend lets everything pass that is not cut or silenced for its client.
func (f *Forward) Mend() { f.set("", passing) }

// CutClient is Cut for the client of Redis in whose name, as CLIENT LIST shows it,
// the part occurs.
func (f *Forward) CutClient(part string) { f.set(part, cut) }

// SilenceClient is Silence for the client in whose name the part occurs.
func (f *Forward) SilenceClient(part string) { f.set(part, silent) }

// MendClient is Mend for the client in whose name the part occurs.
func (f *Forward) MendClient(part string) { f.set(part, passing) }

func (f *Forward) set(part string, w way) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ways[part] = w
	close(f.news)
	f.news = make(chan struct{})
	for p := range f.open {
		if f.way(p) == cut {
			p.reset()
		}
	}
}

// way is the worst that is set for a passage. The lock is held.
func (f *Forward) way(p *passage) way {
	worst := f.ways[""]
	for part, w := range f.ways {
		if part != "" && strings.Contains(p.name, part) {
			worst = max(worst, w)
		}
	}
	return worst
}

// Connections counts those that were ever tried.
func (f *Forward) Connections() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.total
}

// passage is one connection through a Forward.
type passage struct {
	in, out net.Conn
	// head is what the client has said so far, until it has said its name.
	head []byte
	name string
}

// pass copies both ways until either side ends.
func (f *Forward) pass(p *passage) {
	if !f.enter(p) {
		return
	}
	defer f.leave(p)
	if !f.clears(p) {
		return
	}
	out, err := net.Dial("tcp", f.to)
	if err != nil {
		return
	}
	defer out.Close()
	f.mu.Lock()
	p.out = out
	f.mu.Unlock()
	var back sync.WaitGroup
	back.Go(func() {
		f.copy(p, out, p.in)
		_ = out.Close()
	})
	f.copy(p, p.in, out)
	_ = p.in.Close()
	back.Wait()
}

// copy passes on what comes while the way is clear.
func (f *Forward) copy(p *passage, to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if from == p.in {
			f.listen(p, buffer[:n])
		}
		// An end does not get through either.
		if !f.clears(p) {
			return
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// clears waits until the way is clear; false if it is cut.
func (f *Forward) clears(p *passage) bool {
	for {
		f.mu.Lock()
		w, news := f.way(p), f.news
		f.mu.Unlock()
		switch w {
		case passing:
			return true
		case cut:
			p.reset()
			return false
		case silent:
			<-news
		}
	}
}

// setName is how a client of Redis says its name.
var setName = regexp.MustCompile(`(?i)\r\nsetname\r\n\$\d+\r\n([^\r]+)\r\n`)

// listen looks for the client's name in the first things that it says.
func (f *Forward) listen(p *passage, said []byte) {
	const most = 4 << 10
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.name != "" || len(p.head) > most {
		return
	}
	p.head = append(p.head, said...)
	if found := setName.FindSubmatch(p.head); found != nil {
		p.name, p.head = string(found[1]), nil
	}
}

func (f *Forward) enter(p *passage) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.total++
	if f.way(p) == cut {
		p.reset()
		return false
	}
	f.open[p] = struct{}{}
	return true
}

func (f *Forward) leave(p *passage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, p)
	_ = p.in.Close()
}

// reset ends a connection without a farewell, as a crash does.
func (p *passage) reset() {
	for _, c := range []net.Conn{p.in, p.out} {
		if c == nil {
			continue
		}
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
}
