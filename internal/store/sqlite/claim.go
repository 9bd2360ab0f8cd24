package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/sabotage"
	"dialtone/internal/store/record"
)

// testColumns are what scanTest reads. They carry no table's name, because
// what an update returns knows none.
const testColumns = `id, batch_id, project, entry, object, job_id, end_point_type, endpoint, secrets_set, network, attempt,
       probes, worker, created_at, deadline, not_before, started_at, login_at, finished_at, seq, report,
       coalesce(same_as, ''), share_wait`

// scanTest reads testColumns and then more.
func scanTest(r row, more ...any) (batch.Test, error) {
	var t batch.Test
	var endpoint, secretsSet, report []byte
	var created, deadline, shareWait int64
	var notBefore, started, login, finished sql.NullInt64
	into := []any{
		&t.ID, &t.BatchID, &t.Project, &t.Entry, &t.Object, &t.JobID, &t.EndPointType, &endpoint, &secretsSet, &t.Network,
		&t.Attempt, &t.Probes, &t.Worker, &created, &deadline, &notBefore, &started, &login, &finished, &t.Seq, &report,
		&t.SameAs, &shareWait,
	}
	if err := r.Scan(append(into, more...)...); err != nil {
		return batch.Test{}, err
	}
	t.ShareWait = time.Duration(shareWait) * time.Microsecond
	t.CreatedAt, t.Deadline = moment(created), moment(deadline)
	t.NotBefore, t.StartedAt, t.LoginAt, t.FinishedAt = maybe(notBefore), maybe(started), maybe(login), maybe(finished)
	if err := json.Unmarshal(secretsSet, &t.SecretsSet); err != nil {
		return batch.Test{}, fmt.Errorf("decode names of secrets: %w", err)
	}
	return t, record.Decode(&t, endpoint, report)
}

const claimTest = `
update tests
   set lease_id = ?2, lease_until = ?5 + ?3, worker = ?4, probes = probes + 1, started_at = ?5, refusal = ?6,
       slot_wait = slot_wait + coalesce(?5 - held_since, 0), held_since = null
 where id = ?1
returning ` + testColumns + `, sealed, refusal, slot_wait, followed, lease_id, lane, (select b.trace from batches b where b.id = batch_id),
       deadline - started_at, started_at - coalesce(not_before, created_at)`

// Claim grants leases: see batch.Claims.
func (s *Store) Claim(ctx context.Context, claims []batch.Claim) ([]batch.Claimed, error) {
	if len(claims) == 0 {
		return nil, nil
	}
	if err := s.proven(ctx); err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	var granted []batch.Claimed
	err := s.write(ctx, func(tx *sql.Tx, now int64) error {
		for _, c := range claims {
			got, err := s.claim(ctx, tx, now, c)
			if err != nil {
				return err
			}
			granted = append(granted, got...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	return granted, nil
}

// claim grants one lease, or none.
func (s *Store) claim(ctx context.Context, tx *sql.Tx, now int64, c batch.Claim) ([]batch.Claimed, error) {
	admitted, refusal, err := admit(ctx, tx, now, c)
	if err != nil || !admitted {
		return nil, err
	}
	got, err := collect(ctx, tx, s.scanClaimed, claimTest, c.TestID, c.LeaseID, c.Lease.Microseconds(), c.Worker, now, orNull(string(refusal)))
	if err != nil || len(got) == 0 {
		return nil, err
	}
	if !got[0].Unreadable {
		return []batch.Claimed{got[0].Claimed}, nil
	}
	// No probe can be made of it with our keys; the others must not suffer. Who
	// waits for the batch looks by itself.
	f := record.UnreadableSecrets(got[0].Claimed)
	_, _, err = endTest(ctx, tx, now, f.TestID, &f.LeaseID, f.Report)
	return nil, err
}

func (s *Store) scanClaimed(r row) (record.Claimed, error) {
	var c record.Claimed
	var k record.Kept
	var err error
	if c.Test, err = scanTest(r, &k.Sealed, &k.Refusal, &k.SlotWait, &c.Followed, &c.LeaseID, &c.Lane, &c.Trace, &k.Remaining, &k.Waited); err != nil {
		return record.Claimed{}, err
	}
	return c, s.sealer.Arm(&c, k)
}

const markLogin = `
update tests
   set login_at = ?3
 where id = ?1 and lease_id = ?2 and lease_until > ?3 and login_at is null and finished_at is null`

// MarkLogin notes that credentials are about to leave: see batch.Claims.
func (s *Store) MarkLogin(ctx context.Context, testID, leaseID string) (bool, error) {
	var marked int64
	err := s.write(ctx, func(tx *sql.Tx, now int64) error {
		mark := sabotage.Edit(sabotage.MarkWithoutLease, markLogin, " and lease_until > ?3", "")
		mark = sabotage.Edit(sabotage.MarkTwice, mark, " and login_at is null", "")
		done, err := tx.ExecContext(ctx, mark, testID, leaseID, now)
		if err != nil {
			return translate(err)
		}
		marked, err = done.RowsAffected()
		return translate(err)
	})
	if err != nil {
		return false, fmt.Errorf("mark login: %w", err)
	}
	return marked == 1, nil
}

const releaseTest = `
update tests
   set lease_id = null, lease_until = null, started_at = null, attempt = attempt + 1, probes = probes - ?4,
       not_before = ?5 + ?3, idle_since = ?5 + ?3
 where id = ?1 and lease_id = ?2 and login_at is null and finished_at is null
returning id, attempt, lane, network`

// Release gives claims back: see batch.Claims.
func (s *Store) Release(ctx context.Context, releases []batch.Release) ([]batch.Task, error) {
	var tasks []batch.Task
	err := s.write(ctx, func(tx *sql.Tx, now int64) error {
		for _, r := range releases {
			uncounted := 0
			if r.HandBack {
				uncounted = 1
			}
			release := sabotage.Edit(sabotage.ReleaseAfterLogin, releaseTest, " and login_at is null", "")
			got, err := collect(ctx, tx, scanTask, release, r.TestID, r.LeaseID, r.After.Microseconds(), uncounted, now)
			if err != nil {
				return err
			}
			tasks = append(tasks, got...)
			if err := rest(ctx, tx, now, r.TestID, r.Rest); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("release: %w", err)
	}
	return tasks, nil
}

func scanTask(r row) (t batch.Task, err error) {
	err = r.Scan(&t.TestID, &t.Attempt, &t.Lane, &t.Network)
	return t, err
}

const selectFinished = `
select id from tests where id in (select value from json_each(?1)) and finished_at is not null`

// Finished says which tests are finished: see batch.Claims.
func (s *Store) Finished(ctx context.Context, testIDs []string) ([]string, error) {
	list, err := jsonList(testIDs)
	if err != nil {
		return nil, fmt.Errorf("look for finished tests: %w", err)
	}
	ids, err := collect(ctx, s.reader, text, selectFinished, list)
	if err != nil {
		return nil, fmt.Errorf("look for finished tests: %w", err)
	}
	return ids, nil
}
