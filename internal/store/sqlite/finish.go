package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/store/record"
)

// Nobody writes beside a transaction, so tests are ended one by one: each
// takes its number from its batch, and its batch counts it off.

const finishTest = `
update tests
   set finished_at = ?2, report = ?3, sealed = null, lease_id = null, lease_until = null,
       seq = (select b.total - b.open + 1 from batches b where b.id = tests.batch_id)
 where id = ?1 and finished_at is null and (?4 is null or lease_id = ?4)
returning batch_id`

const countOff = `
update batches
   set open = open - 1, finished_at = case when open = 1 then ?2 end
 where id = ?1
returning id, reply_to, open = 0`

// endTest ends a test, whoever holds its lease when leaseID is nil. complete
// is its batch if that was the last.
func endTest(
	ctx context.Context, tx *sql.Tx, now int64, testID string, leaseID *string, report probe.Report,
) (ended bool, complete []batch.Completion, err error) {
	encoded, err := record.Report(report)
	if err != nil {
		return false, nil, err
	}
	of, err := collect(ctx, tx, text, finishTest, testID, now, encoded, leaseID)
	if err != nil || len(of) == 0 {
		return false, nil, err
	}
	var c batch.Completion
	var none bool
	if err := tx.QueryRowContext(ctx, countOff, of[0], now).Scan(&c.BatchID, &c.ReplyTo, &none); err != nil {
		return false, nil, translate(err)
	}
	if none {
		complete = []batch.Completion{c}
	}
	return true, complete, nil
}

// Finish records reports: see batch.Claims.
func (s *Store) Finish(ctx context.Context, reports []batch.Finish) (accepted []string, done []batch.Completion, err error) {
	if len(reports) == 0 {
		return nil, nil, nil
	}
	err = s.write(ctx, func(tx *sql.Tx, now int64) error {
		for _, f := range reports {
			ended, complete, err := endTest(ctx, tx, now, f.TestID, &f.LeaseID, f.Report)
			if err != nil {
				return err
			}
			if ended {
				accepted = append(accepted, f.TestID)
			}
			done = append(done, complete...)
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("finish: %w", err)
	}
	return accepted, done, nil
}
