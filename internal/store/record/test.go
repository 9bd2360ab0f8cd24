package record

import (
	"encoding/json"
	"fmt"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
)

// NewTest is a test that is about to be stored, and what its row holds.
type NewTest struct {
	batch.Test
	// Endpoint is the target without its secrets, as JSON.
	Endpoint string
	// SecretNames are those of the secrets that Sealed holds, in order.
	SecretNames []string
	Sealed      []byte
	// Seq and Report are set if the test ended before it began.
	Seq    int
	Report *string
	// Guard is empty in the same case.
	Guard
	// Followed says that other tests of the batch are the same as this one.
	Followed bool
}

// NewTests makes rows of a new batch's tests, and says how many of these are
// finished already.
func (s Sealer) NewTests(key LedgerKey, batchID string, tests []batch.Test) (rows []NewTest, finished int, err error) {
	rows = make([]NewTest, 0, len(tests))
	followed := map[string]bool{}
	for _, t := range tests {
		followed[t.SameAs] = true
	}
	for _, t := range tests {
		row := NewTest{Test: t, Followed: followed[t.ID]}
		open, secrets := t.Target.Split()
		endpoint, err := json.Marshal(open)
		if err != nil {
			return nil, 0, fmt.Errorf("encode endpoint: %w", err)
		}
		row.Attempt = max(t.Attempt, 1)
		row.Endpoint, row.SecretNames = string(endpoint), secretNames(secrets)
		if t.Report == nil {
			if row.Sealed, err = s.SealTest(batchID, t.ID, secrets); err != nil {
				return nil, 0, err
			}
			row.Guard = key.Guard(t)
		} else {
			report, err := Report(*t.Report)
			if err != nil {
				return nil, 0, err
			}
			finished++
			row.Seq, row.Report = finished, &report
		}
		rows = append(rows, row)
	}
	return rows, finished, nil
}

// Report is the form in which a report is stored.
func Report(r probe.Report) (string, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("encode report: %w", err)
	}
	return string(text), nil
}

// Decode fills in the target and the report of a test that was read; report
// is nil while there is none.
func Decode(t *batch.Test, endpoint, report []byte) error {
	if err := json.Unmarshal(endpoint, &t.Target); err != nil {
		return fmt.Errorf("decode endpoint: %w", err)
	}
	if report == nil {
		return nil
	}
	t.Report = &probe.Report{}
	if err := json.Unmarshal(report, t.Report); err != nil {
		return fmt.Errorf("decode report: %w", err)
	}
	return nil
}

// Claimed is a granted claim, or one whose secrets do not open.
type Claimed struct {
	batch.Claimed
	Unreadable bool
}

// Kept is what of a claimed test's row is not in the Claim yet; times are in
// microseconds.
type Kept struct {
	Sealed, Refusal             []byte
	Remaining, Waited, SlotWait int64
}

// Arm puts it into the Claim.
func (s Sealer) Arm(c *Claimed, k Kept) error {
	c.Remaining = time.Duration(k.Remaining) * time.Microsecond
	c.Waited = max(time.Duration(k.Waited)*time.Microsecond, 0)
	c.SlotWait = time.Duration(k.SlotWait) * time.Microsecond
	secrets, err := s.OpenTest(c.BatchID, c.ID, k.Sealed)
	c.Unreadable = err != nil
	c.Target = c.Target.Join(secrets)
	return suppress(&c.Claimed, k.Refusal)
}

// UnreadableSecrets ends a claimed test whose secrets do not open.
func UnreadableSecrets(c batch.Claimed) batch.Finish {
	report := probe.Refused(probe.CodeInternal, *c.StartedAt)
	report.Attempts = c.Probes
	report.Evidence.Facts = map[string]string{"why": "sealed_secrets_unreadable"}
	return batch.Finish{TestID: c.ID, LeaseID: c.LeaseID, Report: report, Followed: c.Followed}
}

// Open is what is known of a test that is about to be ended from outside.
type Open struct {
	ID        string
	Probes    int
	StartedAt *time.Time
	LoginSent bool
}

// End makes the report of a test that nobody will report on.
func (t Open) End(code probe.Code, now time.Time) probe.Report {
	at, was := now, "queued"
	if t.StartedAt != nil {
		at, was = *t.StartedAt, "running"
	}
	r := probe.Refused(code, at)
	r.DurationMS = float64(now.Sub(at).Microseconds()) / 1000
	r.LoginSent, r.Attempts = t.LoginSent, t.Probes
	r.Evidence.Facts = map[string]string{"was": was}
	return r
}

// Verdict gives a test the code it ends with.
type Verdict func(Open) probe.Code

// Always is the verdict that does not look at the test.
func Always(code probe.Code) Verdict { return func(Open) probe.Code { return code } }

// Lost is the verdict on a test whose worker is lost for good.
func Lost(t Open) probe.Code {
	if t.LoginSent {
		return probe.CodeInterrupted
	}
	return probe.CodeWorkerLost
}
