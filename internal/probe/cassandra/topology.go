package cassandra

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"strconv"

	"dialtone/internal/probe"
)

// identify reads what every driver reads first, and gives the data centre.
func (a *attempt) identify(c *conn) (dataCenter string, err error) {
	found, err := a.query(c, "SELECT release_version, cluster_name, data_center FROM system.local", 3)
	if e, ok := errors.AsType[*serverError](err); ok {
		return "", e.inSession(a.session)
	}
	if err != nil {
		return "", err
	}
	if len(found.values) != 1 {
		return "", probe.Fail(probe.CodeProtocolMismatch, errors.New("the node does not describe itself in one row"))
	}
	node := found.values[0]
	a.session.Server("Cassandra", string(node[0]))
	a.session.Fact("cluster_name", string(node[1]))
	a.session.Fact("data_center", string(node[2]))
	return string(node[2]), nil
}

// topology tests whether the other nodes can be reached of which this one tells
// its clients: those of the same data centre, for drivers keep to the one that
// they are given.
//
// A node that cannot be reached is a warning. Drivers begin with any node that
// answers and leave out the others, so that all works, but slower and by fewer
// nodes; and a node may be down as any node may.
func (a *attempt) topology(ctx context.Context, c *conn, dataCenter string) error {
	s := a.session
	s.Enter(probe.PhaseTopology)
	found, modern, err := a.peers(c)
	if e, ok := errors.AsType[*serverError](err); ok {
		return e.inSession(s)
	}
	if err != nil {
		return err
	}
	members, elsewhere := a.members(found, modern, dataCenter)
	s.Fact("peers", strconv.Itoa(len(members)))
	if elsewhere > 0 {
		s.Fact("peers_elsewhere", strconv.Itoa(elsewhere))
	}
	if found.more {
		s.Fact("peers_left_out", "true")
	}
	if len(members) == 0 {
		return nil
	}
	unreachable := 0
	prove := func(ctx context.Context, s *probe.Session) error {
		c, err := greet(ctx, s, c.version)
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	for _, m := range s.Members(ctx, members, prove) {
		if m.Code != probe.CodeOK {
			unreachable++
		}
	}
	if unreachable > 0 {
		s.Fact("peers_unreachable", strconv.Itoa(unreachable))
		s.Warn(probe.PhaseTopology, probe.CodeAdvertisedUnreachable)
	}
	return nil
}

// peers asks for the other nodes: in the table of 4.0, which knows ports, or
// in the older one.
func (a *attempt) peers(c *conn) (found rows, modern bool, err error) {
	found, err = a.query(c, "SELECT peer, data_center, native_address, native_port FROM system.peers_v2", 4)
	if e, ok := errors.AsType[*serverError](err); ok && e.code == errInvalid {
		found, err = a.query(c, "SELECT peer, data_center, rpc_address FROM system.peers", 3)
		return found, false, err
	}
	return found, true, err
}

// members are the peers that a client here would connect to.
func (a *attempt) members(found rows, modern bool, dataCenter string) (members []probe.Member, elsewhere int) {
	for _, row := range found.values {
		peer, _ := netip.AddrFromSlice(row[0])
		address, _ := netip.AddrFromSlice(row[2])
		if address.IsUnspecified() {
			address = peer // the node listens everywhere and does not say where it is
		}
		if !address.IsValid() {
			continue // a node that is joining or leaving: drivers do not use it
		}
		if string(row[1]) != dataCenter {
			elsewhere++
			continue
		}
		member := probe.Member{Role: "node", Address: probe.Address{Host: address.Unmap().String(), Port: a.session.Address.Port}}
		// The port in the table is never that of a second one for TLS.
		if modern && a.session.Target.TLS == nil {
			if port := portOf(row[3]); port != 0 {
				member.Address.Port = port
			}
		}
		members = append(members, member)
	}
	return members, elsewhere
}

func portOf(value []byte) uint16 {
	if len(value) != 4 {
		return 0
	}
	port := binary.BigEndian.Uint32(value)
	if port > math.MaxUint16 {
		return 0
	}
	return uint16(port)
}
