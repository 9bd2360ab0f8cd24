package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/sabotage"
	"dialtone/internal/store/record"
)

// Nobody writes beside a transaction, so tests are ended one by one: each
// takes its number from its batch, and its batch counts it off.

const finishTest = `
update tests
   set finished_at = ?2, report = ?3, sealed = null, credentials = null, held_since = null,
       lease_id = null, lease_until = null,
       seq = (select b.total - b.open + 1 from batches b where b.id = tests.batch_id)
 where id = ?1 and finished_at is null and (?4 is null or lease_id = ?4)
returning batch_id, followed`

type finished struct {
	batchID  string
	followed bool
}

func scanFinished(r row) (f finished, err error) {
	err = r.Scan(&f.batchID, &f.followed)
	return f, err
}

const countOff = `
update batches
   set open = open - 1, finished_at = case when open = 1 then ?2 end
 where id = ?1
returning id, project, reply_to, open = 0`

// endTest ends a test, whoever holds its lease when leaseID is nil, and with it
// the tests that are the same. complete is its batch if that was the last.
func endTest(
	ctx context.Context, tx *sql.Tx, now int64, testID string, leaseID *string, report probe.Report,
) (ended bool, complete []batch.Completion, err error) {
	encoded, err := record.Report(report)
	if err != nil {
		return false, nil, err
	}
	if leaseID == nil && !sabotage.On(sabotage.ForgetInterrupted) {
		if _, err := tx.ExecContext(ctx, noteUnknown, testID, string(report.Code)); err != nil {
			return false, nil, translate(err)
		}
	}
	finish := sabotage.Edit(sabotage.DropFencing, finishTest, "lease_id = ?4", "?4 <> ''")
	finish = sabotage.Edit(sabotage.OverwriteReport, finish, "finished_at is null and (?4 is null or lease_id = ?4)", "(?4 is null or true)")
	finish = sabotage.Edit(sabotage.KeepSecrets, finish, "sealed = null, ", "")
	of, err := collect(ctx, tx, scanFinished, finish, testID, now, encoded, leaseID)
	if err != nil || len(of) == 0 {
		return false, nil, err
	}
	var c batch.Completion
	var none bool
	if err := tx.QueryRowContext(ctx, countOff, of[0].batchID, now).Scan(&c.BatchID, &c.Project, &c.ReplyTo, &none); err != nil {
		return false, nil, translate(err)
	}
	if none {
		return true, []batch.Completion{c}, nil
	}
	if !of[0].followed {
		return true, nil, nil
	}
	report.SameAs = testID
	complete, err = endLike(ctx, tx, now, sameAsTest, testID, report)
	return true, complete, err
}

// Finish records reports: see batch.Claims.
func (s *Store) Finish(ctx context.Context, reports []batch.Finish) (batch.Recorded, error) {
	var r batch.Recorded
	if len(reports) == 0 {
		return r, nil
	}
	ids := make([]string, len(reports))
	err := s.write(ctx, func(tx *sql.Tx, now int64) error {
		for i, f := range reports {
			ids[i] = f.TestID
			if err := finishOne(ctx, tx, now, f, &r); err != nil {
				return err
			}
		}
		list, err := jsonList(ids)
		if err != nil {
			return err
		}
		r.Woken, err = collect(ctx, tx, scanTask, wakeHeld, list, 2*len(ids), now)
		return err
	})
	if err != nil {
		return batch.Recorded{}, fmt.Errorf("finish: %w", err)
	}
	return r, nil
}

func finishOne(ctx context.Context, tx *sql.Tx, now int64, f batch.Finish, r *batch.Recorded) error {
	if err := note(ctx, tx, now, f, false); err != nil {
		return err
	}
	ended, complete, err := endTest(ctx, tx, now, f.TestID, &f.LeaseID, f.Report)
	if err != nil {
		return err
	}
	r.Done = append(r.Done, complete...)
	if !ended {
		return note(ctx, tx, now, f, true)
	}
	r.Accepted = append(r.Accepted, f.TestID)
	if f.Report.Shareable() {
		report := f.Report
		report.SharedFrom = sabotage.Swap(sabotage.HideSharing, f.TestID, "")
		complete, err := endLike(ctx, tx, now, waitingFor, f.TestID, report)
		if err != nil {
			return err
		}
		r.Done = append(r.Done, complete...)
	}
	return rest(ctx, tx, now, f.TestID, f.Rest)
}
