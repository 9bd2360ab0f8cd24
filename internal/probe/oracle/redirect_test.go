package oracle_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"dialtone/internal/probe"
	"dialtone/internal/probe/oracle"
	"dialtone/internal/probe/oracle/oracletest"
	"dialtone/internal/probe/probetest"
)

// at is an address as a REDIRECT names it.
func at(protocol string, addr netip.AddrPort) string {
	return fmt.Sprintf("(ADDRESS=(PROTOCOL=%s)(HOST=%s)(PORT=%d))", protocol, addr.Addr(), addr.Port())
}

// A SCAN listener sends its clients to a node.
func TestRedirect(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]oracletest.Server{
		"packet of its own": {}, "inline": {Inline: true}, "11.2": {Inline: true, Release: oracletest.Release11},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := serve(t, oracletest.Server{})
			first.Redirect = at("tcp", node.Addr)
			first.RedirectData = "(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME=" + oracletest.DefaultService + ")(INSTANCE_NAME=node)))"
			scan := serve(t, first)
			r := probeIt(t, target(scan.Server))
			if !r.OK() || r.Evidence.Facts["redirected_to"] != node.Addr.String() || scan.Logins() != 0 || node.Logins() != 1 {
				t.Errorf("Run() = %s in %q, facts %v, %d and %d logins; want ok, 0 and 1",
					r.Code, r.Phase, r.Evidence.Facts, scan.Logins(), node.Logins())
			}
			// The node is told what the listener said.
			if v := node.done(t)[0]; v.ConnectData != first.RedirectData || !v.Redirected {
				t.Errorf("CONNECT says %q to the node, redirected %v", v.ConnectData, v.Redirected)
			}
		})
	}
}

func TestRedirectsThatFail(t *testing.T) {
	t.Parallel()
	authority := probetest.NewAuthority(t)
	encrypted := &probe.TLS{Certificate: authority.PEM()}
	for _, tc := range []struct {
		name     string
		secure   bool // the target asks for TLS
		redirect string
		code     probe.Code
		phase    probe.Phase
	}{
		{"nobody there", false, "(ADDRESS=(PROTOCOL=tcp)(HOST=127.0.0.1)(PORT=1))", probe.CodeAdvertisedUnreachable, probe.PhaseTopology},
		{"unknown name", false, "(ADDRESS=(PROTOCOL=tcp)(HOST=no-such-host.invalid)(PORT=1521))", probe.CodeAdvertisedUnreachable, probe.PhaseTopology},
		{"from TLS to plain text", true, "(ADDRESS=(PROTOCOL=tcp)(HOST=127.0.0.1)(PORT=1))", probe.CodeTLSNotSupported, probe.PhaseTLS},
		{"from plain text to TLS", false, "(ADDRESS=(PROTOCOL=tcps)(HOST=127.0.0.1)(PORT=1))", probe.CodeTLSRequired, probe.PhaseTLS},
		{"to a pipe", false, "(ADDRESS=(PROTOCOL=ipc)(KEY=x))", probe.CodeProtocolMismatch, probe.PhaseProtocol},
		{"without port", false, "(ADDRESS=(PROTOCOL=tcp)(HOST=127.0.0.1))", probe.CodeProtocolMismatch, probe.PhaseProtocol},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server := oracletest.Server{Redirect: tc.redirect}
			if tc.secure {
				server.TLS = authority.Server(t, nil)
			}
			s := serve(t, server)
			goal := target(s.Server)
			if tc.secure {
				goal.TLS = encrypted
			}
			if r := probeIt(t, goal); r.Code != tc.code || r.Phase != tc.phase || r.LoginSent || r.Retryable() {
				t.Errorf("Run() = %s in %q, sent %v; want %s in %q", r.Code, r.Phase, r.LoginSent, tc.code, tc.phase)
			}
		})
	}
}

// The policy has the word on where a listener sends us.
func TestForbiddenRedirect(t *testing.T) {
	t.Parallel()
	node := serve(t, oracletest.Server{})
	scan := serve(t, oracletest.Server{Redirect: at("tcp", node.Addr)})
	runner, err := probe.NewRunner(probetest.Only(t, scan.Addr), []probe.Prober{oracle.New(oracle.Config{})}, probe.RunnerConfig{Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	r, err := runner.Run(t.Context(), target(scan.Server))
	if err != nil || r.Code != probe.CodeTargetNotAllowed || node.Accepted() != 0 || r.LoginSent {
		t.Errorf("Run() = %s in %q, %v; %d connections to the forbidden address", r.Code, r.Phase, err, node.Accepted())
	}
}

// A listener that redirects to itself is not followed round and round.
func TestRedirectInACircle(t *testing.T) {
	t.Parallel()
	other := &oracletest.Server{}
	second := serve(t, oracletest.Server{Redirect: "(ADDRESS=(PROTOCOL=tcp)(HOST=127.0.0.1)(PORT=1))"})
	other.Redirect = at("tcp", second.Addr)
	first := serve(t, *other)
	r := probeIt(t, target(first.Server))
	if r.Code != probe.CodePeerAbusive || first.Accepted() != 1 || second.Accepted() != 1 {
		t.Errorf("Run() = %s in %q, %d and %d connections; want %s, 1 and 1", r.Code, r.Phase, first.Accepted(), second.Accepted(), probe.CodePeerAbusive)
	}
}
