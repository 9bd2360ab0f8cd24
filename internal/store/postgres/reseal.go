package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"dialtone/internal/keyring"
	"dialtone/internal/store/record"
)

// sealedTable is how a step of a reseal walks through a table: by an index, from
// a place of two columns on, and how it changes a row that is still as it was read.
type sealedTable struct {
	name string
	// page takes the place and a limit, and gives the next places with the row's
	// key and the sealed value.
	page string
	// first is before any place.
	first [2]string
	// update takes the new value, the old one, and the row's key.
	update string
}

// sealedTables are all that hold sealed values. Open tests come last: there are
// fewer of them the longer it takes.
func sealedTables() []sealedTable {
	return []sealedTable{
		{
			name:   record.TableCanary,
			page:   "select '1', '', '', '', c.sealed from keycheck c where (c.id::text, '') > ($1::text, $2::text) order by c.id limit $3",
			update: "update keycheck c set sealed = $1 where c.id = 1 and c.sealed = $2 and $3::text || $4::text = ''",
		}, {
			name:   record.TableLedgerKey,
			page:   "select '1', '', '', '', l.sealed from ledgerkey l where (l.id::text, '') > ($1::text, $2::text) order by l.id limit $3",
			update: "update ledgerkey l set sealed = $1 where l.id = 1 and l.sealed = $2 and $3::text || $4::text = ''",
		}, {
			name: record.TableJobs, page: pageOfJobs,
			update: "update jobs j set sealed = $1 where (j.sealed = $2) is true and j.project = $3 and j.id = $4",
		}, {
			name: record.TableKeys, page: pageOfKeys,
			update: "update request_keys k set sealed = $1 where (k.sealed = $2) is true and k.project = $3 and k.key = $4",
		}, {
			name: record.TableTests, first: [2]string{"-infinity", "00000000-0000-0000-0000-000000000000"}, page: pageOfTests,
			update: resealTest,
		},
	}
}

const pageOfJobs = `
select j.id, j.project, j.project, j.id, j.sealed
  from jobs j
 where (j.id, j.project) > ($1, $2)
 order by j.id, j.project limit $3`

const pageOfKeys = `
select k.project, k.key, k.project, k.key, k.sealed
  from request_keys k
 where (k.project, k.key) > ($1, $2)
 order by k.project, k.key limit $3`

const pageOfTests = `
select t.deadline::text, t.id::text, t.batch_id::text, t.id::text, t.sealed
  from tests t
 where t.finished_at is null and (t.deadline, t.id) > ($1::text::timestamptz, $2::text::uuid)
 order by t.deadline, t.id limit $3`

// A finished test has nothing sealed.
const resealTest = `
update tests t set sealed = $1
 where t.id = $4::text::uuid and (t.sealed = $2 and t.batch_id = $3::text::uuid) is true`

// Reseal seals anew with the primary key: see keyring.Vault.
func (s *Store) Reseal(ctx context.Context, after string, limit int) (keyring.Step, error) {
	at := record.ResealPlace{}
	if after != "" {
		if err := json.Unmarshal([]byte(after), &at); err != nil {
			return keyring.Step{}, fmt.Errorf("reseal: no such place: %w", err)
		}
	}
	tables := sealedTables()
	if at.Table >= len(tables) {
		return keyring.Step{}, nil
	}
	table := tables[at.Table]
	if at.After == [2]string{} {
		at.After = table.first
	}
	rows, err := collect(ctx, s.pool, func(row pgx.CollectableRow) (r record.SealedRow, err error) {
		return r, row.Scan(&at.After[0], &at.After[1], &r.A, &r.B, &r.Sealed)
	}, table.page, at.After[0], at.After[1], limit)
	if err != nil {
		return keyring.Step{}, fmt.Errorf("reseal %s: %w", table.name, err)
	}
	step := keyring.Step{Next: at.Next(len(rows) == limit, len(tables))}
	release := s.sealer.Hold()
	defer release()
	fresh, err := s.sealer.Renew(table.name, rows, &step)
	if err != nil {
		return keyring.Step{}, fmt.Errorf("reseal %s: %w", table.name, err)
	}
	if err := s.renew(ctx, table, fresh, &step); err != nil {
		return keyring.Step{}, fmt.Errorf("reseal %s: %w", table.name, translate(err))
	}
	return step, nil
}

// renew writes what was sealed anew where the old value still stands, in the
// order of the ids, as whoever locks several tests does.
func (s *Store) renew(ctx context.Context, table sealedTable, fresh []record.Fresh, step *keyring.Step) error {
	record.InLockOrder(fresh)
	var all pgx.Batch
	changed := 0
	for _, f := range fresh {
		all.Queue(table.update, f.Anew, f.Sealed, f.A, f.B).Exec(func(tag pgconn.CommandTag) error {
			changed += int(tag.RowsAffected())
			return nil
		})
	}
	if all.Len() == 0 {
		return nil
	}
	if err := s.pool.SendBatch(ctx, &all).Close(); err != nil {
		return err
	}
	step.Add(keyring.Step{Resealed: map[string]int{table.name: changed}})
	return nil
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
