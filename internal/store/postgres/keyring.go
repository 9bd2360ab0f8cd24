package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"dialtone/internal/keyring"
	"dialtone/internal/secret"
)

const reportKeys = `
insert into keyholders (process, primary_key, keys, sealing, needed, reloads, seen_at)
values ($1, $2, $3, $4, $5, $6, clock_timestamp())
on conflict (process) do update
   set primary_key = excluded.primary_key, keys = excluded.keys, sealing = excluded.sealing, needed = excluded.needed,
       reloads = excluded.reloads, seen_at = excluded.seen_at`

// Every process does this at its own pace: skip what another is removing.
const forgetHolders = `
delete from keyholders
 where process = any(array(select h.process from keyholders h
                            where h.seen_at < statement_timestamp() - interval '1 hour' for update skip locked))`

// ReportKeys notes what keys a process has: see keyring.Registry.
func (s *Store) ReportKeys(ctx context.Context, h keyring.Holder) error {
	var both pgx.Batch
	both.Queue(reportKeys, h.Process, int64(h.Primary), bigints(h.Keys), bigints(h.Sealing), bigints(h.Needed), h.Reloads)
	both.Queue(forgetHolders)
	if err := s.pool.SendBatch(ctx, &both).Close(); err != nil {
		return fmt.Errorf("report keys: %w", translate(err))
	}
	return nil
}

// WithdrawKeys forgets a process: see keyring.Registry.
func (s *Store) WithdrawKeys(ctx context.Context, process string) error {
	if _, err := s.pool.Exec(ctx, "delete from keyholders where process = $1", process); err != nil {
		return fmt.Errorf("withdraw keys: %w", translate(err))
	}
	return nil
}

// A process that says every minute where it listens and nothing of its keys is
// of a version that does not.
const selectHolders = `
select h.process, h.primary_key, h.keys, h.sealing, h.needed, h.reloads,
       (extract(epoch from statement_timestamp() - h.seen_at) * 1000000)::bigint
  from keyholders h
 where h.seen_at >= statement_timestamp() - interval '1 hour'
union all
select l.process, 0, '{}', '{}', '{}', false, 0
  from listeners l
 where l.seen_at >= statement_timestamp() - interval '2 minutes'
   and not exists (select from keyholders h where h.process = l.process)
 group by l.process
 order by 1`

// KeyHolders lists processes and their keys: see keyring.Registry.
func (s *Store) KeyHolders(ctx context.Context) ([]keyring.Holder, error) {
	holders, err := collect(ctx, s.pool, scanHolder, selectHolders)
	if err != nil {
		return nil, fmt.Errorf("list who has which keys: %w", err)
	}
	return holders, nil
}

func scanHolder(row pgx.CollectableRow) (keyring.Holder, error) {
	var h keyring.Holder
	var primary, age int64
	var keys, sealing, needed []int64
	err := row.Scan(&h.Process, &primary, &keys, &sealing, &needed, &h.Reloads, &age)
	h.Primary, h.Keys, h.Sealing, h.Needed = uint32(primary), ids(keys), ids(sealing), ids(needed) //nolint:gosec // as ReportKeys wrote it
	h.Age = micros(age)
	return h, err
}

// SealFence seals the canary with the primary key: see keyring.Fence.
func (s *Store) SealFence(ctx context.Context) error {
	canary, err := s.sealer.SealCanary()
	if err != nil {
		return fmt.Errorf("seal the canary: %w", err)
	}
	_, err = s.pool.Exec(ctx, "insert into keycheck (id, sealed) values (1, $1) on conflict (id) do update set sealed = excluded.sealed", canary)
	if err != nil {
		return fmt.Errorf("seal the canary: %w", translate(err))
	}
	return nil
}

// MarkKey marks a key: see keyring.Fence.
func (s *Store) MarkKey(ctx context.Context, id uint32, mark keyring.Mark) error {
	var err error
	if mark == "" {
		_, err = s.pool.Exec(ctx, "delete from keymarks where key = $1", int64(id))
	} else {
		_, err = s.pool.Exec(ctx, `
insert into keymarks (key, mark, marked_at) values ($1, $2, clock_timestamp())
on conflict on constraint keymarks_pkey do update set mark = excluded.mark, marked_at = excluded.marked_at`, int64(id), mark)
	}
	if err != nil {
		return fmt.Errorf("mark key %d: %w", id, translate(err))
	}
	return nil
}

// KeyMarks lists the marked keys: see keyring.Fence.
func (s *Store) KeyMarks(ctx context.Context) (map[uint32]keyring.Mark, error) {
	marks := map[uint32]keyring.Mark{}
	_, err := collect(ctx, s.pool, func(row pgx.CollectableRow) (struct{}, error) {
		var key int64
		var mark keyring.Mark
		err := row.Scan(&key, &mark)
		marks[uint32(key)] = mark //nolint:gosec // as MarkKey wrote it
		return struct{}{}, err
	}, "select m.key, m.mark from keymarks m")
	if err != nil {
		return nil, fmt.Errorf("list marked keys: %w", err)
	}
	return marks, nil
}

// What Seal makes begins with a byte for the form and four for the key.
const countSealed = `
select 'tests', encode(substr(t.sealed, 1, 5), 'hex'), count(*) from tests t where t.finished_at is null and t.sealed is not null group by 2
union all
select 'jobs', encode(substr(j.sealed, 1, 5), 'hex'), count(*) from jobs j where j.sealed is not null group by 2
union all
select 'request_keys', encode(substr(k.sealed, 1, 5), 'hex'), count(*) from request_keys k group by 2
union all
select 'keycheck', encode(substr(c.sealed, 1, 5), 'hex'), count(*) from keycheck c group by 2
union all
select 'ledgerkey', encode(substr(l.sealed, 1, 5), 'hex'), count(*) from ledgerkey l group by 2`

// CountSealed counts what each key has sealed: see keyring.Vault.
func (s *Store) CountSealed(ctx context.Context) (keyring.Census, error) {
	census := keyring.Census{}
	_, err := collect(ctx, s.pool, func(row pgx.CollectableRow) (struct{}, error) {
		var table, prefix string
		var n int
		err := row.Scan(&table, &prefix, &n)
		census.Put(table, secret.SealedByHex(prefix), n)
		return struct{}{}, err
	}, countSealed)
	if err != nil {
		return nil, fmt.Errorf("count what is sealed: %w", err)
	}
	return census, nil
}

// bigints are ids as an array of the table has them.
func bigints(ids []uint32) []int64 {
	all := make([]int64, len(ids))
	for i, id := range ids {
		all[i] = int64(id)
	}
	return all
}

// ids is the reverse of bigints.
func ids(all []int64) []uint32 {
	var list []uint32
	for _, id := range all {
		list = append(list, uint32(id)) //nolint:gosec // as bigints made it
	}
	return list
}
