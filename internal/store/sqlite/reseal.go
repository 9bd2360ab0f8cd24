package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

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

func sealedTables() []sealedTable {
	return []sealedTable{
		{
			name: record.TableCanary, page: "select '1', '', '', '', sealed from keycheck where (cast(id as text), '') > (?1, ?2) limit ?3",
			update: "update keycheck set sealed = ?1 where id = 1 and sealed = ?2 and ?3 || ?4 = ''",
		}, {
			name: record.TableLedgerKey, page: "select '1', '', '', '', sealed from ledgerkey where (cast(id as text), '') > (?1, ?2) limit ?3",
			update: "update ledgerkey set sealed = ?1 where id = 1 and sealed = ?2 and ?3 || ?4 = ''",
		}, {
			name: record.TableJobs, page: pageOfJobs,
			update: "update jobs set sealed = ?1 where sealed = ?2 and project = ?3 and id = ?4",
		}, {
			name: record.TableKeys, page: pageOfKeys,
			update: "update request_keys set sealed = ?1 where sealed = ?2 and project = ?3 and key = ?4",
		}, {
			name: record.TableTests, first: [2]string{"0", ""}, page: pageOfTests,
			update: "update tests set sealed = ?1 where id = ?4 and batch_id = ?3 and sealed = ?2",
		},
	}
}

const pageOfJobs = `
select project, id, project, id, sealed
  from jobs
 where (project, id) > (?1, ?2)
 order by project, id limit ?3`

const pageOfKeys = `
select project, key, project, key, sealed
  from request_keys
 where (project, key) > (?1, ?2)
 order by project, key limit ?3`

const pageOfTests = `
select cast(deadline as text), id, batch_id, id, sealed
  from tests indexed by tests_deadline
 where finished_at is null and (deadline, id) > (cast(?1 as integer), ?2)
 order by deadline, id limit ?3`

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
	defer s.sealer.Hold()()
	var step keyring.Step
	err := s.write(ctx, func(tx *sql.Tx, _ int64) error {
		rows, err := collect(ctx, tx, func(row row) (r record.SealedRow, err error) {
			return r, row.Scan(&at.After[0], &at.After[1], &r.A, &r.B, &r.Sealed)
		}, table.page, at.After[0], at.After[1], limit)
		if err != nil {
			return err
		}
		step.Next = at.Next(len(rows) == limit, len(tables))
		fresh, err := s.sealer.Renew(table.name, rows, &step)
		if err != nil {
			return err
		}
		for _, f := range fresh {
			result, err := tx.ExecContext(ctx, table.update, f.Anew, f.Sealed, f.A, f.B)
			if err != nil {
				return translate(err)
			}
			n, err := result.RowsAffected()
			if err != nil {
				return translate(err)
			}
			step.Add(keyring.Step{Resealed: map[string]int{table.name: int(n)}})
		}
		return nil
	})
	if err != nil {
		return keyring.Step{}, fmt.Errorf("reseal %s: %w", table.name, err)
	}
	return step, nil
}
