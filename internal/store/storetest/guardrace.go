package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
)

// peak counts, and remembers the most.
type peak struct {
	mu        sync.Mutex
	now, most int
}

func (p *peak) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now += n
	p.most = max(p.most, p.now)
}

// raceSlot lets workers race for the one slot of an account, with a thousand
// claims, or a hundred where the run is to be short.
func raceSlot(e env) {
	const workers = 4
	rounds := 250
	if testing.Short() {
		rounds = 25
	}
	var logins atomic.Int32
	var running peak
	l := limits()
	l.EndpointProbes = 0
	e.together(workers, func(ctx context.Context, _ int) error {
		for range rounds {
			b := e.newBatch(1)
			t := e.newTest(b, 0)
			if _, err := e.Create(ctx, b, []batch.Test{t}); err != nil {
				return err
			}
			got, err := e.Claim(ctx, []batch.Claim{{TestID: t.ID, LeaseID: batch.NewID(), Worker: "w", Lease: long, Limits: l}})
			if err != nil {
				return err
			}
			if len(got) == 0 {
				continue
			}
			running.add(1)
			marked, err := e.MarkLogin(ctx, t.ID, got[0].LeaseID)
			if err != nil {
				return err
			}
			if marked {
				logins.Add(1)
			}
			running.add(-1)
			if _, err := e.Finish(ctx, []batch.Finish{{TestID: t.ID, LeaseID: got[0].LeaseID, Report: loggedIn(probe.CodeOK)}}); err != nil {
				return err
			}
		}
		return nil
	})
	if running.most != 1 || logins.Load() == 0 {
		e.Errorf("%d logins, up to %d at once", logins.Load(), running.most)
	}
}

// raceEndpoint claims in groups, as workers do.
func raceEndpoint(e env) {
	const workers, size = 4, 6
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	var claimed atomic.Int32
	var running peak
	e.together(workers, func(ctx context.Context, _ int) error {
		for range rounds {
			b := e.newBatch(size)
			var tests []batch.Test
			var claims []batch.Claim
			for i := range size {
				t := e.newTest(b, i)
				t.Target.User = batch.NewID()
				t.Target.Addresses = at(fmt.Sprint("host", i%3), fmt.Sprint("host", (i+1)%3))[:1+i%2]
				tests = append(tests, t)
				claims = append(claims, batch.Claim{TestID: t.ID, LeaseID: batch.NewID(), Worker: "w", Lease: long, Limits: limits()})
			}
			if _, err := e.Create(ctx, b, tests); err != nil {
				return err
			}
			got, err := e.Claim(ctx, claims)
			if err != nil {
				return err
			}
			claimed.Add(int32(len(got)))
			there := 0
			for _, c := range got {
				if slices.Contains(c.Target.Addresses, at("host0")[0]) {
					there++
				}
			}
			running.add(there)
			if len(got) > 0 { // a while in which others could be let in by mistake
				if _, err := e.MarkLogin(ctx, got[0].ID, got[0].LeaseID); err != nil {
					return err
				}
			}
			running.add(-there)
			var reports []batch.Finish
			for _, c := range got {
				reports = append(reports, batch.Finish{TestID: c.ID, LeaseID: c.LeaseID, Report: newReport(probe.CodeOK)})
			}
			if _, err := e.Finish(ctx, reports); err != nil {
				return err
			}
		}
		return nil
	})
	if running.most > 2 || claimed.Load() == 0 {
		e.Errorf("%d claimed, up to %d at once at one endpoint", claimed.Load(), running.most)
	}
}
