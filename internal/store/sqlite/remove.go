package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"dialtone/internal/sabotage"
)

// Each batch is chosen of which those before it leave room, so the first always
// is.
const removeBatches = `
delete from batches
 where id in (select id
                from (select id, sum(size) over (order by finished_at, id) - size as before
                        from (select id, finished_at, total + 1 as size from batches
                               where finished_at is not null and finished_at < ?1
                               order by finished_at limit ?2))
               where before < ?2)
returning total`

// RemoveBatches removes batches that are old: see batch.Remover.
func (s *Store) RemoveBatches(ctx context.Context, age time.Duration, limit int) (batches, tests int, err error) {
	err = s.write(ctx, func(tx *sql.Tx, now int64) error {
		gone, err := collect(ctx, tx, func(r row) (total int, err error) {
			err = r.Scan(&total)
			return total, err
		}, sabotage.Edit(sabotage.RemoveOpenBatches, removeBatches, "finished_at is not null and finished_at < ?1", "created_at < ?1"), now-age.Microseconds(), limit)
		batches = len(gone)
		for _, total := range gone {
			tests += total
		}
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("remove batches: %w", err)
	}
	return batches, tests, nil
}

const removeKeys = `
delete from request_keys
 where (project, key) in (select project, key from request_keys where created_at < ?1 order by created_at limit ?2)`

// RemoveKeys removes keys that are old: see batch.Remover.
func (s *Store) RemoveKeys(ctx context.Context, age time.Duration, limit int) (int, error) {
	n, err := s.changeRows(ctx, func(now int64) (string, []any) {
		return removeKeys, []any{now - age.Microseconds(), limit}
	})
	if err != nil {
		return 0, fmt.Errorf("remove keys: %w", err)
	}
	return int(n), nil
}
