package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/sabotage"
	"dialtone/internal/store/record"
)

// A sweep looks for its tests in the transaction that handles them, but only
// after a reader has found any: most find nothing, and need not keep a writer
// waiting.

const openColumns = `id, probes, started_at, login_at is not null`

const overdue = `
  from tests where finished_at is null and deadline <= ?1 order by deadline limit ?2`

// Who holds a lease is not finished; saying so would offer the planner the
// index by deadline, which holds every test that waits.
const lost = `
  from tests
 where lease_id is not null and lease_until < ?1 and (login_at is not null or probes >= ?3)
 order by deadline limit ?2`

const openOf = `
  from tests where finished_at is null and batch_id = ?3 and ?1 > 0 order by id limit ?2`

func scanOpen(r row) (t record.Open, err error) {
	var started sql.NullInt64
	err = r.Scan(&t.ID, &t.Probes, &started, &t.LoginSent)
	t.StartedAt = maybe(started)
	return t, err
}

// Expire ends overdue tests: see batch.Sweeper.
func (s *Store) Expire(ctx context.Context, limit int) ([]batch.Completion, int, error) {
	done, n, err := s.endFound(ctx, overdue, record.Always(probe.CodeDeadlineExceeded), limit)
	if err != nil {
		return nil, 0, fmt.Errorf("expire tests: %w", err)
	}
	return done, n, nil
}

// Interrupt ends tests whose worker is lost for good: see batch.Sweeper.
func (s *Store) Interrupt(ctx context.Context, maxProbes, limit int) ([]batch.Completion, int, error) {
	done, n, err := s.endFound(ctx, lost, record.Lost, limit, maxProbes)
	if err != nil {
		return nil, 0, fmt.Errorf("interrupt tests: %w", err)
	}
	return done, n, nil
}

// ExpireBatch ends what is open of one batch: see batch.Ender.
func (s *Store) ExpireBatch(ctx context.Context, id string) ([]batch.Completion, error) {
	done, _, err := s.endFound(ctx, openOf, record.Always(probe.CodeDeadlineExceeded), -1, id)
	if err != nil {
		return nil, fmt.Errorf("expire batch: %w", err)
	}
	return done, nil
}

// Cancel ends what is open of one batch of the project: see batch.Ender.
func (s *Store) Cancel(ctx context.Context, project, id string) ([]batch.Completion, int, error) {
	var there int
	err := s.reader.QueryRowContext(ctx, "select 1 from batches where project = ?1 and id = ?2", project, id).Scan(&there)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, batch.ErrNotFound
	}
	if err != nil {
		return nil, 0, fmt.Errorf("cancel batch: %w", translate(err))
	}
	done, n, err := s.endFound(ctx, openOf, record.Always(probe.CodeCancelled), -1, id)
	if err != nil {
		return nil, 0, fmt.Errorf("cancel batch: %w", err)
	}
	return done, n, nil
}

// endFound ends the tests that the clauses from find, and says how many.
func (s *Store) endFound(
	ctx context.Context, from string, verdict record.Verdict, limit int, args ...any,
) (done []batch.Completion, n int, err error) {
	find := func(q querier, now int64, limit int) ([]record.Open, error) {
		return collect(ctx, q, scanOpen, "select "+openColumns+from, append([]any{now, limit}, args...)...)
	}
	if some, err := find(s.reader, time.Now().UnixMicro(), 1); err != nil || len(some) == 0 {
		return nil, 0, err
	}
	err = s.write(ctx, func(tx *sql.Tx, now int64) error {
		found, err := find(tx, now, limit)
		if err != nil {
			return err
		}
		n = len(found)
		for _, t := range found {
			_, complete, err := endTest(ctx, tx, now, t.ID, nil, t.End(verdict(t), moment(now)))
			if err != nil {
				return err
			}
			done = append(done, complete...)
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	return done, n, nil
}

const lapsed = `lease_id is not null and lease_until < ?1 and login_at is null`

// A reclaimed test is due from now on: what it waited for before was its lease.
const reclaimTests = `
update tests
   set lease_id = null, lease_until = null, started_at = null, attempt = attempt + 1, not_before = ?1, idle_since = ?1
 where id in (select id from tests where ` + lapsed + ` and probes < ?2 order by deadline limit ?3)
returning id, attempt, lane, network`

// Reclaim ends leases that ran out before a login: see batch.Sweeper.
func (s *Store) Reclaim(ctx context.Context, maxProbes, limit int) ([]batch.Task, error) {
	now := time.Now().UnixMicro()
	look := sabotage.Edit(sabotage.ReclaimAfterLogin, "select 1 from tests where "+lapsed+" and probes < ?2 limit 1", " and login_at is null", "")
	reclaim := sabotage.Edit(sabotage.ReclaimAfterLogin, reclaimTests, " and login_at is null", "")
	tasks, err := s.sweep(ctx, look, []any{now, maxProbes}, reclaim, []any{now, maxProbes, limit})
	if err != nil {
		return nil, fmt.Errorf("reclaim tests: %w", err)
	}
	return tasks, nil
}

const idle = `finished_at is null and lease_id is null and same_as is null and idle_since <= ?2 and deadline > ?1`

const listStrays = `
update tests
   set idle_since = ?1
 where id in (select id from tests where ` + idle + ` order by deadline limit ?3)
returning id, attempt, lane, network`

// Strays lists tests that nobody has claimed: see batch.Sweeper.
func (s *Store) Strays(ctx context.Context, age time.Duration, limit int) ([]batch.Task, error) {
	now := time.Now().UnixMicro()
	since := now - age.Microseconds()
	tasks, err := s.sweep(ctx, "select 1 from tests where "+idle+" limit 1", []any{now, since}, listStrays, []any{now, since, limit})
	if err != nil {
		return nil, fmt.Errorf("list strays: %w", err)
	}
	return tasks, nil
}

// sweep changes tests and gives their tasks, if any are to be found. The time
// is that of the look: a transaction that waited finds no more than it did.
func (s *Store) sweep(ctx context.Context, look string, lookArgs []any, change string, args []any) ([]batch.Task, error) {
	some, err := collect(ctx, s.reader, text, look, lookArgs...)
	if err != nil || len(some) == 0 {
		return nil, err
	}
	return s.change(ctx, change, args...)
}

func (s *Store) change(ctx context.Context, query string, args ...any) (tasks []batch.Task, err error) {
	err = s.write(ctx, func(tx *sql.Tx, _ int64) error {
		tasks, err = collect(ctx, tx, scanTask, query, args...)
		return err
	})
	return tasks, err
}

const raiseTests = `
update tests
   set attempt = attempt + 1, idle_since = ?2
 where id in (select value from json_each(?1)) and finished_at is null and lease_id is null
returning id, attempt, lane, network`

// Raise gives tests a new attempt: see batch.Sweeper.
func (s *Store) Raise(ctx context.Context, testIDs []string) ([]batch.Task, error) {
	list, err := jsonList(testIDs)
	if err != nil {
		return nil, fmt.Errorf("raise tests: %w", err)
	}
	tasks, err := s.change(ctx, raiseTests, list, time.Now().UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("raise tests: %w", err)
	}
	return tasks, nil
}
