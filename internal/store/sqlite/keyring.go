package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"dialtone/internal/keyring"
	"dialtone/internal/secret"
)

const reportKeys = `
insert into keyholders (process, primary_key, keys, sealing, needed, reloads, seen_at)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
on conflict (process) do update
   set primary_key = excluded.primary_key, keys = excluded.keys, sealing = excluded.sealing, needed = excluded.needed,
       reloads = excluded.reloads, seen_at = excluded.seen_at`

// ReportKeys notes what keys a process has: see keyring.Registry.
func (s *Store) ReportKeys(ctx context.Context, h keyring.Holder) error {
	err := s.write(ctx, func(tx *sql.Tx, now int64) error {
		_, err := tx.ExecContext(ctx, reportKeys, h.Process, int64(h.Primary), idList(h.Keys), idList(h.Sealing), idList(h.Needed), h.Reloads, now)
		if err != nil {
			return translate(err)
		}
		_, err = tx.ExecContext(ctx, "delete from keyholders where seen_at < ?1", now-time.Hour.Microseconds())
		return translate(err)
	})
	if err != nil {
		return fmt.Errorf("report keys: %w", err)
	}
	return nil
}

// WithdrawKeys forgets a process: see keyring.Registry.
func (s *Store) WithdrawKeys(ctx context.Context, process string) error {
	_, err := s.changeRows(ctx, func(int64) (string, []any) { return "delete from keyholders where process = ?1", []any{process} })
	if err != nil {
		return fmt.Errorf("withdraw keys: %w", err)
	}
	return nil
}

const selectHolders = `
select process, primary_key, keys, sealing, needed, reloads, ?1 - seen_at
  from keyholders where seen_at >= ?2 order by process`

// KeyHolders lists processes and their keys: see keyring.Registry.
func (s *Store) KeyHolders(ctx context.Context) ([]keyring.Holder, error) {
	now := time.Now()
	holders, err := collect(ctx, s.reader, scanHolder, selectHolders, now.UnixMicro(), now.Add(-time.Hour).UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("list who has which keys: %w", err)
	}
	return holders, nil
}

func scanHolder(r row) (h keyring.Holder, err error) {
	var keys, sealing, needed string
	var age int64
	if err := r.Scan(&h.Process, &h.Primary, &keys, &sealing, &needed, &h.Reloads, &age); err != nil {
		return h, err
	}
	h.Age = time.Duration(age) * time.Microsecond
	for _, list := range []struct {
		text string
		into *[]uint32
	}{{keys, &h.Keys}, {sealing, &h.Sealing}, {needed, &h.Needed}} {
		if err := json.Unmarshal([]byte(list.text), list.into); err != nil {
			return h, fmt.Errorf("decode ids of keys: %w", err)
		}
		if len(*list.into) == 0 {
			*list.into = nil
		}
	}
	return h, nil
}

const sealFence = `
insert into keycheck (id, sealed) values (1, ?1) on conflict (id) do update set sealed = excluded.sealed`

// SealFence seals the canary with the primary key: see keyring.Fence.
func (s *Store) SealFence(ctx context.Context) error {
	canary, err := s.sealer.SealCanary()
	if err == nil {
		_, err = s.changeRows(ctx, func(int64) (string, []any) { return sealFence, []any{canary} })
	}
	if err != nil {
		return fmt.Errorf("seal the canary: %w", err)
	}
	return nil
}

const markKey = `
insert into keymarks (key, mark, marked_at) values (?1, ?2, ?3)
on conflict (key) do update set mark = excluded.mark, marked_at = excluded.marked_at`

// MarkKey marks a key: see keyring.Fence.
func (s *Store) MarkKey(ctx context.Context, id uint32, mark keyring.Mark) error {
	_, err := s.changeRows(ctx, func(now int64) (string, []any) {
		if mark == "" {
			return "delete from keymarks where key = ?1", []any{int64(id)}
		}
		return markKey, []any{int64(id), string(mark), now}
	})
	if err != nil {
		return fmt.Errorf("mark key %d: %w", id, err)
	}
	return nil
}

// KeyMarks lists the marked keys: see keyring.Fence.
func (s *Store) KeyMarks(ctx context.Context) (map[uint32]keyring.Mark, error) {
	marks := map[uint32]keyring.Mark{}
	_, err := collect(ctx, s.reader, func(r row) (struct{}, error) {
		var key uint32
		var mark string
		err := r.Scan(&key, &mark)
		marks[key] = keyring.Mark(mark)
		return struct{}{}, err
	}, "select key, mark from keymarks")
	if err != nil {
		return nil, fmt.Errorf("list marked keys: %w", err)
	}
	return marks, nil
}

const countSealed = `
select 'tests', hex(substr(sealed, 1, 5)), count(*) from tests where finished_at is null and sealed is not null group by 2
union all
select 'jobs', hex(substr(sealed, 1, 5)), count(*) from jobs where sealed is not null group by 2
union all
select 'request_keys', hex(substr(sealed, 1, 5)), count(*) from request_keys group by 2
union all
select 'keycheck', hex(substr(sealed, 1, 5)), count(*) from keycheck group by 2
union all
select 'ledgerkey', hex(substr(sealed, 1, 5)), count(*) from ledgerkey group by 2`

// CountSealed counts what each key has sealed: see keyring.Vault.
func (s *Store) CountSealed(ctx context.Context) (keyring.Census, error) {
	census := keyring.Census{}
	_, err := collect(ctx, s.reader, func(r row) (struct{}, error) {
		var table, prefix string
		var n int
		err := r.Scan(&table, &prefix, &n)
		census.Put(table, secret.SealedByHex(prefix), n)
		return struct{}{}, err
	}, countSealed)
	if err != nil {
		return nil, fmt.Errorf("count what is sealed: %w", err)
	}
	return census, nil
}

// idList are ids as a JSON array.
func idList(ids []uint32) string {
	if ids == nil {
		ids = []uint32{}
	}
	list, _ := json.Marshal(ids) // numbers
	return string(list)
}
