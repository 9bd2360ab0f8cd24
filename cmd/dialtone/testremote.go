package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/sync/errgroup"

	"dialtone/internal/api/client"
	"dialtone/internal/job"
	"dialtone/internal/probe"
)

const (
	// remoteEntries is how many entries a server takes in one batch unless it
	// was told otherwise.
	remoteEntries = 10
	// remoteBatches is how many batches are under way at once.
	remoteBatches = 4
)

// prepareRemote finds what a server could not be asked, and gives every entry
// a job.
func (t *testCommand) prepareRemote(entries []entry) error {
	var faults []error
	for i := range entries {
		e := &entries[i]
		e.JobID = cmp.Or(e.JobID, t.Job, fmt.Sprintf("dialtone-test-%d", i+1))
		strict := e.verify == probe.VerifyNone || e.verify == probe.VerifyFull
		if strict && (e.verify == probe.VerifyNone || e.Endpoints[0].DBType != string(probe.Kafka)) {
			faults = append(faults, fmt.Errorf("%s: --server cannot be asked for tls=%s: the API has no such field", e.source, e.verify))
		}
		for _, endpoint := range e.Endpoints {
			for _, p := range endpoint.Validate(e.call) {
				faults = append(faults, fmt.Errorf("%s: %s: %s", e.source, p.Field, p.Why.English))
			}
		}
	}
	_, err := t.openServer(console{})
	return errors.Join(append(faults, err)...)
}

// remote lets a server make the tests, batch by batch. What some batches came
// to stands even if others could not be made.
func (t *testCommand) remote(ctx context.Context, c console, entries []entry, into results) error {
	s, err := t.openServer(c)
	if err != nil {
		return usageError{err}
	}
	defer s.close()
	live := newProgress(c, len(into.flat()))
	defer live.end()
	batches := split10(entries)
	failures := make([]error, len(batches))
	var group errgroup.Group
	group.SetLimit(remoteBatches)
	for i, indexes := range batches {
		group.Go(func() error {
			failures[i] = s.watched(ctx, live, entries, indexes, into)
			return nil
		})
	}
	_ = group.Wait() // the failures are kept by batch
	for i, indexes := range batches {
		if failures[i] == nil {
			continue
		}
		for _, at := range indexes {
			into.fail(at, s.language)
		}
	}
	return distinct(failures)
}

// watched makes one batch and shows that it does. What an interruption leaves
// unanswered stays untested; what the server could not do is its failure.
func (s *server) watched(ctx context.Context, live *progress, entries []entry, indexes []int, into results) error {
	for _, at := range indexes {
		for _, o := range into[at] {
			live.start(o.Name)
		}
	}
	var failed error
	if ctx.Err() == nil {
		failed = s.test(ctx, entries, indexes, into)
	}
	if ctx.Err() != nil {
		failed = nil
	}
	for _, at := range indexes {
		for _, o := range into[at] {
			live.finish(o.Name, o.Report.OK())
		}
	}
	return failed
}

// distinct joins what failed, each text once. Only if every batch was refused
// as wrongly asked is it the call that was wrong.
func distinct(failures []error) error {
	var faults []error
	seen := map[string]bool{}
	wrong := 0
	for _, err := range failures {
		if err == nil {
			continue
		}
		if _, usage := errors.AsType[usageError](err); usage {
			wrong++
		}
		if !seen[err.Error()] {
			seen[err.Error()] = true
			faults = append(faults, err)
		}
	}
	if len(faults) == 0 {
		return nil
	}
	texts := make([]string, len(faults))
	for i, err := range faults {
		texts[i] = err.Error()
	}
	joined := errors.New(strings.Join(texts, "\n"))
	if wrong == len(failures) {
		return usageError{joined}
	}
	return joined
}

// split10 makes batches: entries of one call, not too many, and each end of a
// job once.
func split10(entries []entry) [][]int {
	type group struct {
		call    job.Call
		indexes []int
		ends    map[string]bool
	}
	var groups []*group
	for i, e := range entries {
		end := e.JobID + " " + cmp.Or(e.Endpoints[0].EndPointType, "so")
		var home *group
		for _, g := range groups {
			if g.call == e.call && len(g.indexes) < remoteEntries && (e.call == job.Cluster || !g.ends[end]) {
				home = g
				break
			}
		}
		if home == nil {
			home = &group{call: e.call, ends: map[string]bool{}}
			groups = append(groups, home)
		}
		home.indexes = append(home.indexes, i)
		home.ends[end] = true
	}
	batches := make([][]int, len(groups))
	for i, g := range groups {
		batches[i] = g.indexes
	}
	return batches
}

// test makes one batch and reads what came of it.
func (s *server) test(ctx context.Context, entries []entry, indexes []int, into results) error {
	ctx, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	id, err := s.submit(ctx, entries, indexes)
	if err != nil {
		return err
	}
	reply, err := s.client.GetBatchWithResponse(ctx, s.project, id, &client.GetBatchParams{XLanguage: client.XLanguage(s.language)})
	if err != nil {
		return s.unreachable(err)
	}
	if reply.JSON200 == nil {
		return s.refused(reply.HTTPResponse, reply.Body, nil)
	}
	for _, result := range reply.JSON200.Results {
		for _, test := range result.Tests {
			if test.Entry < 0 || test.Entry >= len(indexes) || test.Object < 0 || test.Object >= len(into[indexes[test.Entry]]) {
				return errors.New("the server's answer does not fit what it was asked")
			}
			into[indexes[test.Entry]][test.Object].take(test)
		}
	}
	return nil
}

// submit sends the batch, waits until it is done, and gives its id.
func (s *server) submit(ctx context.Context, entries []entry, indexes []int) (string, error) {
	var answer *http.Response
	var body []byte
	language := client.XLanguage(s.language)
	if entries[indexes[0]].call == job.Cluster {
		request := client.TestClusterConnectionsRequest{}
		for _, i := range indexes {
			one, err := clusterJob(entries[i])
			if err != nil {
				return "", err
			}
			request.Jobs = append(request.Jobs, one)
		}
		reply, err := s.client.TestClusterConnectionsWithResponse(ctx, s.project, &client.TestClusterConnectionsParams{XLanguage: language}, request)
		if err != nil {
			return "", s.unreachable(err)
		}
		answer, body = reply.HTTPResponse, reply.Body
	} else {
		request := client.TestConnectionsRequest{}
		for _, i := range indexes {
			request.Jobs = append(request.Jobs, connectionJob(entries[i]))
		}
		reply, err := s.client.TestConnectionsWithResponse(ctx, s.project, &client.TestConnectionsParams{XLanguage: language}, request)
		if err != nil {
			return "", s.unreachable(err)
		}
		answer, body = reply.HTTPResponse, reply.Body
	}
	id := answer.Header.Get("X-Batch-Id")
	if answer.StatusCode != http.StatusOK || id == "" {
		return "", s.refused(answer, body, func(i int) string {
			if i < 0 || i >= len(indexes) {
				return ""
			}
			return entries[indexes[i]].source
		})
	}
	return id, nil
}

// take reads a test. The words are the server's own: it may know verdicts that
// this program does not.
func (o *outcome) take(t client.Test) {
	r := t.Report
	o.tested, o.JobID = true, t.JobID
	o.Owner, o.Meaning, o.Remedy = probe.Owner(r.Owner), r.Meaning, r.Remedy
	o.Report = probe.Report{
		Code: probe.Code(r.Code), Phase: probe.Phase(r.Phase), Phases: r.Phases, Evidence: r.Evidence, Addresses: r.Addresses, Strict: r.Strict,
		LoginSent: r.LoginSent, StartedAt: r.StartedAt, DurationMS: r.DurationMs, Attempts: r.Attempts, SharedFrom: r.SharedFrom, SameAs: r.SameAs, Waits: r.Waits,
	}
}
