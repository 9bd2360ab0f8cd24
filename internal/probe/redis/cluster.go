package redis

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"dialtone/internal/probe"
)

// slots is how many a cluster has to serve: CRC16 of the key, modulo this.
const slots = 16384

// structure holds what the server is against what the target calls it, and
// tests what the clients of a cluster need.
func (a *attempt) structure(ctx context.Context, c *conn) error {
	switch a.session.Target.Engine {
	case probe.RedisCluster:
		return a.cluster(ctx, c)
	case probe.GaussRedis: // a proxy may stand before it that hides the cluster
		if a.mode == clusterMode {
			return a.cluster(ctx, c)
		}
	default:
		if a.mode == clusterMode {
			return a.single(c)
		}
	}
	return nil
}

// single accepts a cluster in the place of one server if one master serves all
// slots, for then no client is ever sent elsewhere.
func (a *attempt) single(c *conn) error {
	reply, err := c.do("CLUSTER", "INFO")
	if err != nil {
		return err
	}
	if info := fields(reply.text); reply.kind == bulkKind && info["cluster_size"] == "1" && info["cluster_slots_assigned"] == strconv.Itoa(slots) {
		return nil
	}
	return probe.Fail(probe.CodeTopologyMismatch, errors.New("the server is one node of a cluster"))
}

func (a *attempt) cluster(ctx context.Context, c *conn) error {
	s := a.session
	replies, err := c.all([]string{"CLUSTER", "INFO"}, []string{"CLUSTER", "SLOTS"})
	if err != nil {
		return err
	}
	for _, reply := range replies {
		if reply.kind != errorKind {
			continue
		}
		if errorCode(reply.text) == probe.CodeServerError { // cluster support disabled, unknown command
			a.noteError(reply)
			return probe.Fail(probe.CodeTopologyMismatch, errors.New("the server is no node of a cluster"))
		}
		return a.refused(reply)
	}
	state := fields(replies[0].text)["cluster_state"]
	m, err := parseSlots(replies[1])
	if replies[0].kind != bulkKind || state == "" || err != nil {
		return probe.Fail(probe.CodeProtocolMismatch, errors.Join(errNotRESP, err))
	}
	s.Fact("cluster_state", state)
	s.Fact("cluster_slots", strconv.Itoa(m.served))
	s.Fact("cluster_nodes", strconv.Itoa(len(m.nodes)))
	if state != "ok" || m.served < slots {
		return probe.Fail(probe.CodeDatabaseUnavailable, fmt.Errorf("%d slots are served", m.served))
	}
	s.Enter(probe.PhaseTopology)
	for i := range m.nodes {
		if m.nodes[i].Address.Host == "" { // where the question was asked
			m.nodes[i].Address.Host = s.Address.Host
		}
	}
	s.Belongs(m.identity())
	a.compare(m)
	return a.members(ctx, m)
}

// node is one address that clients are sent to.
type node struct {
	probe.Member

	id string
}

// slotMap is what CLUSTER SLOTS says.
type slotMap struct {
	nodes  []node
	served int
}

// parseSlots reads the reply to CLUSTER SLOTS: for every range of slots its
// first and last one, the master and the replicas; of each the host, port and
// id, and what later versions add.
func parseSlots(reply value) (slotMap, error) {
	m := slotMap{}
	covered := make([]bool, slots)
	known := map[string]bool{}
	if reply.kind != arrayKind {
		return m, errors.New("CLUSTER SLOTS gave no array")
	}
	for _, r := range reply.items {
		if len(r.items) < 3 {
			return m, errors.New("a range of slots without a node")
		}
		first, ok1 := r.items[0].number()
		last, ok2 := r.items[1].number()
		if !ok1 || !ok2 || first < 0 || last < first || last >= slots {
			return m, errors.New("a range of slots that is none")
		}
		for slot := first; slot <= last; slot++ {
			if !covered[slot] {
				covered[slot] = true
				m.served++
			}
		}
		for i, item := range r.items[2:] {
			n, err := parseNode(item, i)
			if err != nil {
				return m, err
			}
			if key := n.Address.String(); !known[key] {
				known[key] = true
				m.nodes = append(m.nodes, n)
			}
		}
	}
	return m, nil
}

func parseNode(item value, position int) (node, error) {
	if len(item.items) < 2 {
		return node{}, errors.New("a node without an address")
	}
	port, ok := item.items[1].number()
	if !ok || port < 1 || port > 65535 {
		return node{}, errors.New("a node without a port")
	}
	n := node{Member: probe.Member{Address: probe.Address{Host: item.items[0].text, Port: uint16(port)}, Role: "master"}}
	if position > 0 {
		n.Role = "replica"
	}
	if len(item.items) > 2 {
		n.id = item.items[2].text
	}
	return n, nil
}

// identity is the cluster as other addresses of the target are held against
// it. Redis Cluster has no name; its nodes have ids.
func (m slotMap) identity() probe.Cluster {
	c := probe.Cluster{Name: "redis cluster"}
	for _, n := range m.nodes {
		if n.id != "" {
			c.Members = append(c.Members, n.id)
		}
	}
	return c
}

// compare notes which of the target's other addresses the cluster does not
// name. It is no verdict: between them and us addresses may be translated.
func (a *attempt) compare(m slotMap) {
	named := map[probe.Address]bool{}
	for _, n := range m.nodes {
		named[n.Address] = true
	}
	for _, listed := range a.session.Target.Addresses {
		if _, err := netip.ParseAddr(listed.Host); err == nil && !named[listed] {
			a.session.Fact("listed_not_announced", listed.String())
			return
		}
	}
}

// members tests every node that clients are sent to, but for this one, which
// has passed already.
func (a *attempt) members(ctx context.Context, m slotMap) error {
	s := a.session
	if !s.Login {
		return nil // the address that lets us in has them tested
	}
	var others []probe.Member
	for _, n := range m.nodes {
		if n.Address != s.Address {
			others = append(others, n.Member)
		}
	}
	return worst(s.Members(ctx, others, a.answers))
}

// worst is the verdict on the nodes together: what policy forbids comes first,
// since the others cannot be judged before that is settled.
func worst(results []probe.MemberResult) error {
	code := probe.CodeOK
	for _, r := range results {
		switch r.Code {
		case probe.CodeOK, probe.CodeServerNotReady: // it is there, and reads its data
		case probe.CodeTargetNotAllowed:
			code = r.Code
		default:
			if code == probe.CodeOK {
				code = probe.CodeAdvertisedUnreachable
			}
		}
	}
	if code == probe.CodeOK {
		return nil
	}
	return &probe.Error{Code: code, Phase: probe.PhaseTopology, Err: errors.New("a node of the cluster was not reached")}
}

// answers proves that a Redis answers at the session's address.
func (a *attempt) answers(ctx context.Context, s *probe.Session) error {
	c, err := (&attempt{session: s, cfg: a.cfg}).reach(ctx)
	if err != nil {
		return err
	}
	c.quit()
	return nil
}
