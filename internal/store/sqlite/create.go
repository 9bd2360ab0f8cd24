package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/store/record"
)

const insertBatch = `
insert into batches (id, project, call, lane, entries, total, open, caller, reply_to, trace, created_at, deadline, finished_at)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, case when ?7 = 0 then ?11 end)`

const insertBatchJob = `
insert into batch_jobs (project, job_id, created_at, batch_id) values (?1, ?2, ?3, ?4) on conflict do nothing`

const insertTest = `
insert into tests (id, batch_id, project, entry, object, job_id, end_point_type, endpoint, secrets_set, sealed, lane,
                   network, attempt, created_at, deadline, not_before, idle_since, finished_at, seq, report,
                   peer, peers, account, credentials, share, same_as, share_wait, force, followed)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, case when ?23 > 0 then ?14 + ?23 end, ?14 + ?23,
        case when ?16 > 0 then ?14 end, ?16, ?17, ?18 ->> 0, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)`

// Create stores the batch and its tests: see batch.Creator.
func (s *Store) Create(ctx context.Context, b batch.Batch, tests []batch.Test) (batch.Batch, error) {
	return s.create(ctx, b, tests, func(*sql.Tx, int64) error { return nil })
}

// create is Create with something more in its transaction.
func (s *Store) create(ctx context.Context, b batch.Batch, tests []batch.Test, more func(tx *sql.Tx, now int64) error) (batch.Batch, error) {
	key, err := s.ledgerKey(ctx)
	if err != nil {
		return batch.Batch{}, fmt.Errorf("create batch: %w", err)
	}
	defer s.sealer.Hold()()
	rows, finished, err := s.sealer.NewTests(key, b.ID, tests)
	if err != nil {
		return batch.Batch{}, fmt.Errorf("create batch: %w", err)
	}
	b.Total, b.Open = len(tests), len(tests)-finished
	err = s.write(ctx, func(tx *sql.Tx, now int64) error {
		deadline := now + b.Timeout.Microseconds()
		b.CreatedAt, b.Deadline, b.FinishedAt = moment(now), moment(deadline), nil
		if b.Open == 0 {
			b.FinishedAt = &b.CreatedAt
		}
		_, err := tx.ExecContext(ctx, insertBatch, b.ID, b.Project, string(b.Call), string(b.Lane), b.Entries, b.Total, b.Open,
			b.Caller, b.ReplyTo, b.Trace, now, deadline)
		if err != nil {
			return translate(err)
		}
		insert, err := tx.PrepareContext(ctx, insertTest)
		if err != nil {
			return translate(err)
		}
		defer func() { _ = insert.Close() }() // ends with the transaction
		for _, r := range rows {
			secretsSet, err := jsonList(r.SecretNames)
			if err != nil {
				return err
			}
			peers, err := listOrNull(r.Peers)
			if err != nil {
				return err
			}
			credentials, err := listOrNull(r.Credentials)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, insertBatchJob, b.Project, r.JobID, now, b.ID); err != nil {
				return translate(err)
			}
			_, err = insert.ExecContext(ctx, r.ID, b.ID, b.Project, r.Entry, r.Object, r.JobID, r.EndPointType, r.Endpoint,
				secretsSet, r.Sealed, string(b.Lane), r.Network, r.Attempt, now, deadline, r.Seq, r.Report,
				peers, orNull(r.Account), credentials, orNull(r.Share), orNull(r.SameAs), r.ShareWait.Microseconds(), b.Force, r.Followed)
			if err != nil {
				return translate(err)
			}
		}
		return more(tx, now)
	})
	if err != nil {
		return batch.Batch{}, fmt.Errorf("create batch: %w", err)
	}
	return b, nil
}

// Backlog counts open tests: see batch.Creator.
func (s *Store) Backlog(ctx context.Context, project string, lane batch.Lane, most int) (n int, err error) {
	if err := s.reader.QueryRowContext(ctx, countBacklog, project, string(lane), most).Scan(&n); err != nil {
		return 0, fmt.Errorf("count open tests: %w", translate(err))
	}
	return n, nil
}

const countBacklog = `
select coalesce(sum(open), 0)
  from (select b.open from batches b where b.project = ?1 and b.finished_at is null and b.lane = ?2 limit ?3)`

// Networks lists what workers announced: see batch.Creator.
func (s *Store) Networks(ctx context.Context, age time.Duration) ([]string, error) {
	networks, err := collect(ctx, s.reader, text, `
select distinct n.value
  from workers w, json_each(w.networks) n
 where w.seen_at >= ?1
 order by n.value`, time.Now().Add(-age).UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	return networks, nil
}

// Announce says where a worker stands, and forgets workers that have not been
// seen for a day: see batch.Announcer.
func (s *Store) Announce(ctx context.Context, worker string, networks []string) error {
	list, err := jsonList(networks)
	if err != nil {
		return fmt.Errorf("announce worker: %w", err)
	}
	err = s.write(ctx, func(tx *sql.Tx, now int64) error {
		_, err := tx.ExecContext(ctx, `
insert into workers (id, networks, seen_at) values (?1, ?2, ?3)
on conflict (id) do update set networks = excluded.networks, seen_at = excluded.seen_at`, worker, list, now)
		if err != nil {
			return translate(err)
		}
		_, err = tx.ExecContext(ctx, "delete from workers where seen_at < ?1", now-(24*time.Hour).Microseconds())
		return translate(err)
	})
	if err != nil {
		return fmt.Errorf("announce worker: %w", err)
	}
	return nil
}

const selectTestable = `
select ` + jobColumns + `,
       coalesce((select f.status from jobs f
                  where j.role = 'backward' and f.project = j.project and f.parent_id = j.parent_id
                    and f.parent_id <> '' and f.role = 'forward'
                  order by f.created_at, f.id limit 1), '')
  from jobs j
 where j.project = ?1 and j.id in (select value from json_each(?2))`

// TestableJobs gives jobs and what their testability depends on: see
// batch.Creator.
func (s *Store) TestableJobs(ctx context.Context, project string, ids []string) (map[string]batch.TestableJob, error) {
	list, err := jsonList(ids)
	if err != nil {
		return nil, fmt.Errorf("look up jobs: %w", err)
	}
	scan := func(r row) (t batch.TestableJob, err error) {
		t.Job, err = scanJob(r, &t.ForwardStatus)
		return t, err
	}
	found, err := collect(ctx, s.reader, scan, selectTestable, project, list)
	if err != nil {
		return nil, fmt.Errorf("look up jobs: %w", err)
	}
	return record.TestableByID(found), nil
}

// jobColumns are what scanJob reads; j is the table.
const jobColumns = `j.project, j.id, j.name, j.status, j.role, j.parent_id, j.mirrored, j.created_at, j.updated_at`

// scanJob reads jobColumns and then more.
func scanJob(r row, more ...any) (job.Job, error) {
	var j job.Job
	var created, updated int64
	into := []any{&j.Project, &j.ID, &j.Name, &j.Status, &j.Role, &j.ParentID, &j.Mirrored, &created, &updated}
	err := r.Scan(append(into, more...)...)
	j.CreatedAt, j.UpdatedAt = moment(created), moment(updated)
	return j, err
}
