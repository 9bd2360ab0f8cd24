package redis

import (
	"errors"
	"strings"

	"dialtone/internal/probe"
)

// What INFO calls redis_mode.
const (
	clusterMode  = "cluster"
	sentinelMode = "sentinel"
)

// use makes the lightest use of the server: is it working, what is it, and is
// the database named there?
func (a *attempt) use(c *conn) error {
	replies, err := c.all([]string{"CLIENT", "SETNAME", a.cfg.ProgramName}, []string{"PING"}, []string{"INFO", "replication"})
	if err != nil {
		return err
	}
	// Whether the name was taken matters to nobody but those who look for it.
	if pong := replies[1]; !pong.is("PONG") {
		return a.refused(pong)
	}
	if a.mode == "" {
		if err := a.introduce(c); err != nil {
			return err
		}
	}
	a.noteRole(replies[2])
	name := a.session.Target.Database
	if name == "" {
		return nil
	}
	reply, err := c.do("SELECT", name)
	switch {
	case err != nil:
		return err
	case reply.is("OK"):
		return nil
	case reply.kind == errorKind && errorCode(reply.text) == probe.CodeServerError:
		// Out of range, not a number, or another one than 0 of a cluster.
		a.noteError(reply)
		return probe.Fail(probe.CodeDatabaseUnknown, errors.New("SELECT was refused"))
	default:
		return a.refused(reply)
	}
}

// introduce asks the server what it is, which the account may be forbidden.
func (a *attempt) introduce(c *conn) error {
	s := a.session
	reply, err := c.do("INFO", "server")
	if err != nil {
		return err
	}
	if reply.kind != bulkKind {
		if reply.kind == errorKind && errorCode(reply.text) == probe.CodePermissionDenied {
			s.Fact("info", "forbidden")
		}
		return nil
	}
	info := fields(reply.text)
	s.Server(product(info))
	if a.mode = info["redis_mode"]; a.mode != "" {
		s.Fact("redis_mode", a.mode)
	}
	if a.mode == sentinelMode {
		return &probe.Error{Code: probe.CodeProtocolMismatch, Phase: probe.PhaseProtocol, LooksLike: "redis sentinel", Err: errors.New("a sentinel holds no data")}
	}
	return nil
}

// product names the server and its version. The descendants of Redis go on
// naming the version of it that they are compatible with.
func product(info map[string]string) (name, version string) {
	for key, name := range map[string]string{"valkey_version": "Valkey", "dragonfly_version": "Dragonfly"} {
		if info[key] != "" {
			return name, info[key]
		}
	}
	return "Redis", info["redis_version"]
}

func (a *attempt) noteRole(reply value) {
	info := fields(reply.text)
	switch role := info["role"]; {
	case reply.kind != bulkKind || role == "":
	case role == "slave":
		a.session.Fact("role", "replica")
		a.session.Fact("master_link", info["master_link_status"])
	default:
		a.session.Fact("role", role)
	}
}

// fields reads what INFO and CLUSTER INFO answer with: name:value lines.
func fields(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			m[name] = value
		}
	}
	return m
}
