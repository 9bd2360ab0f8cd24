package service_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/config"
	"dialtone/internal/egress"
	"dialtone/internal/probe"
	"dialtone/internal/probe/mysql"
	"dialtone/internal/service"
)

// hangUp is a server on an address of this machine that is not loopback: that
// one is denied in report mode, too. It says on arrived who came.
func hangUp(t *testing.T) (at netip.AddrPort, arrived <-chan struct{}) {
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
		came := make(chan struct{}, 16)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				came <- struct{}{}
				_ = conn.Close()
			}
		}()
		t.Cleanup(func() { _ = l.Close(); <-ended })
		return netip.MustParseAddrPort(l.Addr().String()), came
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("this machine has no address but loopback")
	}
	t.Skip("this machine has no address but loopback")
	return at, nil
}

// denial is a line of the log without its time.
type denial struct {
	Msg, Project, Network, Host, Address, Class string
	Port                                        uint16
	Enforced                                    bool
}

// Report mode says in the log and in the metrics what enforce would have denied,
// word for word, and dials. What is denied always, it denies as well.
func TestReportModeDials(t *testing.T) {
	t.Parallel()
	at, arrived := hangUp(t)
	list := filepath.Join(t.TempDir(), "allow-list")
	if err := os.WriteFile(list, []byte("203.0.113.7 1-65535 * *\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// run tests the address and 169.254.169.254 under the mode.
	run := func(mode string) (codes []probe.Code, logged []denial, counted []bool) {
		var text bytes.Buffer
		log := slog.New(slog.NewJSONHandler(&text, nil))
		limits := config.Egress{EgressMode: mode, EgressAllowFile: list, EgressDials: 4, EgressReadLimit: 1 << 20}
		policy, err := service.OpenPolicy(log, limits, nil, func(_, _ string, enforced bool) { counted = append(counted, enforced) })
		if err != nil {
			t.Fatal(err)
		}
		runner, err := service.OpenRunner(log, policy, []probe.Prober{mysql.New(mysql.Config{})}, limits, config.Timeouts{ProbeTimeout: 5 * time.Second}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []netip.AddrPort{at, netip.MustParseAddrPort("169.254.169.254:80")} {
			r, err := runner.Run(t.Context(), probe.Target{
				Engine: probe.MySQL, Project: "p1", Network: "vpc", User: "u", Addresses: []probe.Address{{Host: a.Addr().String(), Port: a.Port()}},
			})
			if err != nil {
				t.Fatal(err)
			}
			codes = append(codes, r.Code)
		}
		for line := range strings.SplitSeq(strings.TrimSpace(text.String()), "\n") {
			var d denial
			if err := json.Unmarshal([]byte(line), &d); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			logged = append(logged, d)
		}
		return codes, logged, counted
	}

	codes, enforced, _ := run("enforce")
	if diff := cmp.Diff([]probe.Code{probe.CodeTargetNotAllowed, probe.CodeTargetNotAllowed}, codes); diff != "" {
		t.Errorf("enforcing (-want +got):\n%s", diff)
	}
	if n := len(arrived); n != 0 {
		t.Errorf("%d connections were made although the policy is enforced", n)
	}
	codes, reported, counted := run("report")
	if diff := cmp.Diff([]probe.Code{probe.CodeClosedNoReply, probe.CodeTargetNotAllowed}, codes); diff != "" {
		t.Errorf("reporting (-want +got):\n%s", diff)
	}
	if n := len(arrived); n != 1 {
		t.Errorf("%d connections were made in report mode, want 1", n)
	}
	if diff := cmp.Diff([]bool{false, true}, counted); diff != "" {
		t.Errorf("counted as enforced (-want +got):\n%s", diff)
	}
	want := []denial{
		{Msg: "address denied", Project: "p1", Network: "vpc", Address: at.Addr().String(), Port: at.Port(), Enforced: true},
		{Msg: "address denied", Project: "p1", Network: "vpc", Address: "169.254.169.254", Port: 80, Class: string(egress.ClassMetadata), Enforced: true},
	}
	if len(enforced) > 0 { // private, reserved or public, as this machine has it
		want[0].Class = enforced[0].Class
	}
	if diff := cmp.Diff(want, enforced); diff != "" {
		t.Errorf("log when enforcing (-want +got):\n%s", diff)
	}
	want[0].Enforced = false
	if diff := cmp.Diff(want, reported); diff != "" {
		t.Errorf("log when reporting (-want +got):\n%s", diff)
	}
}
