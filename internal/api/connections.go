package api

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"dialtone/internal/api/wire"
	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/probe"
)

// operations answers the routes of the document.
type operations struct{ *Server }

var _ wire.StrictServerInterface = operations{}

// TestConnections is the connection call (contract 1).
func (s operations) TestConnections(ctx context.Context, r wire.TestConnectionsRequestObject) (wire.TestConnectionsResponseObject, error) {
	x := exchangeOf(ctx)
	entries, problems := s.connections(*r.Body)
	problems = append(x.problems, problems...)
	problems = append(problems, twice(r.Body.Jobs)...)
	if err := refused(problems); err != nil {
		return nil, err
	}
	b, results, err := s.test(ctx, job.Connection, entries)
	if err != nil {
		return nil, err
	}
	if x.async {
		return wire.TestConnections202JSONResponse{Body: batchView(b), Headers: wire.TestConnections202ResponseHeaders{
			Location: batchPath(b), PreferenceApplied: "respond-async", XBatchID: b.ID,
		}}, nil
	}
	answer := wire.TestConnectionsResponse{Results: []wire.ConnectionResult{}, Count: len(results)}
	for i, result := range results {
		one := wire.ConnectionResult{ID: entries[i].JobID, Status: wire.ConnectionResultStatusSuccess, Success: result.OK}
		if !result.OK {
			one.Status = wire.ConnectionResultStatusFailed
			one.ErrorCode, one.ErrorMsg = failure(result, false, x.language)
		}
		answer.Results = append(answer.Results, one)
	}
	return wire.TestConnections200JSONResponse{Body: answer, Headers: wire.TestConnections200ResponseHeaders{XBatchID: b.ID}}, nil
}

// endpoint takes an entry of the connection call over.
func endpoint(given wire.TestEndPoint) batch.Endpoint {
	e := batch.Endpoint{
		NetType: string(given.NetType), DBType: string(given.DBType), IP: given.IP, DBPort: given.DBPort, InstID: given.InstID,
		User: given.DBUser, Password: given.DBPassword,
		SSLLink: given.SslLink, SSLCertKey: given.SslCertKey, SSLCertName: given.SslCertName,
		SSLCertCheckSum: given.SslCertCheckSum, SSLCertPassword: given.SslCertPassword,
		VpcID: given.VpcID, SubnetID: given.SubnetID, EndPointType: string(given.EndPointType),
		Region: given.Region, ProjectID: given.ProjectID, DBName: given.DBName,
		Kafka: kafka(given.KafkaSecurityConfig),
	}
	if given.CustomizedDNS != (wire.CustomizedDNS{}) {
		e.DNS = &batch.CustomizedDNS{
			IsSet: given.CustomizedDNS.IsSetDNS, Action: string(given.CustomizedDNS.SetDNSAction), IP: given.CustomizedDNS.DNSIP,
		}
	}
	return e
}

// kafka takes kafka_security_config over; an empty one is none.
func kafka(given wire.KafkaSecurity) *probe.KafkaSecurity {
	if given == (wire.KafkaSecurity{}) {
		return nil
	}
	return &probe.KafkaSecurity{
		Protocol: string(given.Type), SASLMechanism: string(given.SaslMechanism), EndpointAlgorithm: given.EndpointAlgorithm,
		DelegationTokens: given.DelegationTokens,
		TrustStoreName:   given.TrustStoreKeyName, TrustStore: given.TrustStoreKey, TrustStorePassword: given.TrustStorePassword,
		EnableKeyStore: given.EnableKeyStore, KeyStoreName: given.KeyStoreKeyName, KeyStore: given.KeyStoreKey,
		KeyStorePassword: given.KeyStorePassword, SetPrivateKeyPassword: given.SetPrivateKeyPassword, PrivateKeyPassword: given.KeyPassword,
	}
}

func entryPath(i int) string { return "jobs[" + strconv.Itoa(i) + "]" }

// ruleProblem puts a problem of the domain's rules where the caller wrote it.
func ruleProblem(path, field string, p batch.Problem) problem {
	code := codeInvalid
	switch p.Fault {
	case batch.Missing:
		code = codeMissing
	case batch.Duplicate:
		code = codeDuplicate
	case batch.Invalid:
	}
	return problem{path: join(path, field), code: code, why: p.Why}
}

// tooMany refuses requests with more entries than we take.
func (r reader) tooMany(n int) []problem {
	if n <= r.maxEntries {
		return nil
	}
	most := strconv.Itoa(r.maxEntries)
	return []problem{{path: "jobs", code: codeInvalid, why: probe.Words{English: "it must hold at most " + most + " items", Chinese: "最多包含 " + most + " 项"}}}
}

// twice finds entries for the same end of the same job. The same job with both
// its ends is what clients send.
func twice(jobs []wire.TestEndPoint) []problem {
	type end struct{ id, side string }
	seen := map[end]bool{}
	var problems []problem
	for i, j := range jobs {
		e := end{id: j.ID, side: string(j.EndPointType)}
		if e.side == "" {
			e.side = "so"
		}
		if e.id != "" && seen[e] {
			problems = append(problems, problem{path: entryPath(i) + ".id", code: codeDuplicate, why: probe.Words{
				English: "an earlier entry has the same id and end_point_type", Chinese: "前面的条目中已有相同的 id 和 end_point_type",
			}})
		}
		seen[e] = true
	}
	return problems
}

// test accepts a batch and, unless the caller asked for an answer at once,
// waits for it: not longer than the wait, and never empty-handed.
func (s *Server) test(ctx context.Context, call job.Call, entries []batch.RequestEntry) (batch.Batch, []batch.Result, error) {
	x := exchangeOf(ctx)
	x.tree = nil
	r := batch.Request{
		Project: x.caller.Project, Caller: x.caller.Subject, Call: call, Lane: batch.Interactive, Wait: true,
		Trace: s.cfg.Trace(ctx), Entries: entries,
	}
	if x.async {
		r.Lane, r.Wait = batch.Bulk, false
	}
	// A caller that goes away does not stop its batch, not even half-way in.
	submitting, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.SubmitTimeout)
	b, err := s.parts.Submitter.Submit(submitting, r)
	err = late(submitting, err)
	cancel()
	if err != nil {
		return batch.Batch{}, nil, err
	}
	x.batch = b.ID
	s.auditRequest(ctx, b, entries)
	if x.async {
		return b, nil, nil
	}
	began := time.Now()
	waiting, cancel := context.WithTimeout(ctx, s.cfg.Wait)
	waitErr := s.parts.Waiter.Wait(waiting, b.ID)
	cancel()
	if waitErr != nil && ctx.Err() != nil {
		return b, nil, &fault{status: statusClientGone, code: codeService}
	}
	results := s.results(ctx, b, entries, waitErr != nil)
	s.parts.Observer.Answered(b, results, time.Since(began))
	s.auditResults(ctx, b, results)
	return b, results, nil
}

// statusClientGone is what the access log shows for a caller that did not wait
// for the answer; nobody receives it.
const statusClientGone = 499

// results ends a batch whose time is up and reads it. Where the store cannot
// say how the batch ended, every entry is a failure of ours: an error status
// would only make the client test, and log in, once more.
func (s *Server) results(ctx context.Context, b batch.Batch, entries []batch.RequestEntry, overdue bool) []batch.Result {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.EndTimeout)
	defer cancel()
	if overdue {
		if err := s.parts.Ender.ExpireBatch(ctx, b.ID); err != nil {
			s.log.ErrorContext(ctx, "batch not ended at the end of the wait", "batch", b.ID, "error", err)
		}
	}
	read, tests, err := s.parts.Batches.Batch(ctx, b.Project, b.ID)
	if err != nil {
		s.log.ErrorContext(ctx, "results not read", "batch", b.ID, "error", err)
		results := make([]batch.Result, len(entries))
		for i, e := range entries {
			results[i] = batch.Result{Entry: i, JobID: e.JobID}
		}
		return results
	}
	return batch.Aggregate(read, tests)
}

// auditRequest notes who asked to test what.
func (s *Server) auditRequest(ctx context.Context, b batch.Batch, entries []batch.RequestEntry) {
	x := exchangeOf(ctx)
	for i, entry := range entries {
		for k, e := range entry.Endpoints {
			s.log.LogAttrs(ctx, slog.LevelInfo, "test requested", slog.String("audit", "request"), slog.String("request", x.id),
				slog.String("batch", b.ID), slog.String("project", b.Project), slog.String("caller", b.Caller), slog.String("method", string(x.caller.Method)),
				slog.Int("entry", i), slog.Int("object", k), slog.String("job", entry.JobID), slog.String("engine", e.DBType),
				slog.String("address", e.IP), slog.Int("port", e.DBPort), slog.String("network", e.NetType))
		}
	}
}

// auditResults notes what came of it.
func (s *Server) auditResults(ctx context.Context, b batch.Batch, results []batch.Result) {
	for _, r := range results {
		for _, t := range r.Tests {
			report := reportOf(t)
			s.log.LogAttrs(ctx, slog.LevelInfo, "test answered", slog.String("audit", "verdict"), slog.String("request", exchangeOf(ctx).id),
				slog.String("batch", b.ID), slog.String("project", b.Project), slog.String("caller", b.Caller),
				slog.Int("entry", t.Entry), slog.Int("object", t.Object), slog.String("job", t.JobID), slog.String("engine", string(t.Target.Engine)),
				slog.String("address", report.Evidence.Address), slog.String("verdict", string(report.Code)))
		}
	}
}

// batchPath is where a batch is read.
func batchPath(b batch.Batch) string {
	return "/v3/" + b.Project + "/batch-connections/" + b.ID
}
