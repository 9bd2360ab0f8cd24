package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/store/record"
)

// insertBatch is one statement, and so one transaction and one round trip.
const insertBatch = `
with b as (
    insert into batches (id, project, call, lane, entries, total, open, caller, reply_to, trace,
                         created_at, deadline, finished_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
            now(), now() + $11::interval, case when $7::integer = 0 then now() end)
    returning id, project, lane, created_at, deadline, finished_at
), j as (
    insert into batch_jobs (project, job_id, created_at, batch_id)
    select b.project, n.job_id, b.created_at, b.id
      from b, unnest($12::text[]) as n (job_id)
), t as (
    insert into tests (id, batch_id, project, entry, object, job_id, end_point_type, endpoint, secrets_set, sealed,
                       lane, network, attempt, created_at, deadline, not_before, idle_since, finished_at, seq, report,
                       peer, peers, account, credentials, share, same_as, followed, share_wait, force)
    select n.id::uuid, b.id, b.project, n.entry, n.object, n.job_id, n.end_point_type, n.endpoint::json,
           string_to_array(n.secrets_set, ','), n.sealed, b.lane, n.network, n.attempt, b.created_at, b.deadline,
           case when n.share_wait > 0 then b.created_at + n.share_wait * interval '1 microsecond' end,
           b.created_at + n.share_wait * interval '1 microsecond',
           case when n.seq > 0 then b.created_at end, n.seq, n.report::json,
           (string_to_array(n.peers, ',')::uuid[])[1], string_to_array(n.peers, ',')::uuid[], n.account::uuid,
           string_to_array(n.credentials, ',')::uuid[], n.share::uuid, n.same_as::uuid, n.followed, n.share_wait, $32
      from b, unnest($13::text[], $14::integer[], $15::integer[], $16::text[], $17::text[], $18::text[], $19::text[],
                     $20::bytea[], $21::text[], $22::integer[], $23::integer[], $24::text[], $25::text[], $26::text[], $27::text[],
                     $28::text[], $29::text[], $30::boolean[], $31::bigint[])
           as n (id, entry, object, job_id, end_point_type, endpoint, secrets_set, sealed, network, attempt, seq, report,
                 peers, account, credentials, share, same_as, followed, share_wait)
)
select created_at, deadline, finished_at from b`

// Create stores the batch and its tests: see batch.Creator.
func (s *Store) Create(ctx context.Context, b batch.Batch, tests []batch.Test) (batch.Batch, error) {
	return s.create(ctx, s.pool, b, tests)
}

// create is Create in a transaction of its own or of the caller's.
func (s *Store) create(ctx context.Context, in inserter, b batch.Batch, tests []batch.Test) (batch.Batch, error) {
	key, err := s.ledgerKey(ctx)
	if err != nil {
		return batch.Batch{}, fmt.Errorf("create batch: %w", err)
	}
	defer s.sealer.Hold()()
	rows, err := s.newTests(key, b, tests)
	if err != nil {
		return batch.Batch{}, fmt.Errorf("create batch: %w", err)
	}
	b.Total, b.Open = len(tests), len(tests)-rows.finished
	err = in.QueryRow(ctx, insertBatch,
		b.ID, b.Project, b.Call, b.Lane, b.Entries, b.Total, b.Open, b.Caller, b.ReplyTo, b.Trace, b.Timeout,
		rows.jobs, rows.id, rows.entry, rows.object, rows.jobID, rows.endPointType, rows.endpoint, rows.secretsSet,
		rows.sealed, rows.network, rows.attempt, rows.seq, rows.report,
		rows.peers, rows.account, rows.credentials, rows.share, rows.sameAs, rows.followed, rows.shareWait, b.Force,
	).Scan(&b.CreatedAt, &b.Deadline, &b.FinishedAt)
	if err != nil {
		return batch.Batch{}, fmt.Errorf("create batch: %w", translate(err))
	}
	return b, nil
}

// inserter is a pool or a transaction.
type inserter interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

const countBacklog = `
select coalesce(sum(o.open), 0)
  from (select b.open from batches b
         where b.project = $1 and b.finished_at is null and (b.lane = $2) is true
         limit $3) o`

// Backlog counts open tests: see batch.Creator. Each batch that runs has one, so
// that not more of them than most need be looked at.
func (s *Store) Backlog(ctx context.Context, project string, lane batch.Lane, most int) (n int, err error) {
	if !isStorable(project) {
		return 0, nil
	}
	if err := s.pool.QueryRow(ctx, countBacklog, project, lane, most).Scan(&n); err != nil {
		return 0, fmt.Errorf("count open tests: %w", translate(err))
	}
	return n, nil
}

// testRows are new tests by column.
type testRows struct {
	finished                         int
	jobs                             []string
	id, jobID, endPointType, network []string
	endpoint, secretsSet             []string
	entry, object, attempt, seq      []int
	sealed                           [][]byte
	report                           []*string

	peers, account, credentials, share, sameAs []*string
	followed                                   []bool
	shareWait                                  []int64
}

func (s *Store) newTests(key record.LedgerKey, b batch.Batch, tests []batch.Test) (testRows, error) {
	news, finished, err := s.sealer.NewTests(key, b.ID, tests)
	if err != nil {
		return testRows{}, err
	}
	rows := testRows{finished: finished}
	for _, t := range news {
		rows.id = append(rows.id, t.ID)
		rows.entry = append(rows.entry, t.Entry)
		rows.object = append(rows.object, t.Object)
		rows.jobID = append(rows.jobID, t.JobID)
		rows.endPointType = append(rows.endPointType, t.EndPointType)
		rows.endpoint = append(rows.endpoint, t.Endpoint)
		rows.secretsSet = append(rows.secretsSet, strings.Join(t.SecretNames, ","))
		rows.sealed = append(rows.sealed, t.Sealed)
		rows.network = append(rows.network, t.Network)
		rows.attempt = append(rows.attempt, t.Attempt)
		rows.seq = append(rows.seq, t.Seq)
		rows.report = append(rows.report, t.Report)
		rows.jobs = append(rows.jobs, t.JobID)
		rows.peers = append(rows.peers, orNull(strings.Join(t.Peers, ",")))
		rows.account = append(rows.account, orNull(t.Account))
		rows.credentials = append(rows.credentials, orNull(strings.Join(t.Credentials, ",")))
		rows.share = append(rows.share, orNull(t.Share))
		rows.sameAs = append(rows.sameAs, orNull(t.SameAs))
		rows.followed = append(rows.followed, t.Followed)
		rows.shareWait = append(rows.shareWait, t.ShareWait.Microseconds())
	}
	slices.Sort(rows.jobs)
	rows.jobs = slices.Compact(rows.jobs)
	return rows, nil
}

// orNull is a text of a column that is null when there is none.
func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

const selectNetworks = `
select distinct n.network
  from workers w cross join unnest(w.networks) as n (network)
 where w.seen_at >= statement_timestamp() - $1::interval
 order by n.network`

// Networks lists what workers announced: see batch.Creator.
func (s *Store) Networks(ctx context.Context, age time.Duration) ([]string, error) {
	networks, err := collect(ctx, s.pool, pgx.RowTo[string], selectNetworks, age)
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	return networks, nil
}

// Announce says where a worker stands, and forgets workers that have not been
// seen for a day: see batch.Announcer.
func (s *Store) Announce(ctx context.Context, worker string, networks []string) error {
	if networks == nil {
		networks = []string{}
	}
	var both pgx.Batch
	both.Queue(`
insert into workers (id, networks, seen_at) values ($1, $2, clock_timestamp())
on conflict (id) do update set networks = excluded.networks, seen_at = excluded.seen_at`, worker, networks)
	// Every worker does this at its own pace: skip what another is removing.
	both.Queue(`
delete from workers
 where id = any(array(select w.id from workers w
                       where w.seen_at < statement_timestamp() - interval '1 day' for update skip locked))`)
	if err := s.pool.SendBatch(ctx, &both).Close(); err != nil {
		return fmt.Errorf("announce worker: %w", translate(err))
	}
	return nil
}

const selectTestable = `
select j.project, j.id, j.name, j.status, j.role, j.parent_id, j.mirrored, j.created_at, j.updated_at,
       coalesce((select f.status from jobs f
                  where j.role = 'backward' and f.parent_id = j.parent_id and f.parent_id <> ''
                    and (f.project = j.project and f.role = 'forward') is true
                  order by f.created_at, f.id limit 1), '')
  from jobs j
 where (j.project = $1) is true and j.id = any($2)`

// TestableJobs gives jobs and what their testability depends on: see
// batch.Creator.
func (s *Store) TestableJobs(ctx context.Context, project string, ids []string) (map[string]batch.TestableJob, error) {
	if !isStorable(project) {
		return map[string]batch.TestableJob{}, nil
	}
	scan := func(row pgx.CollectableRow) (batch.TestableJob, error) {
		var t batch.TestableJob
		err := row.Scan(append(jobFields(&t.Job), &t.ForwardStatus)...)
		return t, err
	}
	found, err := collect(ctx, s.pool, scan, selectTestable, project, storable(ids))
	if err != nil {
		return nil, fmt.Errorf("look up jobs: %w", err)
	}
	return record.TestableByID(found), nil
}

// jobFields are where the columns of a job.Job go, in the order in which every
// query here names them.
func jobFields(j *job.Job) []any {
	return []any{&j.Project, &j.ID, &j.Name, &j.Status, &j.Role, &j.ParentID, &j.Mirrored, &j.CreatedAt, &j.UpdatedAt}
}
