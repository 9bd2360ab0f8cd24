package main

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"dialtone/internal/egress"
	"dialtone/internal/probe"
	"dialtone/internal/probe/engines"
)

// local makes the tests in this process. The addresses are the user's own
// choice on the user's own machine: only what is never a database is denied.
func (t *testCommand) local(ctx context.Context, c console, entries []entry, into results) error {
	policy, err := egress.New(egress.Config{Open: true})
	if err != nil {
		return err
	}
	probers := engines.All(engines.Config{AllowRecoverable: t.AllowRecoverablePassword})
	runner, err := probe.NewRunner(policy, probers, probe.RunnerConfig{Timeout: t.Timeout})
	if err != nil {
		return err
	}
	live := newProgress(c, into.count())
	defer live.end()
	var group errgroup.Group
	group.SetLimit(t.Parallel)
	for i, e := range entries {
		for k, endpoint := range e.Endpoints {
			group.Go(func() error {
				if ctx.Err() != nil {
					return nil
				}
				target := endpoint.Target("local", probe.VerifyCA)
				if e.verify != "" && target.TLS != nil {
					target.TLS.Verify = e.verify
				}
				slot := &into[i][k]
				live.start(slot.Name)
				report, err := runner.Run(ctx, target)
				if err != nil {
					// Nothing but an interruption ends a test without a report.
					live.finish(slot.Name, false)
					slot.Report.LoginSent = report.LoginSent
					return nil
				}
				report.Attempts = 1
				*slot = judge(slot.Name, slot.JobID, report, probe.Language(t.Language))
				live.finish(slot.Name, report.OK())
				return nil
			})
		}
	}
	return group.Wait()
}

// results holds the outcomes by entry and endpoint. They begin as untested.
type results [][]outcome

func untested(entries []entry, l probe.Language) results {
	all := make(results, len(entries))
	for i, e := range entries {
		all[i] = make([]outcome, len(e.Endpoints))
		for k, endpoint := range e.Endpoints {
			all[i][k] = judge(nameOf(endpoint), e.JobID, probe.Refused(probe.CodeCancelled, time.Now()), l)
		}
	}
	return all
}

func (r results) flat() []outcome {
	var all []outcome
	for _, entry := range r {
		all = append(all, entry...)
	}
	return all
}

func (r results) count() int { return len(r.flat()) }

// any says whether anything is known at all.
func (r results) any() bool {
	for _, o := range r.flat() {
		if o.Report.Code != probe.CodeCancelled {
			return true
		}
	}
	return false
}
