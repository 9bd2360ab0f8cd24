package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/sabotage"
	"dialtone/internal/store/record"
)

// A slot is the row of the test that has it. Nobody writes beside a
// transaction, so what is counted in it stays true until its end.

// candidate is a test that may be claimed, as far as it alone is concerned.
type candidate struct {
	id, peers, account, credentials string
	force                           bool
	// suspect says that something may stand against it: a probe at one of its
	// endpoints, an entry in the ledger, a rest. Most have none of it.
	suspect bool
}

const selectCandidate = `
select id, coalesce(peers, '[]'), coalesce(account, ''), coalesce(credentials, '[]'), force,
       exists (select 1 from tests r where r.lease_id is not null and r.peer in (select value from json_each(tests.peers)))
       or exists (select 1 from tests r where r.lease_id is not null and json_array_length(r.peers) > 1)
       or exists (select 1 from logins o where o.peer in (select value from json_each(tests.peers)) and o.account = tests.account)
       or exists (select 1 from rests e where e.peer in (select value from json_each(tests.peers)))
  from tests
 where id = ?1
   and finished_at is null
   and login_at is null
   and same_as is null
   and deadline > ?2
   and (not_before is null or not_before <= ?2)
   and (lease_until is null or lease_until < ?2)`

func scanCandidate(r row) (c candidate, err error) {
	err = r.Scan(&c.id, &c.peers, &c.account, &c.credentials, &c.force, &c.suspect)
	return c, err
}

// pause is how long a test waits for a slot before it is looked at again, if
// nobody wakes it.
const pause = time.Second

// refusalOf is what the ledger has against a login at now. Of what it holds,
// the same credential rests for ?5, and ?3 are too many in the window ?4; what
// nobody knows the outcome of counts, but may be tried again.
const refusalOf = `
with l as (
    select max(at) as at, max(code) as code, max(outcome = 'refused' and credential in (select value from json_each(?6))) as same
      from logins
     where peer in (select value from json_each(?1)) and account = ?2 and outcome <> 'passed' and at > ?7 - max(?4, ?5)
     group by lease_id
), f as (
    select (select max(at) + ?5 from l where same) as same, (select at + ?4 from l order by at desc limit 1 offset ?3 - 1) as many,
           (select code from l order by at desc limit 1) as code, (select max(at) from l) as at
), u as (
    select code, at, coalesce(same, 0) as same, max(coalesce(same, 0), coalesce(many, 0)) as until from f
)
select json_object('rule', case when same >= until then 'same_credential' else 'too_many_refused' end, 'code', code, 'at', at, 'retry_at', until)
  from u where until > ?7`

// runningAt are the other tests that hold one of the endpoints ?1. A lease that
// ran out after a login holds them until the test is ended: nobody knows yet
// what became of the login.
const runningAt = `
with r as (
    select id, account, lease_until, login_at from tests
     where lease_id is not null and peer in (select value from json_each(?1))
     union
    select id, account, lease_until, login_at from tests
     where lease_id is not null and json_array_length(peers) > 1
       and exists (select 1 from json_each(peers) m where m.value in (select value from json_each(?1)))
)
select count(*), coalesce(max(account = ?4), 0) from r where id <> ?2 and (lease_until >= ?3 or login_at is not null)`

const restUntil = `
select coalesce(max(until), 0) from rests where peer in (select value from json_each(?1))`

const loginOut = `
select count(*) from logins where peer in (select value from json_each(?1)) and account = ?2 and in_flight_until > ?3`

// refusal asks the ledger; nil is no objection.
func (c candidate) refusal(ctx context.Context, tx *sql.Tx, now int64, l batch.Limits) ([]byte, error) {
	if l.Refusals == 0 || c.force || c.account == "" || sabotage.On(sabotage.SkipLedger) {
		return nil, nil
	}
	ask := sabotage.Edit(sabotage.ForgetCredential, refusalOf, "credential in (select value from json_each(?6))", "?6 is null")
	found, err := collect(ctx, tx, text, ask, c.peers, c.account, l.Refusals, l.RefusalWindow.Microseconds(),
		l.RepeatAfter.Microseconds(), c.credentials, now)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return []byte(found[0]), nil
}

// hold is how long the test must wait, in microseconds; zero: not at all.
func (c candidate) hold(ctx context.Context, tx *sql.Tx, now int64, l batch.Limits) (int64, error) {
	var until int64
	if err := tx.QueryRowContext(ctx, restUntil, c.peers).Scan(&until); err != nil {
		return 0, translate(err)
	}
	if until > now {
		return until - now, nil
	}
	var running, out int
	var busy bool
	if err := tx.QueryRowContext(ctx, runningAt, c.peers, c.id, now, c.account).Scan(&running, &busy); err != nil {
		return 0, translate(err)
	}
	if l.EndpointProbes > 0 && running >= l.EndpointProbes && !sabotage.On(sabotage.SkipEndpointSlot) {
		return pause.Microseconds(), nil
	}
	if l.Refusals == 0 || c.account == "" {
		return 0, nil
	}
	if err := tx.QueryRowContext(ctx, loginOut, c.peers, c.account, now).Scan(&out); err != nil {
		return 0, translate(err)
	}
	if busy && !sabotage.On(sabotage.SkipAccountSlot) || out > 0 {
		return pause.Microseconds(), nil
	}
	return 0, nil
}

const holdTest = `
update tests
   set lease_id = null, lease_until = null, started_at = null, attempt = attempt + 1, held_since = coalesce(held_since, ?2),
       not_before = ?2 + ?3, idle_since = ?2 + ?3
 where id = ?1`

// admit says whether the claimed test may run now. If not, it is held.
func admit(ctx context.Context, tx *sql.Tx, now int64, claim batch.Claim) (admitted bool, refusal []byte, err error) {
	look := sabotage.Edit(sabotage.ClaimAfterLogin, selectCandidate, "\n   and login_at is null", "")
	found, err := collect(ctx, tx, scanCandidate, look, claim.TestID, now)
	if err != nil || len(found) == 0 {
		return false, nil, err
	}
	c := found[0]
	if !c.suspect {
		return true, nil, nil
	}
	if refusal, err = c.refusal(ctx, tx, now, claim.Limits); err != nil || refusal != nil {
		return err == nil, refusal, err
	}
	hold, err := c.hold(ctx, tx, now, claim.Limits)
	if err != nil || hold == 0 {
		return err == nil, nil, err
	}
	_, err = tx.ExecContext(ctx, holdTest, c.id, now, hold)
	return false, nil, translate(err)
}

// pairs is a test by what its two lists hold of each peer.
const pairs = `tests t, json_each(t.peers) p join json_each(t.credentials) k on k.key = p.key`

const noteLogin = `
insert into logins (lease_id, peer, account, credential, at, outcome, code)
select t.lease_id, p.value, t.account, k.value, coalesce(t.login_at, ?5), ?3, ?4
  from ` + pairs + `
 where t.id = ?1 and t.account is not null and t.finished_at is null and t.lease_id = ?2
    on conflict (lease_id, peer) do update set outcome = excluded.outcome, code = excluded.code, in_flight_until = null`

const noteUnknown = `
insert into logins (lease_id, peer, account, credential, at, outcome, code, in_flight_until)
select t.lease_id, p.value, t.account, k.value, t.login_at, 'unknown', ?2, t.lease_until
  from ` + pairs + `
 where t.id = ?1 and t.account is not null and t.finished_at is null and t.lease_id is not null and t.login_at is not null
    on conflict (lease_id, peer) do nothing`

const noteLate = `
update logins set outcome = ?2, code = ?3, in_flight_until = null where lease_id = ?1`

// note writes down what a report says of a login: late, if the test is not the
// lease's any more.
func note(ctx context.Context, tx *sql.Tx, now int64, f batch.Finish, late bool) error {
	outcome, sent := record.LoginOutcome(f.Report)
	var err error
	switch {
	case !sent, late && sabotage.On(sabotage.ForgetLateReport):
	case late:
		_, err = tx.ExecContext(ctx, noteLate, f.LeaseID, string(outcome), string(f.Report.Code))
	case outcome != record.Passed:
		_, err = tx.ExecContext(ctx, noteLogin, f.TestID, f.LeaseID, string(outcome), string(f.Report.Code), now)
	}
	return translate(err)
}

const restPeers = `
insert into rests (peer, until)
select p.value, ?2 from tests t, json_each(t.peers) p where t.id = ?1
    on conflict (peer) do update set until = max(until, excluded.until)`

// rest leaves the test's endpoints alone for a while.
func rest(ctx context.Context, tx *sql.Tx, now int64, testID string, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, restPeers, testID, now+d.Microseconds())
	return translate(err)
}

// wakeHeld wakes as many as may find a slot: those whose account is taken wait
// on, and let others pass.
const wakeHeld = `
update tests
   set attempt = attempt + 1, not_before = ?3, idle_since = ?3
 where id in (select id from tests
               where held_since is not null and lease_id is null
                 and peer in (select peer from tests where id in (select value from json_each(?1)))
               order by deadline, id limit ?2)
returning id, attempt, lane, network`

const waitingFor = `
select f.id from tests l join tests f on f.batch_id = l.batch_id
 where l.id = ?1 and f.share = l.share and f.finished_at is null and f.lease_id is null and f.login_at is null and f.same_as is null
 order by f.entry, f.object`

const sameAsTest = `
select f.id from tests f
 where f.batch_id = (select batch_id from tests where id = ?1) and f.same_as = ?1 and f.finished_at is null
 order by f.entry, f.object`

// endLike ends the tests that the query finds with the report that another
// test has.
func endLike(ctx context.Context, tx *sql.Tx, now int64, query, testID string, report probe.Report) (complete []batch.Completion, err error) {
	alike, err := collect(ctx, tx, text, query, testID)
	if err != nil {
		return nil, err
	}
	for _, id := range alike {
		_, done, err := endTest(ctx, tx, now, id, nil, report)
		if err != nil {
			return nil, err
		}
		complete = append(complete, done...)
	}
	return complete, nil
}

// Forget drops what is no longer of use: see batch.Forgetter.
func (s *Store) Forget(ctx context.Context, age time.Duration) error {
	err := s.write(ctx, func(tx *sql.Tx, now int64) error {
		if _, err := tx.ExecContext(ctx, "delete from logins where at < ?1", now-age.Microseconds()); err != nil {
			return translate(err)
		}
		_, err := tx.ExecContext(ctx, "delete from rests where until < ?1", now)
		return translate(err)
	})
	if err != nil {
		return fmt.Errorf("forget logins: %w", err)
	}
	return nil
}

// orNull is a text of a column that is null when there is none.
func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// listOrNull is jsonList of a column that is null when the list is empty.
func listOrNull(texts []string) (*string, error) {
	if len(texts) == 0 {
		return nil, nil //nolint:nilnil // null is the value
	}
	raw, err := json.Marshal(texts)
	if err != nil {
		return nil, fmt.Errorf("encode list: %w", err)
	}
	return orNull(string(raw)), nil
}
