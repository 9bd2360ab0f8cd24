package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"dialtone/internal/job"
	"dialtone/internal/store/record"
)

// recordColumns are what scanRecord reads; j is the table.
const recordColumns = `j.project, j.id, j.name, j.status, j.role, j.parent_id, j.mirrored, j.created_at, j.updated_at,
       j.db_use_type, j.engine_type, j.direction, j.net_type, j.task_type, j.node_type, j.description, j.detail,
       array(select c.id from jobs c
              where c.parent_id = j.id and c.parent_id <> '' and (c.project = j.project) is true
              order by (c.role = 'forward') desc, c.created_at, c.id)`

func scanRecord(row pgx.CollectableRow) (job.Record, error) { return scanRecordAnd(row) }

// scanRecordAnd reads recordColumns and then more.
func scanRecordAnd(row pgx.CollectableRow, more ...any) (job.Record, error) {
	var r job.Record
	var detail []byte
	into := append(jobFields(&r.Job), &r.DBUseType, &r.EngineType, &r.Direction, &r.NetType, &r.TaskType, &r.NodeType,
		&r.Description, &detail, &r.ChildIDs)
	err := row.Scan(append(into, more...)...)
	r.Detail = detail
	if len(r.ChildIDs) == 0 {
		r.ChildIDs = nil
	}
	return r, err
}

const insertJob = `
insert into jobs (project, id, name, name_key, status, role, parent_id, mirrored, db_use_type, engine_type, direction,
                  net_type, task_type, node_type, description, detail, sealed, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16::text::json, $17, now(), now())`

// CreateJobs stores new jobs, all or none. It errs with job.ErrNameTaken when
// a live job of the project has the name of one.
func (s *Store) CreateJobs(ctx context.Context, records []job.Record) error {
	if err := s.proven(ctx); err != nil {
		return fmt.Errorf("create jobs: %w", err)
	}
	defer s.sealer.Hold()()
	var all pgx.Batch
	for _, r := range records {
		sealed, err := s.sealer.SealJob(r)
		if err != nil {
			return fmt.Errorf("create jobs: %w", err)
		}
		all.Queue(insertJob, r.Project, r.ID, r.Name, record.NameKey(r.Name), r.Status, r.Role, r.ParentID, r.Mirrored,
			r.DBUseType, r.EngineType, r.Direction, r.NetType, r.TaskType, r.NodeType, r.Description, jsonText(r.Detail), sealed)
	}
	if all.Len() == 0 {
		return nil
	}
	if err := s.pool.SendBatch(ctx, &all).Close(); err != nil {
		return fmt.Errorf("create jobs: %w", translate(err))
	}
	return nil
}

const selectJobs = `
select ` + recordColumns + ` from jobs j where (j.project = $1) is true and j.id = any($2)`

// Jobs gives the project's jobs in the order of ids, without their endpoints.
// What the project does not have is missing.
func (s *Store) Jobs(ctx context.Context, project string, ids []string) ([]job.Record, error) {
	if !isStorable(project) {
		return nil, nil
	}
	found, err := collect(ctx, s.pool, scanRecord, selectJobs, project, storable(ids))
	if err != nil {
		return nil, fmt.Errorf("read jobs: %w", err)
	}
	return record.InOrder(found, ids), nil
}

// JobEndpoints gives a job's endpoints with their secrets, or
// job.ErrNotFound. A job without endpoints has none.
func (s *Store) JobEndpoints(ctx context.Context, project, id string) (json.RawMessage, error) {
	if !isStorable(project) || !isStorable(id) {
		return nil, job.ErrNotFound
	}
	var sealed []byte
	err := s.pool.QueryRow(ctx, "select j.sealed from jobs j where j.project = $1 and j.id = $2", project, id).Scan(&sealed)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, job.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read endpoints: %w", translate(err))
	}
	endpoints, err := s.sealer.OpenJob(project, id, sealed)
	if err != nil {
		return nil, fmt.Errorf("read endpoints: %w", err)
	}
	return endpoints, nil
}

// ListJobs gives a page of the project's jobs, newest first, and how many
// there are on all pages.
func (s *Store) ListJobs(ctx context.Context, f job.Filter) ([]job.Record, int, error) {
	if !isStorable(f.Project) || !isStorable(f.Name) {
		return nil, 0, nil
	}
	q := listJobs(f)
	var total int
	var records []job.Record
	var both pgx.Batch
	both.Queue(q.count, q.countArgs...).QueryRow(func(row pgx.Row) error { return row.Scan(&total) })
	both.Queue(q.page, q.pageArgs...).Query(func(rows pgx.Rows) (err error) {
		records, err = pgx.CollectRows(rows, scanRecord)
		return err
	})
	if err := s.pool.SendBatch(ctx, &both).Close(); err != nil {
		return nil, 0, fmt.Errorf("list jobs: %w", translate(err))
	}
	return records, total, nil
}

// jobList are the queries of a page and of how many jobs there are in all.
type jobList struct {
	page, count         string
	pageArgs, countArgs []any
}

func listJobs(f job.Filter) jobList {
	where, args := jobFilter(f)
	var limit *int
	if f.Limit > 0 {
		limit = &f.Limit
	}
	return jobList{
		page: fmt.Sprintf("select %s\n  from jobs j\n where %s\n order by j.created_at desc, j.id desc\n limit $%d offset $%d",
			recordColumns, where, len(args)+1, len(args)+2),
		pageArgs: append(slices.Clip(args), limit, max(f.Offset, 0)),
		count:    "select count(*) from jobs j where " + where, countArgs: args,
	}
}

func jobFilter(f job.Filter) (where string, args []any) {
	c := clauses()
	c.Jobs(f)
	if len(f.IDs) > 0 {
		c.And("j.id = any(" + c.Arg(storable(f.IDs)) + ")")
	}
	if f.Name != "" {
		c.And("strpos(j.name_key, " + c.Arg(record.NameKey(f.Name)) + ") > 0")
	}
	return c.Where(), c.Args()
}

const updateJob = `
update jobs j
   set name = $3, name_key = $4, status = $5, role = $6, parent_id = $7, mirrored = $8, db_use_type = $9,
       engine_type = $10, direction = $11, net_type = $12, task_type = $13, node_type = $14, description = $15,
       detail = $16::text::json, sealed = $17, updated_at = clock_timestamp()
 where j.project = $1 and j.id = $2
returning j.updated_at`

// UpdateJob lets change alter a job under its lock; change sees the endpoints
// opened. Its identity and its children stay. It errs with job.ErrNotFound,
// job.ErrNameTaken or what change returned; then nothing is changed.
func (s *Store) UpdateJob(ctx context.Context, project, id string, change func(*job.Record) error) (job.Record, error) {
	if !isStorable(project) || !isStorable(id) {
		return job.Record{}, job.ErrNotFound
	}
	if err := s.proven(ctx); err != nil {
		return job.Record{}, fmt.Errorf("update job: %w", err)
	}
	defer s.sealer.Hold()()
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return job.Record{}, fmt.Errorf("update job: %w", translate(err))
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing to undo after a commit
	before, err := s.lockJob(ctx, tx, project, id)
	if err != nil {
		return job.Record{}, err
	}
	r, err := record.Alter(before, change)
	if err != nil {
		return job.Record{}, err
	}
	sealed, err := s.sealer.SealJob(r)
	if err != nil {
		return job.Record{}, fmt.Errorf("update job: %w", err)
	}
	err = tx.QueryRow(ctx, updateJob, project, id, r.Name, record.NameKey(r.Name), r.Status, r.Role, r.ParentID, r.Mirrored,
		r.DBUseType, r.EngineType, r.Direction, r.NetType, r.TaskType, r.NodeType, r.Description, jsonText(r.Detail), sealed,
	).Scan(&r.UpdatedAt)
	if err != nil {
		return job.Record{}, fmt.Errorf("update job: %w", translate(err))
	}
	if err := tx.Commit(ctx); err != nil {
		return job.Record{}, fmt.Errorf("update job: %w", translate(err))
	}
	r.Endpoints = nil
	return r, nil
}

// lockJob reads a job with its endpoints and keeps others from changing it.
func (s *Store) lockJob(ctx context.Context, tx pgx.Tx, project, id string) (job.Record, error) {
	rows, err := tx.Query(ctx, "select "+recordColumns+`, j.sealed
  from jobs j where j.project = $1 and j.id = $2 for no key update`, project, id)
	if err != nil {
		return job.Record{}, fmt.Errorf("read job: %w", translate(err))
	}
	var sealed []byte
	r, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (job.Record, error) {
		return scanRecordAnd(row, &sealed)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return job.Record{}, job.ErrNotFound
	}
	if err != nil {
		return job.Record{}, fmt.Errorf("read job: %w", translate(err))
	}
	if r.Endpoints, err = s.sealer.OpenJob(project, id, sealed); err != nil {
		return job.Record{}, fmt.Errorf("read job: %w", err)
	}
	return r, nil
}

// A job of our own keeps its name when it is told a state without one.
const putJob = `
insert into jobs as j (project, id, name, name_key, status, role, parent_id, mirrored, db_use_type, engine_type,
                       direction, net_type, task_type, node_type, description, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, true, '', '', '', '', '', '', '', now(), now())
on conflict on constraint jobs_pkey do update
   set name = case when excluded.name = '' then j.name else excluded.name end,
       name_key = case when excluded.name = '' then j.name_key else excluded.name_key end,
       status = excluded.status, role = excluded.role, parent_id = excluded.parent_id, updated_at = clock_timestamp()
returning j.project, j.id, j.name, j.status, j.role, j.parent_id, j.mirrored, j.created_at, j.updated_at, j.xmax = 0`

// PutJobState notes the state of a job that lives elsewhere, or sets that of
// one of our own. created says that the job was not known before.
func (s *Store) PutJobState(ctx context.Context, state job.Job) (known job.Job, created bool, err error) {
	err = s.pool.QueryRow(ctx, putJob, state.Project, state.ID, state.Name, record.NameKey(state.Name), state.Status, state.Role,
		state.ParentID).Scan(append(jobFields(&known), &created)...)
	if err != nil {
		return job.Job{}, false, fmt.Errorf("put job state: %w", translate(err))
	}
	return known, created, nil
}

const readyJobs = `
update jobs j
   set status = 'CONFIGURATION', updated_at = clock_timestamp()
 where j.status = 'CREATING' and not j.mirrored and j.created_at <= statement_timestamp() - $1::interval`

// ReadyJobs moves our own jobs that have been CREATING for age on to
// CONFIGURATION, and says how many those were.
func (s *Store) ReadyJobs(ctx context.Context, age time.Duration) (int, error) {
	tag, err := s.pool.Exec(ctx, readyJobs, age)
	if err != nil {
		return 0, fmt.Errorf("ready jobs: %w", translate(err))
	}
	return int(tag.RowsAffected()), nil
}

// jsonText is the form in which the driver passes JSON on unchanged.
func jsonText(raw json.RawMessage) *string {
	if len(raw) == 0 {
		return nil
	}
	return new(string(raw))
}
