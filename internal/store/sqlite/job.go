package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"dialtone/internal/job"
	"dialtone/internal/store/record"
)

// recordColumns are what scanRecord reads; j is the table.
const recordColumns = jobColumns + `,
       j.db_use_type, j.engine_type, j.direction, j.net_type, j.task_type, j.node_type, j.description, j.detail,
       (select json_group_array(c.id order by c.role = 'forward' desc, c.created_at, c.id) from jobs c
         where c.project = j.project and c.parent_id = j.id and c.parent_id <> '')`

func scanRecord(r row) (job.Record, error) { return scanRecordAnd(r) }

// scanRecordAnd reads recordColumns and then more.
func scanRecordAnd(r row, more ...any) (job.Record, error) {
	var rec job.Record
	var detail sql.NullString
	var children string
	into := []any{
		&rec.DBUseType, &rec.EngineType, &rec.Direction, &rec.NetType, &rec.TaskType, &rec.NodeType, &rec.Description,
		&detail, &children,
	}
	var err error
	if rec.Job, err = scanJob(r, append(into, more...)...); err != nil {
		return job.Record{}, err
	}
	if detail.Valid {
		rec.Detail = json.RawMessage(detail.String)
	}
	if err := json.Unmarshal([]byte(children), &rec.ChildIDs); err != nil {
		return job.Record{}, fmt.Errorf("decode children: %w", err)
	}
	if len(rec.ChildIDs) == 0 {
		rec.ChildIDs = nil
	}
	return rec, nil
}

const insertJob = `
insert into jobs (project, id, name, name_key, status, role, parent_id, mirrored, db_use_type, engine_type, direction,
                  net_type, task_type, node_type, description, detail, sealed, created_at, updated_at)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?18)`

// changeable are a record's columns that UpdateJob sets, in order, after its
// project and id.
func changeable(r job.Record, sealed []byte) []any {
	detail := sql.NullString{String: string(r.Detail), Valid: len(r.Detail) > 0}
	return []any{
		r.Project, r.ID, r.Name, record.NameKey(r.Name), string(r.Status), string(r.Role), r.ParentID, r.Mirrored, r.DBUseType,
		r.EngineType, r.Direction, r.NetType, r.TaskType, r.NodeType, r.Description, detail, sealed,
	}
}

// CreateJobs stores new jobs, all or none. It errs with job.ErrNameTaken when
// a live job of the project has the name of one.
func (s *Store) CreateJobs(ctx context.Context, records []job.Record) error {
	if err := s.proven(ctx); err != nil {
		return fmt.Errorf("create jobs: %w", err)
	}
	defer s.sealer.Hold()()
	err := s.write(ctx, func(tx *sql.Tx, now int64) error {
		for _, r := range records {
			sealed, err := s.sealer.SealJob(r)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, insertJob, append(changeable(r, sealed), now)...); err != nil {
				return translate(err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("create jobs: %w", err)
	}
	return nil
}

const selectJobs = `
select ` + recordColumns + `
  from jobs j
 where j.project = ?1 and j.id in (select value from json_each(?2))`

// Jobs gives the project's jobs in the order of ids, without their endpoints.
// What the project does not have is missing.
func (s *Store) Jobs(ctx context.Context, project string, ids []string) ([]job.Record, error) {
	list, err := jsonList(ids)
	if err != nil {
		return nil, fmt.Errorf("read jobs: %w", err)
	}
	found, err := collect(ctx, s.reader, scanRecord, selectJobs, project, list)
	if err != nil {
		return nil, fmt.Errorf("read jobs: %w", err)
	}
	return record.InOrder(found, ids), nil
}

// JobEndpoints gives a job's endpoints with their secrets, or
// job.ErrNotFound. A job without endpoints has none.
func (s *Store) JobEndpoints(ctx context.Context, project, id string) (json.RawMessage, error) {
	var sealed []byte
	err := s.reader.QueryRowContext(ctx, "select sealed from jobs where project = ?1 and id = ?2", project, id).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
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
	page, count, args, err := listJobs(f)
	if err != nil {
		return nil, 0, fmt.Errorf("list jobs: %w", err)
	}
	tx, err := s.reader.BeginTx(ctx, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("list jobs: %w", translate(err))
	}
	defer func() { _ = tx.Rollback() }() // it only reads
	var total int
	if err := tx.QueryRowContext(ctx, count, args...).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("list jobs: %w", translate(err))
	}
	limit := f.Limit
	if limit <= 0 {
		limit = -1
	}
	records, err := collect(ctx, tx, scanRecord, page, append(args, limit, max(f.Offset, 0))...)
	if err != nil {
		return nil, 0, fmt.Errorf("list jobs: %w", err)
	}
	return records, total, nil
}

// listJobs are the queries of a page, which takes limit and offset besides, and
// of how many jobs there are in all.
func listJobs(f job.Filter) (page, count string, args []any, err error) {
	where, args, err := jobFilter(f)
	page = fmt.Sprintf("select %s from jobs j where %s order by j.created_at desc, j.id desc limit ?%d offset ?%d",
		recordColumns, where, len(args)+1, len(args)+2)
	return page, "select count(*) from jobs j where " + where, args, err
}

func jobFilter(f job.Filter) (where string, args []any, err error) {
	c := clauses()
	c.Jobs(f)
	if len(f.IDs) > 0 {
		list, err := jsonList(f.IDs)
		if err != nil {
			return "", nil, err
		}
		c.And("j.id in (select value from json_each(" + c.Arg(list) + "))")
	}
	if f.Name != "" {
		c.And("instr(j.name_key, " + c.Arg(record.NameKey(f.Name)) + ") > 0")
	}
	return c.Where(), c.Args(), nil
}

const updateJob = `
update jobs
   set name = ?3, name_key = ?4, status = ?5, role = ?6, parent_id = ?7, mirrored = ?8, db_use_type = ?9, engine_type = ?10,
       direction = ?11, net_type = ?12, task_type = ?13, node_type = ?14, description = ?15, detail = ?16, sealed = ?17,
       updated_at = ?18
 where project = ?1 and id = ?2`

// UpdateJob lets change alter a job while nobody else writes; change sees the
// endpoints opened. Its identity and its children stay. It errs with
// job.ErrNotFound, job.ErrNameTaken or what change returned; then nothing is
// changed.
func (s *Store) UpdateJob(ctx context.Context, project, id string, change func(*job.Record) error) (job.Record, error) {
	if err := s.proven(ctx); err != nil {
		return job.Record{}, fmt.Errorf("update job: %w", err)
	}
	defer s.sealer.Hold()()
	var r job.Record
	err := s.write(ctx, func(tx *sql.Tx, now int64) error {
		before, err := s.wholeJob(ctx, tx, project, id)
		if err != nil {
			return err
		}
		if r, err = record.Alter(before, change); err != nil {
			return err
		}
		r.UpdatedAt = moment(now)
		sealed, err := s.sealer.SealJob(r)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, updateJob, append(changeable(r, sealed), now)...)
		return translate(err)
	})
	if err != nil {
		return job.Record{}, fmt.Errorf("update job: %w", err)
	}
	r.Endpoints = nil
	return r, nil
}

// wholeJob reads a job with its endpoints.
func (s *Store) wholeJob(ctx context.Context, tx *sql.Tx, project, id string) (job.Record, error) {
	var sealed []byte
	scan := func(r row) (job.Record, error) { return scanRecordAnd(r, &sealed) }
	found, err := collect(ctx, tx, scan,
		"select "+recordColumns+", j.sealed from jobs j where j.project = ?1 and j.id = ?2", project, id)
	if err != nil {
		return job.Record{}, err
	}
	if len(found) == 0 {
		return job.Record{}, job.ErrNotFound
	}
	r := found[0]
	if r.Endpoints, err = s.sealer.OpenJob(project, id, sealed); err != nil {
		return job.Record{}, err
	}
	return r, nil
}

// A job of our own keeps its name when it is told a state without one.
const putJob = `
insert into jobs (project, id, name, name_key, status, role, parent_id, mirrored, db_use_type, engine_type, direction,
                  net_type, task_type, node_type, description, created_at, updated_at)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, '', '', '', '', '', '', '', ?8, ?8)
on conflict (project, id) do update
   set name = case when excluded.name = '' then name else excluded.name end,
       name_key = case when excluded.name = '' then name_key else excluded.name_key end,
       status = excluded.status, role = excluded.role, parent_id = excluded.parent_id, updated_at = excluded.updated_at`

// PutJobState notes the state of a job that lives elsewhere, or sets that of
// one of our own. created says that the job was not known before.
func (s *Store) PutJobState(ctx context.Context, state job.Job) (known job.Job, created bool, err error) {
	err = s.write(ctx, func(tx *sql.Tx, now int64) error {
		var there int
		err := tx.QueryRowContext(ctx, "select count(*) from jobs where project = ?1 and id = ?2", state.Project, state.ID).Scan(&there)
		if err != nil {
			return translate(err)
		}
		created = there == 0
		_, err = tx.ExecContext(ctx, putJob, state.Project, state.ID, state.Name, record.NameKey(state.Name), string(state.Status),
			string(state.Role), state.ParentID, now)
		if err != nil {
			return translate(err)
		}
		known, err = scanJob(tx.QueryRowContext(ctx,
			"select "+jobColumns+" from jobs j where j.project = ?1 and j.id = ?2", state.Project, state.ID))
		return translate(err)
	})
	if err != nil {
		return job.Job{}, false, fmt.Errorf("put job state: %w", err)
	}
	return known, created, nil
}

const readyJobs = `
update jobs
   set status = 'CONFIGURATION', updated_at = ?1
 where status = 'CREATING' and mirrored = 0 and created_at <= ?2`

// ReadyJobs moves our own jobs that have been CREATING for age on to
// CONFIGURATION, and says how many those were.
func (s *Store) ReadyJobs(ctx context.Context, age time.Duration) (int, error) {
	var n int64
	err := s.write(ctx, func(tx *sql.Tx, now int64) error {
		done, err := tx.ExecContext(ctx, readyJobs, now, now-age.Microseconds())
		if err != nil {
			return translate(err)
		}
		n, err = done.RowsAffected()
		return translate(err)
	})
	if err != nil {
		return 0, fmt.Errorf("ready jobs: %w", err)
	}
	return int(n), nil
}
