package chaos_test

import (
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/probe/redis/redistest"
	"dialtone/test/system"
)

// slowLogin is how long a slow target thinks about a password: long enough to
// be killed in.
const slowLogin = 1200 * time.Millisecond

// kind is what becomes of a test of a target.
type kind string

const (
	healthy kind = "healthy" // lets everybody in
	slow    kind = "slow"    // does so after slowLogin
	refused kind = "refused" // nobody listens
	silent  kind = "silent"  // accepts, and says nothing
)

// verdicts are what the service may say of a kind beside that it failed itself.
var verdicts = map[kind]string{healthy: "ok", slow: "ok", refused: "connection_refused", silent: "timeout_no_reply"}

// targets are databases that count the logins of each account.
type targets struct {
	addrs map[kind][]string

	mu     sync.Mutex
	logins map[string]int
	next   map[kind]int
}

// newTargets opens n addresses of each kind, so that few tests wait for an
// endpoint that others have.
func newTargets(t *testing.T, n int) *targets {
	t.Helper()
	g := &targets{addrs: map[kind][]string{}, logins: map[string]int{}, next: map[kind]int{}}
	for range n {
		g.addrs[healthy] = append(g.addrs[healthy], g.serve(t, 0))
		g.addrs[slow] = append(g.addrs[slow], g.serve(t, slowLogin))
		g.addrs[silent] = append(g.addrs[silent], system.Tarpit(t))
		g.addrs[refused] = append(g.addrs[refused], system.ClosedAddr(t))
	}
	return g
}

// serve opens a Redis that lets every account in and counts it.
func (g *targets) serve(t *testing.T, think time.Duration) string {
	t.Helper()
	server := redistest.Server{
		Users:   map[string]string{"default": "nobody-knows"}, // so that it asks for a login
		Replies: map[string]string{"AUTH": "+OK\r\n"},
		OnCommand: func(words []string) {
			if strings.EqualFold(words[0], "AUTH") && len(words) == 3 {
				g.count(words[1])
				time.Sleep(think)
			}
		},
	}
	return system.Serve(t, func(c net.Conn) { server.Serve(c) })
}

func (g *targets) count(account string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.logins[account]++
}

// seen is how often an account has logged in.
func (g *targets) seen(account string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.logins[account]
}

// entry asks for a test of a target of the kind with an account of its own,
// whose name is the id.
func (g *targets) entry(k kind, id string) system.Entry {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := g.addrs[k]
	host, text, _ := net.SplitHostPort(list[g.next[k]%len(list)])
	g.next[k]++
	port, _ := strconv.Atoi(text)
	return system.Entry{
		"id": id, "net_type": "eip", "db_type": "redis", "ip": host, "db_port": port,
		"db_user": id, "db_password": "of-" + id, "end_point_type": "so",
	}
}

// kindOf is what an id was made for.
func kindOf(id string) kind {
	k, _, _ := strings.Cut(id, "-")
	return kind(k)
}
