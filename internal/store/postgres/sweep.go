package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/sabotage"
	"dialtone/internal/store/record"
)

// A sweep that ends tests looks for them without a lock first, because most
// find nothing; only then does it lock and look again.

const selectOverdue = `
select t.id from tests t
 where t.finished_at is null and t.deadline <= statement_timestamp()
 order by t.deadline
 limit $1`

// Who holds a lease is not finished; saying so would offer the planner the
// index by deadline, which holds every test that waits.
const selectLost = `
select t.id from tests t
 where t.lease_id is not null and t.lease_until < statement_timestamp() and (t.login_at is not null or t.probes >= $2::integer)
 order by t.deadline
 limit $1`

const selectOpenOf = `
select t.id from tests t where t.batch_id = $1 and (t.finished_at is null) is true`

// lockFreeBatches leaves out what another process is ending.
const lockFreeBatches = lockBatches + ` skip locked`

const lockOverdue = lockTests + ` and (t.deadline <= clock_timestamp()) is true` + inOrder

const lockLost = lockTests + `
   and (t.lease_until < clock_timestamp() and (t.login_at is not null or t.probes >= $3::integer)) is true` + inOrder

const lockOpen = lockTests + inOrder

const lockTests = `
select t.id, t.probes, t.started_at, t.login_at is not null, clock_timestamp()
  from tests t
 where t.id = any($1::text[]::uuid[]) and (t.batch_id = any($2::text[]::uuid[]) and t.finished_at is null) is true`

const inOrder = `
 order by t.id
   for no key update`

// openTest is a test that is about to be ended, and the server's time.
type openTest struct {
	record.Open
	now time.Time
}

func scanOpenTest(row pgx.CollectableRow) (openTest, error) {
	var t openTest
	err := row.Scan(&t.ID, &t.Probes, &t.StartedAt, &t.LoginSent, &t.now)
	return t, err
}

// Expire ends overdue tests: see batch.Sweeper.
func (s *Store) Expire(ctx context.Context, limit int) ([]batch.Completion, int, error) {
	ids, err := collect(ctx, s.pool, pgx.RowTo[string], selectOverdue, limit)
	if err != nil {
		return nil, 0, fmt.Errorf("expire tests: %w", err)
	}
	done, n, err := s.endFound(ctx, ids, lockFreeBatches, lockOverdue, record.Always(probe.CodeDeadlineExceeded))
	if err != nil {
		return nil, 0, fmt.Errorf("expire tests: %w", err)
	}
	return done, n, nil
}

// Interrupt ends tests whose worker is lost for good: see batch.Sweeper.
func (s *Store) Interrupt(ctx context.Context, maxProbes, limit int) ([]batch.Completion, int, error) {
	ids, err := collect(ctx, s.pool, pgx.RowTo[string], selectLost, limit, maxProbes)
	if err != nil {
		return nil, 0, fmt.Errorf("interrupt tests: %w", err)
	}
	done, n, err := s.endFound(ctx, ids, lockFreeBatches, lockLost, record.Lost, maxProbes)
	if err != nil {
		return nil, 0, fmt.Errorf("interrupt tests: %w", err)
	}
	return done, n, nil
}

// ExpireBatch ends what is open of one batch: see batch.Ender.
func (s *Store) ExpireBatch(ctx context.Context, id string) ([]batch.Completion, error) {
	done, _, err := s.endBatch(ctx, id, probe.CodeDeadlineExceeded)
	if err != nil {
		return nil, fmt.Errorf("expire batch: %w", err)
	}
	return done, nil
}

// Cancel ends what is open of one batch of the project: see batch.Ender.
func (s *Store) Cancel(ctx context.Context, project, id string) ([]batch.Completion, int, error) {
	if _, err := s.batchRow(ctx, project, id); err != nil {
		return nil, 0, err
	}
	done, n, err := s.endBatch(ctx, id, probe.CodeCancelled)
	if err != nil {
		return nil, 0, fmt.Errorf("cancel batch: %w", err)
	}
	return done, n, nil
}

func (s *Store) endBatch(ctx context.Context, id string, code probe.Code) ([]batch.Completion, int, error) {
	if !record.IsUUID(id) {
		return nil, 0, nil
	}
	ids, err := collect(ctx, s.pool, pgx.RowTo[string], selectOpenOf, id)
	if err != nil {
		return nil, 0, err
	}
	return s.endFound(ctx, ids, lockBatches, lockOpen, record.Always(code))
}

// endFound ends those of the tests that are still to be ended once they are
// locked, and says how many those were.
func (s *Store) endFound(
	ctx context.Context, ids []string, lockBatches, lockTests string, verdict record.Verdict, args ...any,
) (done []batch.Completion, n int, err error) {
	if len(ids) == 0 {
		return nil, 0, nil
	}
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return nil, 0, translate(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing to undo after a commit
	batches, err := collect(ctx, tx, pgx.RowTo[string], lockBatches, ids)
	if err != nil {
		return nil, 0, err
	}
	open, err := collect(ctx, tx, scanOpenTest, lockTests, append([]any{ids, batches}, args...)...)
	if err != nil || len(open) == 0 {
		return nil, 0, err
	}
	endings := make([]ending, len(open))
	for i, t := range open {
		endings[i] = ending{testID: t.ID, report: t.End(verdict(t.Open), t.now)}
	}
	if done, err = endAll(ctx, tx, endings); err != nil {
		return nil, 0, err
	}
	if err := tx.Commit(ctx); err != nil {
		return nil, 0, translate(err)
	}
	return done, len(open), nil
}

// A reclaimed test is due from now on: what it waited for before was its lease.
const reclaimTests = `
update tests t
   set lease_id = null, lease_until = null, started_at = null, attempt = t.attempt + 1,
       not_before = statement_timestamp(), idle_since = statement_timestamp()
 where t.id = any(array(select c.id from tests c
                         where c.lease_id is not null and c.lease_until < statement_timestamp() and c.login_at is null
                           and c.probes < $2
                         order by c.deadline limit $1
                           for no key update skip locked))
returning t.id, t.attempt, t.lane, t.network`

// Reclaim ends leases that ran out before a login: see batch.Sweeper.
func (s *Store) Reclaim(ctx context.Context, maxProbes, limit int) ([]batch.Task, error) {
	tasks, err := collect(ctx, s.pool, scanTask, sabotage.Edit(sabotage.ReclaimAfterLogin, reclaimTests, " and c.login_at is null", ""), limit, maxProbes)
	if err != nil {
		return nil, fmt.Errorf("reclaim tests: %w", err)
	}
	return tasks, nil
}

const listStrays = `
update tests t
   set idle_since = statement_timestamp()
 where t.id = any(array(select c.id from tests c
                         where c.finished_at is null and c.lease_id is null and c.same_as is null
                           and c.idle_since <= statement_timestamp() - $2::interval
                           and c.deadline > statement_timestamp()
                         order by c.deadline limit $1
                           for no key update skip locked))
returning t.id, t.attempt, t.lane, t.network`

// Strays lists tests that nobody has claimed: see batch.Sweeper.
func (s *Store) Strays(ctx context.Context, age time.Duration, limit int) ([]batch.Task, error) {
	tasks, err := collect(ctx, s.pool, scanTask, listStrays, limit, age)
	if err != nil {
		return nil, fmt.Errorf("list strays: %w", err)
	}
	return tasks, nil
}

const raiseTests = `
update tests t
   set attempt = t.attempt + 1, idle_since = statement_timestamp()
 where t.id = any(array(select c.id from tests c
                         where c.id = any($1::text[]::uuid[]) and (c.finished_at is null and c.lease_id is null) is true
                         order by c.id
                           for no key update skip locked))
returning t.id, t.attempt, t.lane, t.network`

// Raise gives tests a new attempt: see batch.Sweeper.
func (s *Store) Raise(ctx context.Context, testIDs []string) ([]batch.Task, error) {
	tasks, err := collect(ctx, s.pool, scanTask, raiseTests, uuids(testIDs))
	if err != nil {
		return nil, fmt.Errorf("raise tests: %w", err)
	}
	return tasks, nil
}
