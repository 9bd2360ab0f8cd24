package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/sabotage"
	"dialtone/internal/store/record"
)

// batchColumns are what scanBatch reads; b is the table.
const batchColumns = `b.id, b.project, b.call, b.lane, b.entries, b.total, b.open, b.caller, b.reply_to, b.trace,
       b.created_at, b.deadline, b.finished_at`

func scanBatch(r row) (batch.Batch, error) {
	var b batch.Batch
	var created, deadline int64
	var finished sql.NullInt64
	err := r.Scan(&b.ID, &b.Project, &b.Call, &b.Lane, &b.Entries, &b.Total, &b.Open, &b.Caller, &b.ReplyTo, &b.Trace,
		&created, &deadline, &finished)
	b.CreatedAt, b.Deadline, b.FinishedAt = moment(created), moment(deadline), maybe(finished)
	b.Timeout = b.Deadline.Sub(b.CreatedAt)
	return b, err
}

const selectBatch = `
select ` + batchColumns + ` from batches b where b.project = ?1 and b.id = ?2`

const selectTests = `
select ` + testColumns + `
  from tests
 where project = ?1 and batch_id = ?2
 order by entry, object`

const selectEvents = `
select ` + testColumns + `
  from tests
 where project = ?1 and batch_id = ?2 and seq > 0 and seq > ?3
 order by seq`

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
	tx, err := s.reader.BeginTx(ctx, nil)
	if err != nil {
		return batch.Batch{}, nil, fmt.Errorf("read batch: %w", translate(err))
	}
	defer func() { _ = tx.Rollback() }() // it only reads
	look := sabotage.Edit(sabotage.ReadOtherProjects, selectBatch, "b.project = ?1", "?1 is not null")
	found, err := collect(ctx, tx, scanBatch, look, project, id)
	if err != nil {
		return batch.Batch{}, nil, fmt.Errorf("read batch: %w", err)
	}
	if len(found) == 0 {
		return batch.Batch{}, nil, batch.ErrNotFound
	}
	of, err := collect(ctx, tx, func(r row) (batch.Test, error) { return scanTest(r) }, tests, append([]any{project, id}, args...)...)
	if err != nil {
		return batch.Batch{}, nil, fmt.Errorf("read batch: %w", err)
	}
	return found[0], of, nil
}

// List gives a page of batches: see batch.Reader. Until is exclusive.
func (s *Store) List(ctx context.Context, q batch.Query) (batch.Page, error) {
	query, args, err := listQuery(q)
	if err != nil {
		return batch.Page{}, err
	}
	batches, err := collect(ctx, s.reader, scanBatch, query, args...)
	if err != nil {
		return batch.Page{}, fmt.Errorf("list batches: %w", err)
	}
	return record.Page(batches, q.Limit), nil
}

func listQuery(q batch.Query) (query string, args []any, err error) {
	c := clauses()
	query, err = c.ListBatches(batchColumns, q)
	return query, c.Args(), err
}

// clauses are conditions in this dialect.
func clauses() *record.Clauses {
	return record.NewClauses("?", func(t time.Time) any { return t.UnixMicro() })
}

const selectCompleted = `
select id from batches where id in (select value from json_each(?1)) and finished_at is not null`

// Completed says which batches are done: see batch.Reader.
func (s *Store) Completed(ctx context.Context, ids []string) ([]string, error) {
	list, err := jsonList(ids)
	if err != nil {
		return nil, fmt.Errorf("look for completed batches: %w", err)
	}
	done, err := collect(ctx, s.reader, text, selectCompleted, list)
	if err != nil {
		return nil, fmt.Errorf("look for completed batches: %w", err)
	}
	return done, nil
}
