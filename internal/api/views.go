package api

import (
	"slices"
	"time"

	"dialtone/internal/api/wire"
	"dialtone/internal/batch"
	"dialtone/internal/probe"
)

// batchView is a batch without its results.
func batchView(b batch.Batch) wire.Batch {
	return wire.Batch{
		ID: b.ID, Call: wire.BatchCall(b.Call), Lane: wire.BatchLane(b.Lane), State: wire.BatchState(b.State()), Caller: b.Caller,
		Entries: b.Entries, Total: b.Total, Open: b.Open, CreatedAt: b.CreatedAt.UTC(), Deadline: b.Deadline.UTC(), FinishedAt: moment(b.FinishedAt),
	}
}

// batchWhole is a batch with all that is known of its tests.
func batchWhole(b batch.Batch, tests []batch.Test, l probe.Language) wire.Batch {
	view := batchView(b)
	view.Results = []wire.EntryResult{}
	for i, r := range batch.Aggregate(b, tests) {
		one := wire.EntryResult{
			Entry: i, JobID: r.JobID, EndPointType: wire.EntryResultEndPointType(r.EndPointType),
			State: wire.EntryResultStateDone, Success: r.OK, Tests: []wire.Test{},
		}
		for _, t := range r.Tests {
			if t.State() != batch.Done {
				one.State = wire.EntryResultStateRunning
			}
			one.Tests = append(one.Tests, testView(t, l))
		}
		if !r.OK && one.State == wire.EntryResultStateDone {
			one.ErrorCode, one.ErrorMsg = failure(r, b.Call == "cluster", l)
		}
		view.Results = append(view.Results, one)
	}
	return view
}

func testView(t batch.Test, l probe.Language) wire.Test {
	view := wire.Test{
		ID: t.ID, Entry: t.Entry, Object: t.Object, JobID: t.JobID, EndPointType: wire.TestEndPointType(t.EndPointType),
		State: wire.TestState(t.State()), Target: targetView(t), Network: t.Network, Attempt: t.Attempt, Probes: t.Probes, Worker: t.Worker,
		CreatedAt: t.CreatedAt.UTC(), Deadline: t.Deadline.UTC(), NotBefore: moment(t.NotBefore), StartedAt: moment(t.StartedAt),
		LoginAt: moment(t.LoginAt), FinishedAt: moment(t.FinishedAt), Seq: t.Seq,
	}
	if t.Report != nil {
		view.Report = reportView(*t.Report, l)
	}
	return view
}

// targetView shows an endpoint: of a secret, whether it was given.
func targetView(t batch.Test) wire.Target {
	set := func(name string) bool { return slices.Contains(t.SecretsSet, name) }
	view := wire.Target{
		Engine: string(t.Target.Engine), Network: t.Target.Network, Addresses: []string{}, User: t.Target.User,
		Database: t.Target.Database, PasswordSet: set("password"),
	}
	for _, a := range t.Target.Addresses {
		view.Addresses = append(view.Addresses, a.String())
	}
	if t.Target.DNS.IsValid() {
		view.DNS = t.Target.DNS.String()
	}
	if tls := t.Target.TLS; tls != nil {
		view.TLS = wire.TargetTLS{
			Verify: wire.TargetTLSVerify(tls.Verify), CertificateName: tls.Name, Checksum: tls.Checksum,
			CertificateSet: set("tls.certificate"), PasswordSet: set("tls.password"),
		}
		if tls.Verify == "" {
			view.TLS.Verify = wire.TargetTLSVerify(probe.VerifyCA)
		}
	}
	if k := t.Target.Kafka; k != nil {
		view.Kafka = wire.TargetKafka{
			Type: k.Protocol, SaslMechanism: k.SASLMechanism, EndpointAlgorithm: k.EndpointAlgorithm, DelegationTokens: k.DelegationTokens,
			EnableKeyStore: k.EnableKeyStore, TrustStoreKeyName: k.TrustStoreName, KeyStoreKeyName: k.KeyStoreName,
			TrustStoreSet: set("kafka.trust_store"), TrustStorePasswordSet: set("kafka.trust_store_password"),
			KeyStoreSet: set("kafka.key_store"), KeyStorePasswordSet: set("kafka.key_store_password"), KeyPasswordSet: set("kafka.private_key_password"),
		}
	}
	return view
}

// reportView is a report with its meaning in the caller's language.
func reportView(r probe.Report, l probe.Language) wire.Report {
	v := r.Code.Verdict()
	phases, addresses := r.Phases, r.Addresses
	if phases == nil {
		phases = []probe.PhaseResult{}
	}
	return wire.Report{
		Ok: r.OK(), Code: string(r.Code), ErrorCode: drsCode(r.Code), Owner: wire.ReportOwner(v.Owner),
		Meaning: v.Meaning.In(l), Remedy: v.Remedy.In(l), Phase: string(r.Phase), Phases: phases, Evidence: r.Evidence,
		Addresses: addresses, Strict: r.Strict, LoginSent: r.LoginSent, StartedAt: r.StartedAt.UTC(), DurationMs: r.DurationMS,
		Attempts: r.Attempts, SharedFrom: r.SharedFrom, SameAs: r.SameAs, Waits: r.Waits,
	}
}

// moment is a time that may not be there.
func moment(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
