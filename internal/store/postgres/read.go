package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"dialtone/internal/batch"
	"dialtone/internal/sabotage"
	"dialtone/internal/store/record"
)

// batchColumns are what scanBatch reads; b is the table.
const batchColumns = `b.id, b.project, b.call, b.lane, b.entries, b.total, b.open, b.caller, b.reply_to, b.trace,
       b.created_at, b.deadline, b.finished_at`

func scanBatch(row pgx.CollectableRow) (batch.Batch, error) {
	var b batch.Batch
	err := row.Scan(&b.ID, &b.Project, &b.Call, &b.Lane, &b.Entries, &b.Total, &b.Open, &b.Caller, &b.ReplyTo, &b.Trace,
		&b.CreatedAt, &b.Deadline, &b.FinishedAt)
	b.Timeout = b.Deadline.Sub(b.CreatedAt)
	return b, err
}

const selectBatch = `
select ` + batchColumns + ` from batches b where b.project = $1 and b.id = $2`

const selectTests = `
select ` + testColumns + `
  from tests t
 where t.project = $1 and t.batch_id = $2
 order by t.entry, t.object`

const selectEvents = `
select ` + testColumns + `
  from tests t
 where t.project = $1 and t.batch_id = $2 and t.seq > 0 and t.seq > $3
 order by t.seq`

// Batch gives a batch and its tests: see batch.Reader.
func (s *Store) Batch(ctx context.Context, project, id string) (batch.Batch, []batch.Test, error) {
	return s.batchAnd(ctx, project, id, selectTests)
}

// Events gives the ends of a batch's tests: see batch.Reader.
func (s *Store) Events(ctx context.Context, project, id string, after int) (batch.Batch, []batch.Test, error) {
	return s.batchAnd(ctx, project, id, selectEvents, after)
}

// batchAnd reads a batch and some of its tests as of one moment.
func (s *Store) batchAnd(ctx context.Context, project, id, tests string, args ...any) (batch.Batch, []batch.Test, error) {
	if !record.IsUUID(id) || !isStorable(project) {
		return batch.Batch{}, nil, batch.ErrNotFound
	}
	var found []batch.Batch
	var of []batch.Test
	var all pgx.Batch
	all.Queue("begin isolation level repeatable read read only")
	look := sabotage.Edit(sabotage.ReadOtherProjects, selectBatch, "b.project = $1", "$1 <> ''")
	all.Queue(look, project, id).Query(func(rows pgx.Rows) (err error) {
		found, err = pgx.CollectRows(rows, scanBatch)
		return err
	})
	all.Queue(tests, append([]any{project, id}, args...)...).Query(func(rows pgx.Rows) (err error) {
		of, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (batch.Test, error) { return scanTest(row) })
		return err
	})
	all.Queue("commit")
	if err := s.pool.SendBatch(ctx, &all).Close(); err != nil {
		return batch.Batch{}, nil, fmt.Errorf("read batch: %w", translate(err))
	}
	if len(found) == 0 {
		return batch.Batch{}, nil, batch.ErrNotFound
	}
	return found[0], of, nil
}

// batchRow reads a batch alone.
func (s *Store) batchRow(ctx context.Context, project, id string) (batch.Batch, error) {
	if !record.IsUUID(id) || !isStorable(project) {
		return batch.Batch{}, batch.ErrNotFound
	}
	rows, err := s.pool.Query(ctx, selectBatch, project, id)
	if err != nil {
		return batch.Batch{}, fmt.Errorf("read batch: %w", translate(err))
	}
	b, err := pgx.CollectExactlyOneRow(rows, scanBatch)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return batch.Batch{}, batch.ErrNotFound
	case err != nil:
		return batch.Batch{}, fmt.Errorf("read batch: %w", translate(err))
	}
	return b, nil
}

// List gives a page of batches: see batch.Reader. Until is exclusive.
func (s *Store) List(ctx context.Context, q batch.Query) (batch.Page, error) {
	sql, args, err := listQuery(q)
	if err != nil {
		return batch.Page{}, err
	}
	if !isStorable(q.Project) || !isStorable(q.JobID) {
		return batch.Page{}, nil
	}
	batches, err := collect(ctx, s.pool, scanBatch, sql, args...)
	if err != nil {
		return batch.Page{}, fmt.Errorf("list batches: %w", err)
	}
	return record.Page(batches, q.Limit), nil
}

func listQuery(q batch.Query) (sql string, args []any, err error) {
	c := clauses()
	sql, err = c.ListBatches(batchColumns, q)
	return sql, c.Args(), err
}

// clauses are conditions in this dialect.
func clauses() *record.Clauses {
	return record.NewClauses("$", func(t time.Time) any { return t })
}

const selectCompleted = `
select b.id from batches b where b.id = any($1::text[]::uuid[]) and b.finished_at is not null`

// Completed says which batches are done: see batch.Reader.
func (s *Store) Completed(ctx context.Context, ids []string) ([]string, error) {
	done, err := collect(ctx, s.pool, pgx.RowTo[string], selectCompleted, uuids(ids))
	if err != nil {
		return nil, fmt.Errorf("look for completed batches: %w", err)
	}
	return done, nil
}
