package e2e_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"dialtone/test/system"
)

// beside is a server on an address of this machine that is not loopback, which
// needs a rule. It hangs up on who comes, and counts them.
func beside(t *testing.T) (at netip.AddrPort, accepted *atomic.Int64) {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, each := range all {
		prefix, err := netip.ParsePrefix(each.String())
		if err != nil || !prefix.Addr().Is4() || !prefix.Addr().IsGlobalUnicast() {
			continue
		}
		l, err := net.Listen("tcp", netip.AddrPortFrom(prefix.Addr(), 0).String())
		if err != nil {
			continue
		}
		accepted = &atomic.Int64{}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				accepted.Add(1)
				_ = conn.Close()
			}
		}()
		t.Cleanup(func() { _ = l.Close(); <-ended })
		return netip.MustParseAddrPort(l.Addr().String()), accepted
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("this machine has no address but loopback")
	}
	t.Skip("this machine has no address but loopback")
	return at, nil
}

// mysqlAt is an entry for an address, asked for from inside.
func mysqlAt(at netip.AddrPort) system.Entry {
	return system.Entry{
		"id": system.JobID, "net_type": "vpn", "db_type": "mysql", "ip": at.Addr().String(), "db_port": at.Port(),
		"db_user": "u", "db_password": "p", "end_point_type": "so",
	}
}

// denials are the lines of a worker's log about addresses that it denied, as
// address:port, class and whether it was enforced.
func denials(w *system.Process) []string {
	var list []string
	for line := range strings.SplitSeq(w.Output(), "\n") {
		var d struct {
			Msg, Project, Address, Class string
			Port                         uint16
			Enforced                     bool
		}
		if json.Unmarshal([]byte(line), &d) == nil && d.Msg == "address denied" && d.Project == system.Project {
			list = append(list, fmt.Sprintf("%s:%d %s %v", d.Address, d.Port, d.Class, d.Enforced))
		}
	}
	return list
}

// TestReportMode: it logs what enforce denies, and dials. Then the same under
// enforce.
func TestReportMode(t *testing.T) {
	t.Parallel()
	at, accepted := beside(t)
	s := system.Prepare(t, system.Options{Env: append(short(), "DIALTONE_WORKER_ATTEMPTS=1")})
	s.StartAPI()
	reporting := s.StartWorker("DIALTONE_EGRESS_MODE=report")
	_, id := s.Test(mysqlAt(at))
	if r := detail(s, id).Results[0].Tests[0].Report; r.Code != "closed_no_reply" || accepted.Load() != 1 {
		t.Errorf("in report mode the test ends as %s after %d connections, want closed_no_reply after 1", r.Code, accepted.Load())
	}
	reported := denials(reporting)
	reporting.Stop(t)

	enforcing := s.StartWorker()
	began := time.Now()
	results, id := s.Test(mysqlAt(at))
	if took := time.Since(began); took < 250*time.Millisecond {
		t.Errorf("a denial took %s, want 250 ms at least", took)
	}
	if r := detail(s, id).Results[0].Tests[0].Report; r.Code != "target_not_allowed" || accepted.Load() != 1 || results.Results[0].OK() {
		t.Errorf("under enforce the test ends as %s after %d connections, want target_not_allowed and none more", r.Code, accepted.Load()-1)
	}
	enforced := denials(enforcing)
	if len(reported) != 1 || len(enforced) != 1 || strings.TrimSuffix(reported[0], "false") != strings.TrimSuffix(enforced[0], "true") {
		t.Errorf("report mode logs %q, enforce %q; want the same but for whether it was enforced", reported, enforced)
	}
	if n := enforcing.Metric(t, "dialtone_egress_denied_recent"); n != 1 {
		t.Errorf("%v denials are counted for the project, want 1", n)
	}
}

// TestListenersAreDenied: a worker knows the listeners of the api and of other
// workers without being told, and tests none although the list has them.
func TestListenersAreDenied(t *testing.T) {
	t.Parallel()
	s := system.Prepare(t, system.Options{Env: short()})
	s.StartAPI()
	other := s.StartWorker("DIALTONE_WORKER_NETWORKS=vpc-other")
	conn, err := pgx.Connect(t.Context(), s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	announced := func() (n int) {
		if err := conn.QueryRow(t.Context(), "select count(*) from listeners").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	system.Eventually(t, system.WaitForServers, "three listeners are announced", func() bool { return announced() == 3 })
	w := s.StartWorker()
	for name, listener := range map[string]string{
		"the api": strings.TrimPrefix(s.URL, "http://"), "its admin listener": s.API.Admin,
		"another worker": other.Admin, "the worker itself": w.Admin,
	} {
		_, id := s.Test(mysqlAt(netip.MustParseAddrPort(listener)))
		if r := detail(s, id).Results[0].Tests[0].Report; r.Code != "target_not_allowed" {
			t.Errorf("%s at %s: %s, want target_not_allowed", name, listener, r.Code)
		}
	}
	if d := denials(w); len(d) != 4 || strings.Count(strings.Join(d, "\n"), " own true") != 4 {
		t.Errorf("denials: %q, want four of our own", d)
	}
	// Who stops takes back what it has announced.
	before := announced()
	other.Stop(t)
	if n := announced(); n != before-1 {
		t.Errorf("%d listeners are announced after one of %d has stopped", n, before)
	}
}
