package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"dialtone/internal/batch"
	"dialtone/internal/sabotage"
	"dialtone/internal/store/record"
)

// testColumns are what scanTest reads; t is the table.
const testColumns = `t.id, t.batch_id, t.project, t.entry, t.object, t.job_id, t.end_point_type, t.endpoint, t.secrets_set,
       t.network, t.attempt, t.probes, t.worker, t.created_at, t.deadline, t.not_before, t.started_at, t.login_at,
       t.finished_at, t.seq, t.report, coalesce(t.same_as::text, ''), t.share_wait`

// scanTest reads testColumns and then more.
func scanTest(row pgx.CollectableRow, more ...any) (batch.Test, error) {
	var t batch.Test
	var endpoint, report []byte
	var shareWait int64
	into := []any{
		&t.ID, &t.BatchID, &t.Project, &t.Entry, &t.Object, &t.JobID, &t.EndPointType, &endpoint, &t.SecretsSet,
		&t.Network, &t.Attempt, &t.Probes, &t.Worker, &t.CreatedAt, &t.Deadline, &t.NotBefore, &t.StartedAt, &t.LoginAt,
		&t.FinishedAt, &t.Seq, &report, &t.SameAs, &shareWait,
	}
	if err := row.Scan(append(into, more...)...); err != nil {
		return batch.Test{}, err
	}
	t.ShareWait = time.Duration(shareWait) * time.Microsecond
	return t, record.Decode(&t, endpoint, report)
}

// Claims, releases and finishes are sent as one statement per test, pipelined:
// one round trip and one transaction. One statement over arrays would save the
// server a little, but its plan depends on how full the table was when it was
// prepared. The statements go in the order of the ids, so that two of these
// transactions which meet wait for each other in one direction only.
//
// A statement that has the id of its rows puts its other conditions in
// "(...) is true". That hides them from the planner, to which a partial index
// that they fit looks as cheap as the primary key while the table is new, and
// the plan stays when it has grown.

// A claim promises nothing to anybody yet, so it does not wait for the disk: a
// server that crashes within a moment of it forgets it, and then the login mark,
// which does wait, is refused, as for every lease that is not in force.
const notDurable = "select set_config('synchronous_commit', 'off', true)"

// Claim grants leases: see batch.Claims.
func (s *Store) Claim(ctx context.Context, claims []batch.Claim) ([]batch.Claimed, error) {
	sorted := slices.SortedFunc(slices.Values(claims), func(a, b batch.Claim) int { return cmp.Compare(a.TestID, b.TestID) })
	sorted = slices.DeleteFunc(sorted, func(c batch.Claim) bool { return !record.IsUUID(c.TestID) })
	if len(sorted) == 0 {
		return nil, nil
	}
	if err := s.proven(ctx); err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	ids := make([]string, len(sorted))
	for i, c := range sorted {
		ids[i] = c.TestID
	}
	var g grants
	suspects, err := s.claimFree(ctx, sorted, ids, &g)
	if err == nil && len(suspects) > 0 {
		err = s.claimGuarded(ctx, sorted, suspects, &g)
	}
	if err != nil {
		return nil, fmt.Errorf("claim: %w", translate(err))
	}
	if len(g.unreadable) > 0 {
		// No probe can be made of these, by us or by anybody with our keys;
		// the others must not suffer for it. Who waits for the batch looks
		// into the store by itself, so nobody needs to be signalled.
		if _, err := s.Finish(ctx, g.unreadable); err != nil {
			return nil, err
		}
	}
	return g.claimed, nil
}

// grants are what claims were granted.
type grants struct {
	claimed    []batch.Claimed
	unreadable []batch.Finish
}

// take reads the answer to a claim.
func (s *Store) take(g *grants) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		got, err := pgx.CollectRows(rows, s.scanClaimed)
		for _, c := range got {
			switch {
			case c.LeaseID == "": // held
			case c.Unreadable:
				g.unreadable = append(g.unreadable, record.UnreadableSecrets(c.Claimed))
			default:
				g.claimed = append(g.claimed, c.Claimed)
			}
		}
		return err
	}
}

// claimFree claims the tests that nothing stands against, and gives the others.
func (s *Store) claimFree(ctx context.Context, claims []batch.Claim, ids []string, g *grants) (suspects []string, err error) {
	var all pgx.Batch
	all.Queue(notDurable)
	all.Queue(lockPeers, ids)
	all.Queue(noteSuspects, ids).QueryRow(func(row pgx.Row) error {
		var list string
		err := row.Scan(&list)
		if list != "" {
			suspects = strings.Split(list, ",")
		}
		return err
	})
	for _, c := range claims {
		all.Queue(sabotage.Edit(sabotage.ClaimAfterLogin, claimFree, "and t.login_at is null", ""), c.TestID, c.LeaseID, c.Lease, c.Worker).Query(s.take(g))
	}
	return suspects, s.pool.SendBatch(ctx, &all).Close()
}

// claimGuarded claims the suspects among the tests, as far as the limits allow.
func (s *Store) claimGuarded(ctx context.Context, claims []batch.Claim, suspects []string, g *grants) error {
	var all pgx.Batch
	all.Queue(notDurable)
	all.Queue(lockPeers, suspects)
	for _, c := range claims {
		if l := c.Limits; slices.Contains(suspects, c.TestID) {
			claim := sabotage.Edit(sabotage.ClaimAfterLogin, claimTest, "and t.login_at is null", "")
			claim = sabotage.Edit(sabotage.SkipLedger, claim, "$5::integer > 0 and not t.force", "false")
			claim = sabotage.Edit(sabotage.SkipAccountSlot, claim, "n.busy", "false")
			claim = sabotage.Edit(sabotage.SkipEndpointSlot, claim, "n.running >= $8", "false")
			claim = sabotage.Edit(sabotage.ForgetCredential, claim, "o.credential = any(t.credentials)", "false")
			all.Queue(claim, c.TestID, c.LeaseID, c.Lease, c.Worker, l.Refusals, l.RefusalWindow, l.RepeatAfter, l.EndpointProbes).Query(s.take(g))
		}
	}
	return s.pool.SendBatch(ctx, &all).Close()
}

func (s *Store) scanClaimed(row pgx.CollectableRow) (record.Claimed, error) {
	var c record.Claimed
	var k record.Kept
	var err error
	if c.Test, err = scanTest(row, &c.LeaseID, &c.Lane, &k.Sealed, &k.Refusal, &k.SlotWait, &c.Followed, &c.Trace, &k.Remaining, &k.Waited); err != nil {
		return record.Claimed{}, err
	}
	return c, s.sealer.Arm(&c, k)
}

// An update that waited for a lock judges and sets by the clock before the
// wait, unless the row was changed meanwhile; what it returns is computed after
// it. A mark that came too late stays, and the test ends as interrupted.
const markLogin = `
update tests t
   set login_at = clock_timestamp()
 where t.id = $1
   and (t.lease_id = $2 and t.lease_until > clock_timestamp() and t.login_at is null and t.finished_at is null) is true
returning t.lease_until > clock_timestamp()`

// MarkLogin notes that credentials are about to leave: see batch.Claims.
func (s *Store) MarkLogin(ctx context.Context, testID, leaseID string) (bool, error) {
	granted, err := s.MarkLogins(ctx, []batch.LoginMark{{TestID: testID, LeaseID: leaseID}})
	return len(granted) > 0, err
}

// MarkLogins notes the same of several tests at once: see batch.LoginMarker.
// One of them that waits for a lock delays the others, and nothing more: until
// the commit their rows are locked, so that nobody else can take them.
func (s *Store) MarkLogins(ctx context.Context, marks []batch.LoginMark) ([]string, error) {
	sorted := slices.SortedFunc(slices.Values(marks), func(a, b batch.LoginMark) int { return cmp.Compare(a.TestID, b.TestID) })
	mark := sabotage.Edit(sabotage.MarkWithoutLease, markLogin, "t.lease_until > clock_timestamp()", "true")
	mark = sabotage.Edit(sabotage.MarkTwice, mark, " and t.login_at is null", "")
	var all pgx.Batch
	var granted []string
	for _, m := range sorted {
		if !record.IsUUID(m.TestID) || !record.IsUUID(m.LeaseID) {
			continue
		}
		all.Queue(mark, m.TestID, m.LeaseID).Query(func(rows pgx.Rows) error {
			inForce, err := pgx.CollectRows(rows, pgx.RowTo[bool])
			if len(inForce) > 0 && inForce[0] {
				granted = append(granted, m.LeaseID)
			}
			return err
		})
	}
	if all.Len() == 0 {
		return nil, nil
	}
	if err := s.pool.SendBatch(ctx, &all).Close(); err != nil {
		return nil, fmt.Errorf("mark login: %w", translate(err))
	}
	return granted, nil
}

const releaseTest = `
update tests t
   set lease_id = null, lease_until = null, started_at = null, attempt = t.attempt + 1,
       probes = t.probes - $4::integer,
       not_before = clock_timestamp() + $3::interval, idle_since = clock_timestamp() + $3::interval
 where t.id = $1 and (t.lease_id = $2 and t.login_at is null and t.finished_at is null) is true
returning t.id, t.attempt, t.lane, t.network`

// Release gives claims back: see batch.Claims.
func (s *Store) Release(ctx context.Context, releases []batch.Release) ([]batch.Task, error) {
	sorted := slices.SortedFunc(slices.Values(releases), func(a, b batch.Release) int { return cmp.Compare(a.TestID, b.TestID) })
	release := sabotage.Edit(sabotage.ReleaseAfterLogin, releaseTest, " and t.login_at is null", "")
	var all pgx.Batch
	var tasks []batch.Task
	for _, r := range sorted {
		if !record.IsUUID(r.TestID) || !record.IsUUID(r.LeaseID) {
			continue
		}
		uncounted := 0
		if r.HandBack {
			uncounted = 1
		}
		all.Queue(release, r.TestID, r.LeaseID, r.After, uncounted).Query(func(rows pgx.Rows) error {
			got, err := pgx.CollectRows(rows, scanTask)
			tasks = append(tasks, got...)
			return err
		})
		if r.Rest > 0 {
			all.Queue(restPeers, r.TestID, r.Rest)
		}
	}
	if all.Len() == 0 {
		return nil, nil
	}
	if err := s.pool.SendBatch(ctx, &all).Close(); err != nil {
		return nil, fmt.Errorf("release: %w", translate(err))
	}
	return tasks, nil
}

func scanTask(row pgx.CollectableRow) (batch.Task, error) {
	var t batch.Task
	err := row.Scan(&t.TestID, &t.Attempt, &t.Lane, &t.Network)
	return t, err
}

const selectFinished = `
select t.id from tests t where t.id = any($1::text[]::uuid[]) and t.finished_at is not null`

// Finished says which tests are finished: see batch.Claims.
func (s *Store) Finished(ctx context.Context, testIDs []string) ([]string, error) {
	ids, err := collect(ctx, s.pool, pgx.RowTo[string], selectFinished, uuids(testIDs))
	if err != nil {
		return nil, fmt.Errorf("look for finished tests: %w", err)
	}
	return ids, nil
}
