package oracle

import (
	"context"
	"fmt"
	"strconv"

	"dialtone/internal/probe"
)

// Modes of a login.
const (
	modeLogon        = 0x001
	modeWithPassword = 0x100
)

// pair is one named value that the client sends in a login.
type pair struct {
	name, value string
	flags       int
}

// loginMessage makes either step of the login.
func (c *caller) loginMessage(function byte, user string, mode int, pairs ...pair) *message {
	m := c.function(function)
	m.octets(1)
	m.number(len(user))
	m.number(mode)
	m.octets(1)
	m.number(len(pairs))
	m.octets(1, 1)
	m.text(user)
	for _, p := range pairs {
		m.pair(p.name, p.value, p.flags)
	}
	return m
}

// login makes the two steps; the mark of the login is set between them.
func (a *attempt) login(ctx context.Context, c *caller) error {
	s := a.session
	s.Enter(probe.PhaseLogin)
	user := s.Target.User
	first, err := c.call(c.loginMessage(functionPhaseOne, user, modeLogon,
		pair{"AUTH_TERMINAL", "unknown", 0},
		pair{"AUTH_PROGRAM_NM", a.program, 0},
		pair{"AUTH_MACHINE", clientName, 0},
		pair{"AUTH_PID", "1", 0},
		pair{"AUTH_SID", clientName, 0},
	))
	if err != nil {
		return a.failed(err)
	}
	s.Mechanism(mechanism(first.verifier))
	asked, err := parseChallenge(first)
	if err != nil {
		return err
	}
	reply, err := asked.answer(s.Target.Password)
	if err != nil {
		return probe.Fail(probe.CodeInternal, err)
	}
	if err := s.BeforeLogin(ctx); err != nil {
		return err
	}
	second, err := c.call(c.loginMessage(functionPhaseTwo, user, modeLogon|modeWithPassword, reply.pairs()...))
	if err != nil {
		return a.failed(err)
	}
	a.describe(second)
	if !reply.proves(second.values[nameProof]) {
		return errChallenge("the server does not prove that it knows the password")
	}
	return nil
}

// pairs are the values of the second step.
func (r *response) pairs() []pair {
	pairs := []pair{{"AUTH_SESSKEY", r.half, 1}}
	if r.speedy != "" {
		pairs = append(pairs, pair{"AUTH_PBKDF2_SPEEDY_KEY", r.speedy, 0})
	}
	return append(pairs,
		pair{"AUTH_PASSWORD", r.password, 0},
		pair{"SESSION_CLIENT_CHARSET", strconv.Itoa(utf8), 0},
		pair{"SESSION_CLIENT_DRIVER_NAME", clientName, 0},
		pair{"SESSION_CLIENT_VERSION", "1", 0},
		// Every client sends one; this changes nothing that anybody sees.
		pair{"AUTH_ALTER_SESSION", "ALTER SESSION SET TIME_ZONE='+00:00'\x00", 1},
	)
}

// describe notes what a login that passed brought with it.
func (a *attempt) describe(second *answer) {
	const most = 1<<32 - 1
	if n, ok := number(second.values[nameVersion], most); ok {
		a.session.Server("Oracle Database", versionText(n))
	}
	if second.warning != 0 {
		a.session.Fact("server_warning", oraCode(second.warning))
	}
}

func oraCode(code int) string { return fmt.Sprintf("ORA-%05d", code) }
