package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/sabotage"
	"dialtone/internal/store/record"
)

// Ending tests takes three steps in one transaction: lock the batches in the
// order of their ids, end each test, close the batches. The lock makes the
// numbers of a batch's tests and its count of open ones exact, and exactly one
// of those who end its last tests sees it close.

const lockBatches = `
select b.id
  from batches b
 where b.id = any(array(select t.batch_id from tests t where t.id = any($1::text[]::uuid[])))
 order by b.id
   for no key update`

// endTest numbers on from the tests that this transaction has ended so far:
// those whose number is above what the batch has closed.
const endTest = `
update tests t
   set finished_at = clock_timestamp(), report = $2::text::json, sealed = null, credentials = null, held_since = null,
       lease_id = null, lease_until = null,
       seq = (select b.total - b.open + 1 + (select count(*) from tests d
                                              where d.batch_id = b.id and d.seq > 0 and d.seq > b.total - b.open)
                from batches b
               where b.id = t.batch_id)
 where t.id = $1 and (t.finished_at is null) is true`

const finishTest = endTest + ` and (t.lease_id = $3) is true
returning t.id`

const closeBatches = `
update batches b
   set (open, finished_at) = (select b.open - count(*), case when b.open = count(*) then clock_timestamp() end
                                from tests d
                               where d.batch_id = b.id and d.seq > 0 and d.seq > b.total - b.open)
 where b.id = any(array(select t.batch_id from tests t where t.id = any($1::text[]::uuid[])))
   and (b.finished_at is null) is true
   and exists (select from tests d where d.batch_id = b.id and d.seq > 0 and d.seq > b.total - b.open)
returning b.id, b.project, b.reply_to, b.finished_at is not null`

// Finish records reports: see batch.Claims.
func (s *Store) Finish(ctx context.Context, reports []batch.Finish) (batch.Recorded, error) {
	sorted := slices.SortedFunc(slices.Values(reports), func(a, b batch.Finish) int { return cmp.Compare(a.TestID, b.TestID) })
	sorted = slices.DeleteFunc(sorted, func(f batch.Finish) bool { return !record.IsUUID(f.TestID) || !record.IsUUID(f.LeaseID) })
	if len(sorted) == 0 {
		return batch.Recorded{}, nil
	}
	ids := make([]string, len(sorted))
	for i, f := range sorted {
		ids[i] = f.TestID
	}
	var all pgx.Batch
	var r batch.Recorded
	all.Queue(lockBatches, ids)
	for _, f := range sorted {
		report, err := record.Report(f.Report)
		if err != nil {
			return batch.Recorded{}, fmt.Errorf("finish: %w", err)
		}
		queueLogin(&all, f)
		finish := sabotage.Edit(sabotage.DropFencing, finishTest, "t.lease_id = $3", "$3 <> ''")
		finish = sabotage.Edit(sabotage.OverwriteReport, finish, "(t.finished_at is null) is true and (t.lease_id = $3) is true", "$3::uuid is not null")
		finish = sabotage.Edit(sabotage.KeepSecrets, finish, "sealed = null, ", "")
		all.Queue(finish, f.TestID, report, f.LeaseID).Query(func(rows pgx.Rows) error {
			got, err := pgx.CollectRows(rows, pgx.RowTo[string])
			r.Accepted = append(r.Accepted, got...)
			return err
		})
		if f.Report.Shareable() {
			all.Queue(shareFailure, f.TestID, sabotage.Swap(sabotage.HideSharing, sharedFrom, "hidden"))
		}
		if f.Rest > 0 {
			all.Queue(restPeers, f.TestID, f.Rest)
		}
	}
	if slices.ContainsFunc(sorted, func(f batch.Finish) bool { return f.Followed || f.Report.Shareable() }) {
		all.Queue(endSame, ids, sameAs)
	}
	queueClose(&all, ids, &r.Done)
	var held []string
	all.Queue(selectHeld, ids, 2*len(ids)).Query(func(rows pgx.Rows) (err error) {
		held, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err := s.pool.SendBatch(ctx, &all).Close(); err != nil {
		return batch.Recorded{}, fmt.Errorf("finish: %w", translate(err))
	}
	late := slices.DeleteFunc(sorted, func(f batch.Finish) bool { return slices.Contains(r.Accepted, f.TestID) })
	if err := s.noteLateLogins(ctx, late); err != nil {
		return batch.Recorded{}, err
	}
	// The reports are recorded: that nobody could be woken is the Relay's affair.
	r.Woken, _ = s.wake(ctx, held)
	return r, nil
}

// queueClose closes the tests' batches and notes in done which are complete.
func queueClose(all *pgx.Batch, testIDs []string, done *[]batch.Completion) {
	all.Queue(closeBatches, testIDs).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var c batch.Completion
			var complete bool
			if err := rows.Scan(&c.BatchID, &c.Project, &c.ReplyTo, &complete); err != nil {
				return err
			}
			if complete {
				*done = append(*done, c)
			}
		}
		return rows.Err()
	})
}

// ending is a test that is ended without its worker.
type ending struct {
	testID string
	report probe.Report
}

// endAll ends tests whose rows and batches tx has locked.
func endAll(ctx context.Context, tx pgx.Tx, endings []ending) ([]batch.Completion, error) {
	slices.SortFunc(endings, func(a, b ending) int { return cmp.Compare(a.testID, b.testID) })
	ids := make([]string, len(endings))
	var all pgx.Batch
	var done []batch.Completion
	for i, e := range endings {
		ids[i] = e.testID
		report, err := record.Report(e.report)
		if err != nil {
			return nil, err
		}
		if !sabotage.On(sabotage.ForgetInterrupted) {
			all.Queue(noteUnknown, e.testID, e.report.Code)
		}
		all.Queue(endTest, e.testID, report)
	}
	all.Queue(endSame, ids, sameAs)
	queueClose(&all, ids, &done)
	if err := tx.SendBatch(ctx, &all).Close(); err != nil {
		return nil, translate(err)
	}
	return done, nil
}
