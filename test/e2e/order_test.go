package e2e_test

import (
	"net/http"
	"testing"
	"time"

	"dialtone/test/system"
)

// order is one order of start and stop: who comes first, what is not there yet
// then, and what is gone already at the end.
type order struct {
	workerFirst bool
	without     func(s *system.System) []*system.Forward
	silent      bool
}

func noRedis(s *system.System) []*system.Forward    { return []*system.Forward{s.Redis} }
func noPostgres(s *system.System) []*system.Forward { return []*system.Forward{s.Postgres} }
func neither(s *system.System) []*system.Forward    { return []*system.Forward{s.Redis, s.Postgres} }

// TestOrderOfStartAndStop: api and worker start in either order, without Redis,
// without Postgres and without both, say that they are not ready, and become so
// by themselves; they end in either order and without servers, and a batch that
// was accepted meanwhile is worked off by whoever comes next.
func TestOrderOfStartAndStop(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]order{
		"api first without Redis":             {without: noRedis},
		"api first without Postgres":          {without: noPostgres},
		"api first without either":            {without: neither},
		"api first with a silent Redis":       {without: noRedis, silent: true},
		"api first with two silent ones":      {without: neither, silent: true},
		"worker first without Redis":          {workerFirst: true, without: noRedis},
		"worker first without Postgres":       {workerFirst: true, without: noPostgres},
		"worker first without either":         {workerFirst: true, without: neither},
		"worker first with a silent Postgres": {workerFirst: true, without: noPostgres, silent: true},
		"worker first with two silent ones":   {workerFirst: true, without: neither, silent: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.run(t, system.Prepare(t, system.Options{Env: short()}))
		})
	}
}

func (o order) run(t *testing.T, s *system.System) {
	t.Helper()
	o.away(s)
	start := []func() *system.Process{
		func() *system.Process { s.LaunchAPI(); return s.API },
		func() *system.Process { return s.LaunchWorker() },
	}
	if o.workerFirst {
		start[0], start[1] = start[1], start[0]
	}
	var both []*system.Process
	for _, launch := range start {
		both = append(both, launch())
		for _, p := range both {
			system.Eventually(t, system.WaitForServers, p.Name+" answers its admin listener", p.Alive)
			if p.Ready() {
				t.Errorf("%s is ready without its servers", p.Name)
			}
		}
	}
	if ways := o.without(s); ways[len(ways)-1] == s.Postgres && !o.silent {
		refused(t, s.Must(http.MethodGet, "/batch-connections", nil), http.StatusServiceUnavailable, "DRS.M00004")
	}
	o.back(s)
	for _, p := range both {
		p.WaitReady(t)
	}
	good := system.MariaDB(t, "dt_native")
	if r, _ := s.Test(good); !r.Results[0].OK() {
		t.Errorf("the first test: %+v", r.Results[0])
	}

	// The worker's absence is nobody's business but the batch's.
	worker := s.Workers[0]
	var id string
	stop := []func(){
		func() {
			id = later(s, good.Elsewhere(t).With(system.Entry{"id": "b"}))
			gone(t, s.API)
		},
		func() { gone(t, worker) },
	}
	if o.workerFirst {
		stop[0], stop[1] = stop[1], stop[0]
	}
	stop[0]()
	stop[1]()

	s.StartWorker()
	s.StartAPI()
	if got := done(s, 30*time.Second, id).tests()[0]; got.Report.Code != "ok" {
		t.Errorf("the batch that was accepted before the end: %+v", got)
	}
	// Now the servers go first.
	o.away(s)
	for _, p := range []*system.Process{s.API, s.Workers[1]} {
		system.Eventually(t, system.WaitForServers, p.Name+" says that it is not ready", func() bool { return !p.Ready() })
		gone(t, p)
	}
	o.back(s)
}

// away takes the servers away.
func (o order) away(s *system.System) {
	for _, way := range o.without(s) {
		if o.silent {
			way.Silence()
		} else {
			way.Cut()
		}
	}
}

func (o order) back(s *system.System) {
	for _, way := range o.without(s) {
		way.Mend()
	}
}

// gone tells a process to end, and wants it to end well.
func gone(t *testing.T, p *system.Process) {
	t.Helper()
	p.Stop(t)
	if ended, err := p.Exited(); !ended || err != nil {
		t.Errorf("%s ended: %t, %v", p.Name, ended, err)
	}
}
