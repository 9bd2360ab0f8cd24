package mongodb

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"

	"dialtone/internal/probe"
)

// hello is what a server says of itself (MongoDB manual, "hello").
type hello struct {
	primary, secondary, arbiter, hidden bool
	// router: it is a mongos. config: it holds the configuration of a cluster.
	router, config bool
	// pending: it is to be in a replica set, and has not been told which.
	pending bool
	setName string
	// members are the data-bearing members as they know each other; me is the
	// server itself, and leader the primary that it knows.
	members    []string
	me, leader string
	wire       int
	// mechanisms are those that the account can log in by. Without an account
	// of that name in that database the server lists none.
	mechanisms []string
}

// greet asks the server who it is, in the one form that every version
// understands.
func (c *conn) greet(program, account string) (hello, error) {
	fields := []field{
		{"isMaster", int32(1)},
		{"helloOk", true},
		{"client", []field{
			{"application", []field{{"name", program}}},
			{"driver", []field{{"name", "dialtone"}, {"version", "1"}}},
			{"os", []field{{"type", runtime.GOOS}}},
		}},
	}
	if account != "" {
		fields = append(fields, field{"saslSupportedMechs", account})
	}
	answer, err := c.command("admin", fields...)
	if err != nil {
		return hello{}, err
	}
	return readHello(answer)
}

func readHello(d document) (hello, error) {
	role := d.get("ismaster")
	if role.kind == 0 {
		role = d.get("isWritablePrimary")
	}
	if role.kind != typeBool {
		return hello{}, errMessage // something that knows the wire and is no MongoDB
	}
	h := hello{
		primary: role.truth(), secondary: d.get("secondary").truth(), arbiter: d.get("arbiterOnly").truth(),
		hidden: d.get("hidden").truth(), router: d.get("msg").text() == "isdbgrid",
		config: d.get("configsvr").kind != 0, pending: d.get("isreplicaset").truth(), setName: d.get("setName").text(),
		members: append(d.get("hosts").texts(), d.get("passives").texts()...),
		me:      d.get("me").text(), leader: d.get("primary").text(), mechanisms: d.get("saslSupportedMechs").texts(),
	}
	h.wire, _ = d.get("maxWireVersion").number()
	return h, nil
}

// cluster is what the server is part of.
func (h hello) cluster() probe.Cluster {
	switch {
	case h.router:
		return probe.Cluster{Name: "sharded cluster (mongos)"}
	case h.setName != "" && h.config:
		return probe.Cluster{Name: "config servers " + h.setName, Members: h.members}
	case h.setName != "":
		return probe.Cluster{Name: "replica set " + h.setName, Members: h.members}
	default:
		return probe.Cluster{Name: "standalone server"}
	}
}

// role is what the server does where it is.
func (h hello) role() string {
	switch {
	case h.router:
		return "mongos"
	case h.pending:
		return "uninitiated"
	case h.setName == "":
		return "standalone"
	case h.primary:
		return "primary"
	case h.hidden:
		return "hidden"
	case h.secondary:
		return "secondary"
	case h.arbiter:
		return "arbiter"
	default:
		return "recovering"
	}
}

// usable says why nobody can log in to a server in its state.
func (h hello) usable() error {
	switch role := h.role(); role {
	case "uninitiated", "recovering":
		return probe.Fail(probe.CodeServerNotReady, fmt.Errorf("the server is a member of a replica set that is %s", role))
	case "arbiter":
		// It holds no data, and with it no accounts: a login would fail as
		// if the password were wrong.
		return &probe.Error{Code: probe.CodeTopologyMismatch, Phase: probe.PhaseProtocol, Err: errors.New("the server is an arbiter")}
	}
	const wireSCRAM = 3 // MongoDB 3.0
	if h.wire < wireSCRAM {
		return probe.Fail(probe.CodeVersionUnsupported, fmt.Errorf("wire version %d", h.wire))
	}
	return nil
}

// release names the MongoDB that speaks this version of the wire: the exact
// version is told only after the login.
func (h hello) release() string {
	releases := []struct {
		wire int
		name string
	}{{3, "3.0"}, {4, "3.2"}, {5, "3.4"}, {6, "3.6"}, {7, "4.0"}, {8, "4.2"}, {9, "4.4"}, {13, "5.0"}, {17, "6.0"}, {21, "7.0"}, {25, "8.0"}}
	for _, r := range slices.Backward(releases) {
		if r.wire == h.wire {
			return r.name
		}
	}
	return "wire version " + strconv.Itoa(h.wire)
}
