package chaos_test

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"dialtone/test/system"
)

// member is a process of the service with a way of its own to Postgres. The
// ways to Redis are all members', who say their names there.
type member struct {
	process  *system.Process
	postgres *system.Forward
	// storeless is when it could not ask the store: dead, paused, or cut off.
	storeless absence

	mu     sync.Mutex
	paused bool
}

// env leads a process over the member's ways.
func (m *member) env(s *system.System) string {
	return "DIALTONE_POSTGRES_DSN=" + strings.Replace(s.DSN, s.Postgres.Addr, m.postgres.Addr, 1)
}

// clientName is the part of its name by which Redis knows the process from the
// others: see service.Name.
func (m *member) clientName() string { return fmt.Sprintf("-%d-", m.process.PID()) }

// pause notes that the member sleeps, and gives what notes that it woke up.
func (m *member) pause() (end func()) {
	back := m.storeless.begin()
	set := func(paused bool) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.paused = paused
	}
	set(true)
	return func() {
		set(false)
		back()
	}
}

func (m *member) sleeps() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.paused
}

// cutStore and cutRedis take the way between the member and a server away, with
// resets or in silence, for a while.

func (c *chaos) cutStore(m *member, silence bool) {
	back := m.storeless.begin()
	if silence {
		m.postgres.Silence()
	} else {
		m.postgres.Cut()
	}
	c.later(c.between(1000, 3000), func() {
		m.postgres.Mend()
		back()
	})
}

func (c *chaos) cutRedis(m *member, silence bool) {
	name := m.clientName()
	for _, n := range c.redis.nodes() {
		if silence {
			n.way.SilenceClient(name)
		} else {
			n.way.CutClient(name)
		}
	}
	c.later(c.between(1000, 3000), func() {
		for _, n := range c.redis.nodes() {
			n.way.MendClient(name)
		}
	})
}

// later heals a fault after a while, in which other things may break.
func (c *chaos) later(after time.Duration, heal func()) {
	c.healing.Go(func() {
		time.Sleep(after)
		heal()
	})
}
