package main

import (
	"context"

	"golang.org/x/sync/errgroup"

	"dialtone/internal/batch"
	"dialtone/internal/egress"
	"dialtone/internal/probe"
	"dialtone/internal/service"
)

// local makes the tests in this process. The addresses are the user's own
// choice on the user's own machine: only what is never a database is denied.
func (t *testCommand) local(ctx context.Context, c console, entries []entry, into results) error {
	policy, err := egress.New(egress.Config{Open: true})
	if err != nil {
		return err
	}
	probers, err := service.Probers(t.AllowRecoverablePassword, t.Kerberos)
	if err != nil {
		return err
	}
	runner, err := probe.NewRunner(policy, probers, probe.RunnerConfig{Timeout: t.Timeout})
	if err != nil {
		return err
	}
	live := newProgress(c, len(into.flat()))
	defer live.end()
	var group errgroup.Group
	group.SetLimit(t.Parallel)
	for i, e := range entries {
		for k, endpoint := range e.Endpoints {
			group.Go(func() error {
				slot := &into[i][k]
				live.start(slot.Name)
				t.one(ctx, runner, e, endpoint, slot)
				live.finish(slot.Name, slot.Report.OK())
				return nil
			})
		}
	}
	return group.Wait()
}

// one tests an endpoint. Nothing but an interruption ends a test without a
// report; then the endpoint stays untested.
func (t *testCommand) one(ctx context.Context, runner *probe.Runner, e entry, endpoint batch.Endpoint, slot *outcome) {
	if ctx.Err() != nil {
		return
	}
	target := endpoint.Target("local", probe.VerifyCA)
	if e.verify != "" && target.TLS != nil {
		target.TLS.Verify = e.verify
	}
	report, err := runner.Run(ctx, target)
	if err != nil {
		slot.Report.LoginSent = report.LoginSent
		return
	}
	report.Attempts = 1
	slot.judge(report, probe.Language(t.Language))
	slot.tested = true
}
