package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"dialtone/internal/batch"
	"dialtone/internal/sabotage"
	"dialtone/internal/store/record"
)

// A slot is the row of the test that has it: what must never be two is counted
// over the leases in force, and those claims that may meet wait for each other
// by a lock in memory. So a slot costs no write, and cannot outlive its lease.

// lockPeers makes claims that meet at an endpoint go one after the other. There
// are few locks, so that any number of claims fits into the server's table of
// them; two endpoints that share one merely wait for each other. They are taken
// in order, and before any row is locked.
const lockPeers = `
select pg_advisory_xact_lock(1819635058, n.lock)
  from (select distinct uuid_hash(p.peer) & 1023 as lock
          from tests t cross join unnest(t.peers) as p (peer)
         where t.id = any($1::text[]::uuid[])
         order by 1) n`

// noteSuspects finds the tests that something may stand against: a probe at one
// of their endpoints, a login to their account, a rest, or another test of
// those asked for. Most have none of it, and are claimed by claimFree, which
// looks at no other row; the others by claimTest, one after the other. The list
// is kept in the transaction, because claimFree is sent before anybody here has
// seen it.
const noteSuspects = `
with g as materialized (
    select t.id, t.peers, t.account from tests t where t.id = any($1::text[]::uuid[])
), twice as (
    select array_agg(d.peer) as peers
      from (select p.peer from g cross join unnest(g.peers) as p (peer) group by p.peer having count(*) > 1) d
)
select set_config('dialtone.suspects', coalesce(string_agg(g.id::text, ','), ''), true)
  from g
 where g.peers && (select w.peers from twice w)
    or exists (select from tests r where r.lease_id is not null and r.peer = any(g.peers))
    or exists (select from tests r where r.lease_id is not null and cardinality(r.peers) > 1 and (r.peers && g.peers) is true)
    or exists (select from logins o where o.peer = any(g.peers) and o.account = g.account)
    or exists (select from rests e where e.peer = any(g.peers))`

const mayBeClaimed = `
   and (t.finished_at is null
        and t.login_at is null
        and t.same_as is null
        and t.deadline > clock_timestamp()
        and (t.not_before is null or t.not_before <= clock_timestamp())
        and (t.lease_until is null or t.lease_until < clock_timestamp())) is true`

const asClaimed = `
returning ` + testColumns + `, coalesce(t.lease_id::text, ''), t.lane, t.sealed, t.refusal, t.slot_wait, t.followed,
       (select b.trace from batches b where b.id = t.batch_id),
       (extract(epoch from t.deadline - clock_timestamp()) * 1000000)::bigint,
       coalesce((extract(epoch from t.started_at - coalesce(t.not_before, t.created_at)) * 1000000)::bigint, 0)`

const claimFree = `
update tests t
   set lease_id = $2, lease_until = clock_timestamp() + $3::interval, worker = $4,
       probes = t.probes + 1, started_at = clock_timestamp(), refusal = null, held_since = null,
       slot_wait = t.slot_wait + coalesce((extract(epoch from clock_timestamp() - t.held_since) * 1000000)::bigint, 0)
 where t.id = $1
   and (t.id <> all(string_to_array(current_setting('dialtone.suspects', true), ',')::uuid[])) is true` + mayBeClaimed + asClaimed

// refusalNow is what the ledger has against a login of test t at c.now, as
// json, or null. $5 is the most refusals in the window $6, $7 how long the same
// credential rests; what nobody knows the outcome of counts as refused, but may
// be tried again.
const refusalNow = `
select case when $5::integer > 0 and not t.force and t.account is not null then (
    select case when f.until > c.now then json_build_object(
               'rule', case when f.same >= f.until then 'same_credential' else 'too_many_refused' end, 'code', f.code,
               'at', (extract(epoch from f.at) * 1000000)::bigint, 'retry_at', (extract(epoch from f.until) * 1000000)::bigint) end
      from (select greatest(max(l.at) filter (where l.same) + $7::interval,
                            (array_agg(l.at order by l.at desc))[$5] + $6::interval) as until,
                   max(l.at) filter (where l.same) + $7::interval as same,
                   (array_agg(l.code order by l.at desc))[1] as code, max(l.at) as at
              from (select max(o.at) as at, max(o.code) as code, bool_or(o.outcome = 'refused' and o.credential = any(t.credentials)) as same
                      from logins o
                     where o.peer = any(t.peers) and o.account = t.account
                       and (o.at > c.now - greatest($6::interval, $7::interval) and o.outcome <> 'passed') is true
                     group by o.lease_id) l) f) end as refusal`

// runningNow are the other tests that hold an endpoint of test t at c.now. A
// lease that ran out after a login holds it until the test is ended: nobody
// knows yet what became of the login.
const runningNow = `
select r.id, r.account from tests r
 where r.lease_id is not null and r.peer = any(t.peers)
   and (r.id <> t.id and (r.lease_until >= c.now or r.login_at is not null)) is true
union
select r.id, r.account from tests r
 where r.lease_id is not null and cardinality(r.peers) > 1
   and (r.peers && t.peers and r.id <> t.id and (r.lease_until >= c.now or r.login_at is not null)) is true`

// holdNow is how long test t must wait at c.now, or null. A slot that is taken
// wakes who waits for it; the second is for the case that its worker dies.
const holdNow = `
select case
       when q.refusal is not null then null
       when z.until > c.now then z.until - c.now
       when $8::integer > 0 and n.running >= $8 then interval '1 s'
       when $5 > 0 and t.account is not null and (n.busy or exists (
            select from logins o
             where o.peer = any(t.peers) and o.account = t.account and (o.in_flight_until > c.now) is true))
       then interval '1 s'
       end as hold
  from (select count(*) as running, coalesce(bool_or(r.account = t.account), false) as busy from (` + runningNow + `) r) n,
       (select max(e.until) as until from rests e where e.peer = any(t.peers)) z`

const claimTest = `
update tests t
   set (lease_id, lease_until, worker, probes, started_at, refusal, held_since, slot_wait, not_before, idle_since, attempt) = (
       select case when h.hold is null then $2::uuid end,
              case when h.hold is null then c.now + $3::interval end,
              case when h.hold is null then $4 else t.worker end,
              case when h.hold is null then t.probes + 1 else t.probes end,
              case when h.hold is null then c.now end,
              q.refusal,
              case when h.hold is not null then coalesce(t.held_since, c.now) end,
              t.slot_wait + case when h.hold is null and t.held_since is not null
                                 then (extract(epoch from c.now - t.held_since) * 1000000)::bigint else 0 end,
              case when h.hold is null then t.not_before else c.now + h.hold end,
              case when h.hold is null then t.idle_since else c.now + h.hold end,
              case when h.hold is null then t.attempt else t.attempt + 1 end
         from (select clock_timestamp() as now offset 0) c
        cross join lateral (` + refusalNow + ` offset 0) q
        cross join lateral (` + holdNow + ` offset 0) h)
 where t.id = $1` + mayBeClaimed + asClaimed

// noteLogin writes down what a report says of a login, as long as the test is
// the lease's; noteUnknown, that a test is ended from outside while its login
// is out; noteLate, what a late report says of that.
const noteLogin = `
insert into logins (lease_id, peer, account, credential, at, outcome, code)
select t.lease_id, k.peer, t.account, k.credential, coalesce(t.login_at, clock_timestamp()), $3, $4
  from tests t cross join unnest(t.peers, t.credentials) as k (peer, credential)
 where t.id = $1 and (t.account is not null and t.finished_at is null and t.lease_id = $2) is true
    on conflict (lease_id, peer) do update set outcome = excluded.outcome, code = excluded.code, in_flight_until = null`

const noteUnknown = `
insert into logins (lease_id, peer, account, credential, at, outcome, code, in_flight_until)
select t.lease_id, k.peer, t.account, k.credential, t.login_at, 'unknown', $2, t.lease_until
  from tests t cross join unnest(t.peers, t.credentials) as k (peer, credential)
 where t.id = $1 and (t.account is not null and t.finished_at is null and t.lease_id is not null and t.login_at is not null) is true
    on conflict (lease_id, peer) do nothing`

const noteLate = `
update logins set outcome = $2, code = $3, in_flight_until = null where lease_id = $1`

// queueLogin notes the login of a report, unless there is nothing to remember.
func queueLogin(all *pgx.Batch, f batch.Finish) {
	outcome, sent := record.LoginOutcome(f.Report)
	if sent && outcome != record.Passed {
		all.Queue(noteLogin, f.TestID, f.LeaseID, outcome, f.Report.Code)
	}
}

// noteLateLogins notes the logins of reports that nobody waits for any more.
func (s *Store) noteLateLogins(ctx context.Context, late []batch.Finish) error {
	var all pgx.Batch
	for _, f := range late {
		if outcome, sent := record.LoginOutcome(f.Report); sent && !sabotage.On(sabotage.ForgetLateReport) {
			all.Queue(noteLate, f.LeaseID, outcome, f.Report.Code)
		}
	}
	if all.Len() == 0 {
		return nil
	}
	if err := s.pool.SendBatch(ctx, &all).Close(); err != nil {
		return fmt.Errorf("note late logins: %w", translate(err))
	}
	return nil
}

const restPeers = `
insert into rests (peer, until)
select p.peer, clock_timestamp() + $2::interval
  from tests t cross join unnest(t.peers) as p (peer)
 where t.id = $1
 order by p.peer
    on conflict (peer) do update set until = greatest(rests.until, excluded.until)`

// selectHeld finds the tests that wait for an endpoint of the tests $1.
const selectHeld = `
select c.id from tests c
 where c.held_since is not null
   and c.peer = any(array(select d.peer from tests d where d.id = any($1::text[]::uuid[])))
 order by c.deadline, c.id
 limit $2`

const wakeHeld = `
update tests t
   set attempt = t.attempt + 1, not_before = clock_timestamp(), idle_since = clock_timestamp()
 where t.id = any(array(select c.id from tests c
                         where c.id = any($1::text[]::uuid[]) and (c.held_since is not null and c.lease_id is null) is true
                         order by c.id
                           for no key update skip locked))
returning t.id, t.attempt, t.lane, t.network`

// wake makes held tests due: as many as may find a slot, since those whose
// account is taken will wait on.
func (s *Store) wake(ctx context.Context, held []string) ([]batch.Task, error) {
	if len(held) == 0 {
		return nil, nil
	}
	tasks, err := collect(ctx, s.pool, scanTask, wakeHeld, held)
	if err != nil {
		return nil, fmt.Errorf("wake tests: %w", err)
	}
	return tasks, nil
}

// numbered ends the tests that found names, in place of a report of their own:
// a copy of test l's that names it under $2. Those that another process is
// claiming are left to it.
const numbered = `
update tests t
   set finished_at = clock_timestamp(), sealed = null, credentials = null, held_since = null,
       report = (left(n.report, -1) || ',"' || $2::text || '":"' || n.of || '"}')::json,
       seq = n.number + (select b.total - b.open + (select count(*) from tests d
                                                     where d.batch_id = b.id and d.seq > 0 and d.seq > b.total - b.open)
                           from batches b
                          where b.id = t.batch_id)
  from (select f.*, row_number() over (partition by f.batch_id order by f.entry, f.object) as number from found f) n
 where t.id = n.id`

// shareFailure ends what waits for the endpoint that test $1 could not be
// connected to.
const shareFailure = `
with found as materialized (
    select f.id, f.batch_id, f.entry, f.object, l.report::text as report, l.id as of
      from tests l join tests f on f.batch_id = l.batch_id
     where l.id = $1 and (l.finished_at is not null and l.seq > 0) is true
       and (f.share = l.share and f.finished_at is null and f.lease_id is null and f.login_at is null and f.same_as is null) is true
       for no key update of f skip locked)` + numbered

// endSame ends the tests that are the same as one that is over, in the batches
// of the tests $1.
const endSame = `
with found as materialized (
    select f.id, f.batch_id, f.entry, f.object, l.report::text as report, l.id as of
      from tests f join tests l on l.id = f.same_as
     where f.batch_id = any(array(select d.batch_id from tests d where d.id = any($1::text[]::uuid[])))
       and (f.same_as is not null and f.finished_at is null and l.finished_at is not null) is true
       for no key update of f skip locked)` + numbered

// The names under which a copied report says whose it was.
const (
	sameAs     = "same_as"
	sharedFrom = "shared_from"
)

// Forget drops what is no longer of use: see batch.Forgetter.
func (s *Store) Forget(ctx context.Context, age time.Duration) error {
	var all pgx.Batch
	// Every worker does this at its own pace: skip what another is removing.
	all.Queue(`
delete from logins
 where (lease_id, peer) in (select l.lease_id, l.peer from logins l
                             where l.at < statement_timestamp() - $1::interval limit 10000 for update skip locked)`, age)
	all.Queue(`
delete from rests
 where peer = any(array(select r.peer from rests r where r.until < statement_timestamp() limit 10000 for update skip locked))`)
	if err := s.pool.SendBatch(ctx, &all).Close(); err != nil {
		return fmt.Errorf("forget logins: %w", translate(err))
	}
	return nil
}
