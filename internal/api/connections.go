package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"dialtone/internal/api/wire"
	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/probe"
	"dialtone/internal/sabotage"
)

// operations answers the routes of the document.
type operations struct{ *Server }

var _ wire.StrictServerInterface = operations{}

// TestConnections is the connection call (contract 1).
func (s operations) TestConnections(ctx context.Context, r wire.TestConnectionsRequestObject) (wire.TestConnectionsResponseObject, error) {
	x := exchangeOf(ctx)
	entries, problems := s.connections(*r.Body, s.mostEntries(x))
	problems = append(x.problems, problems...)
	problems = append(problems, twice(r.Body.Jobs)...)
	if err := refused(problems); err != nil {
		return nil, err
	}
	return s.test(ctx, job.Connection, entries, func(b batch.Batch, results []batch.Result) answer {
		if x.async {
			return wire.TestConnections202JSONResponse{Body: batchView(b), Headers: wire.TestConnections202ResponseHeaders{
				Location: batchPath(b), PreferenceApplied: "respond-async", XBatchID: b.ID,
			}}.VisitTestConnectionsResponse
		}
		body := wire.TestConnectionsResponse{Results: []wire.ConnectionResult{}, Count: sabotage.Swap(sabotage.CountNothing, len(results), 0)}
		for i, result := range results {
			one := wire.ConnectionResult{ID: entries[i].JobID, Status: sabotage.Swap(sabotage.RenameStatus, wire.ConnectionResultStatusSuccess, "ok"), Success: result.OK}
			if !result.OK {
				one.Status = wire.ConnectionResultStatusFailed
				one.ErrorCode, one.ErrorMsg = failure(result, false, x.language)
			}
			body.Results = append(body.Results, one)
		}
		return wire.TestConnections200JSONResponse{Body: body, Headers: wire.TestConnections200ResponseHeaders{XBatchID: b.ID}}.VisitTestConnectionsResponse
	})
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

// mostEntries is how many entries a test request may have: more where nobody
// waits for them.
func (s *Server) mostEntries(x *exchange) int {
	if x.async {
		return s.cfg.BulkEntries
	}
	return s.cfg.MaxEntries
}

// tooMany refuses requests with more entries than we take.
func tooMany(n, most int) []problem {
	if n <= most {
		return nil
	}
	text := strconv.Itoa(most)
	return []problem{{path: "jobs", code: codeInvalid, why: probe.Words{English: "it must hold at most " + text + " items", Chinese: "最多包含 " + text + " 项"}}}
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

// roleForce lets a caller log in although the ledger of refused logins objects.
const roleForce = "force"

// answer writes the response of either test call.
type answer func(w http.ResponseWriter) error

// VisitTestConnectionsResponse implements wire.TestConnectionsResponseObject.
func (a answer) VisitTestConnectionsResponse(w http.ResponseWriter) error { return a(w) }

// VisitTestClusterConnectionsResponse implements
// wire.TestClusterConnectionsResponseObject.
func (a answer) VisitTestClusterConnectionsResponse(w http.ResponseWriter) error { return a(w) }

// render makes the answer of a batch; results are nil if nobody waited for them.
type render func(b batch.Batch, results []batch.Result) answer

// test carries a request out, once if it has a key. Whatever is known of the
// body apart from the entries is let go: callers wait long.
func (s *Server) test(ctx context.Context, call job.Call, entries []batch.RequestEntry, render render) (answer, error) {
	x := exchangeOf(ctx)
	if x.key != "" {
		return s.testOnce(ctx, call, entries, render)
	}
	x.tree = nil
	until := time.Now().Add(s.cfg.Wait)
	accepting, cancel := s.accepting(ctx)
	b, err := s.submit(accepting, call, entries, nil)
	cancel()
	if err != nil {
		return nil, err
	}
	results, _, err := s.wait(ctx, b, until, entries, s.parts.Waiter.Wait)
	if err != nil {
		return nil, err
	}
	return render(b, results), nil
}

// accepting bounds all that is done to accept a batch. A caller that goes away
// does not stop its batch, not even half-way in.
func (s *Server) accepting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), s.cfg.SubmitTimeout)
}

// submit accepts a batch.
func (s *Server) submit(ctx context.Context, call job.Call, entries []batch.RequestEntry, once *batch.Once) (batch.Batch, error) {
	x := exchangeOf(ctx)
	r := batch.Request{
		Project: x.caller.Project, Caller: x.caller.Subject, Call: call, Lane: batch.Interactive, Wait: true,
		Trace: s.cfg.Trace(ctx), Force: x.caller.Has(roleForce), Once: once, Entries: entries,
	}
	if x.async {
		r.Lane, r.Wait = batch.Bulk, false
	}
	b, err := s.parts.Submitter.Submit(ctx, r)
	if err = late(ctx, err); err != nil {
		return batch.Batch{}, err
	}
	x.batch = b.ID
	s.auditRequest(ctx, b, entries)
	return b, nil
}

// wait gives the results of a batch, unless the caller asked for an answer at
// once: never empty-handed, and not much later than until, which is not after the
// batch's deadline. known is false if they only say that the store could not be
// asked.
func (s *Server) wait(
	ctx context.Context, b batch.Batch, until time.Time, entries []batch.RequestEntry, done func(ctx context.Context, id string) error,
) (results []batch.Result, known bool, err error) {
	if exchangeOf(ctx).async {
		return nil, true, nil
	}
	began := time.Now()
	waiting, cancel := context.WithDeadline(ctx, sabotage.Swap(sabotage.StretchWait, until, until.Add(10*time.Second)))
	waitErr := done(waiting, b.ID)
	cancel()
	if waitErr != nil && ctx.Err() != nil {
		return nil, false, &fault{status: statusClientGone, code: codeService}
	}
	results, known = s.results(ctx, b, entries, waitErr != nil)
	s.parts.Observer.Answered(b, results, time.Since(began))
	return results, known, nil
}

// statusClientGone is what the access log shows for a caller that did not wait
// for the answer; nobody receives it.
const statusClientGone = 499

// results ends a batch whose time is up and reads it. Where the store cannot
// say how the batch ended, every entry is a failure of ours: an error status
// would only make the client test, and log in, once more.
func (s *Server) results(ctx context.Context, b batch.Batch, entries []batch.RequestEntry, overdue bool) (all []batch.Result, known bool) {
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
		return results, false
	}
	return batch.Aggregate(read, tests), true
}

// batchPath is where a batch is read.
func batchPath(b batch.Batch) string {
	return "/v3/" + b.Project + "/batch-connections/" + b.ID
}
