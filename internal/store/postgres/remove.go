package postgres

import (
	"context"
	"fmt"
	"time"

	"dialtone/internal/sabotage"
)

// Each batch is chosen of which those before it leave room, so the first always
// is. What refers to it goes with it, each by its index.
const removeBatches = `
with old as (
    select b.id, b.finished_at, b.total + 1 as size
      from batches b
     where b.finished_at < statement_timestamp() - $1::interval
     order by b.finished_at
     limit $2
       for update skip locked
), sized as (
    select o.id, sum(o.size) over (order by o.finished_at, o.id) - o.size as before from old o
), gone as (
    delete from batches b
     where b.id = any(array(select s.id from sized s where s.before < $2))
    returning b.total
)
select count(*), coalesce(sum(g.total), 0) from gone g`

// RemoveBatches removes batches that are old: see batch.Remover.
func (s *Store) RemoveBatches(ctx context.Context, age time.Duration, limit int) (batches, tests int, err error) {
	if err := s.pool.QueryRow(ctx, sabotage.Edit(sabotage.RemoveOpenBatches, removeBatches, "where b.finished_at <", "where b.created_at <"), age, limit).Scan(&batches, &tests); err != nil {
		return 0, 0, fmt.Errorf("remove batches: %w", translate(err))
	}
	return batches, tests, nil
}

const removeKeys = `
with old as (
    select k.project, k.key from request_keys k
     where k.created_at < statement_timestamp() - $1::interval
     order by k.created_at
     limit $2
       for update skip locked
)
delete from request_keys k using old o where k.project = o.project and k.key = o.key`

// RemoveKeys removes keys that are old: see batch.Remover.
func (s *Store) RemoveKeys(ctx context.Context, age time.Duration, limit int) (int, error) {
	gone, err := s.pool.Exec(ctx, removeKeys, age, limit)
	if err != nil {
		return 0, fmt.Errorf("remove keys: %w", translate(err))
	}
	return int(gone.RowsAffected()), nil
}
