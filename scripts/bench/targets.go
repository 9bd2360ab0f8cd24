package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"dialtone/internal/batch"
	"dialtone/internal/egress"
	"dialtone/internal/probe"
	"dialtone/internal/probe/engines"
)

// project is whose batches they are; its form is that of the contract.
const project = "054ba152d480d55b2f5dc0069e7ddef0"

// The kinds of probes. The first two dial nothing: what they cost is ours.
// noneProbe returns at once; loginProbe asks for the login mark first, as every
// probe with a password does.
const (
	noneProbe     = "none"
	loginProbe    = "login"
	mariadbProbe  = "mariadb"
	postgresProbe = "postgresql"
)

func probeKinds() []string { return []string{noneProbe, loginProbe, mariadbProbe, postgresProbe} }

// idle is a prober that dials nothing.
type idle struct{ login bool }

// Engines is MySQL, in the place of the real one.
func (idle) Engines() []probe.Engine { return []probe.Engine{probe.MySQL} }

// Probe passes at once.
func (p idle) Probe(ctx context.Context, s *probe.Session) error {
	if p.login {
		return s.BeforeLogin(ctx)
	}
	return nil
}

// subject is one kind of probe: what is asked for, and who answers.
type subject struct {
	kind     string
	endpoint batch.Endpoint
	// vary makes the nth entry another one than those before.
	vary   func(job map[string]any, n uint32)
	limits batch.Limits
	runner *probe.Runner
}

// elsewhere varies what is not dialled: each entry has an endpoint of its own,
// so that the guard is asked, and lets it pass.
func elsewhere(job map[string]any, n uint32) { job["ip"] = loopback(n) }

// unlike varies what a literal address does not use.
func unlike(job map[string]any, n uint32) {
	job["customized_dns"] = map[string]any{"is_set_dns": true, "set_dns_action": "add", "dns_ip": loopback(n)}
}

// loopback is one of the many addresses of this machine.
func loopback(n uint32) string {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 127<<24|n&0xffffff)
	return netip.AddrFrom4(b).String()
}

// newSubject makes a kind of probe against the servers of the ground.
func newSubject(g *ground, kind string) (subject, error) {
	policy, err := egress.New(egress.Config{
		Local: true,
		Rules: []egress.Rule{{Prefix: netip.MustParsePrefix("127.0.0.0/8"), Ports: []egress.PortRange{{First: 1, Last: 65535}}}},
	})
	if err != nil {
		return subject{}, err
	}
	s := subject{kind: kind, endpoint: batch.Endpoint{NetType: "eip", DBType: "mysql", User: "dt_native", Password: g.password, EndPointType: "so"}}
	// The real servers are one endpoint each, to which all callers log in at
	// once: here it is the guard that must not be in the way.
	s.vary, s.limits = unlike, batch.Limits{EndpointProbes: -1, Refusals: -1}
	address, probers := g.mariadb, engines.All(engines.Config{})
	switch kind {
	case noneProbe, loginProbe:
		probers = []probe.Prober{idle{login: kind == loginProbe}}
		s.vary, s.limits = elsewhere, batch.Limits{}
	case mariadbProbe:
		s.endpoint.DBName = "dt_login"
	case postgresProbe:
		address = g.postgres
		s.endpoint.DBType, s.endpoint.User, s.endpoint.DBName = "postgresql", "dt_scram", "dt_login"
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return subject{}, err
	}
	s.endpoint.IP = host
	if s.endpoint.DBPort, err = strconv.Atoi(port); err != nil {
		return subject{}, fmt.Errorf("port of %s: %w", address, err)
	}
	s.runner, err = probe.NewRunner(policy, probers, probe.RunnerConfig{})
	return s, err
}

// jobID names the job of an entry; the service takes any.
func jobID(entry int) string { return fmt.Sprintf("140b5236-88ad-43c8-811c-1268453jb1%02d", entry) }
