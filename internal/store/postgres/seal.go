package postgres

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"dialtone/internal/store/record"
)

// CheckKeys says whether the Box opens what the store holds, by a canary that
// the first process to ask leaves there. It errs with secret.ErrOpen when the
// store was filled under other keys.
func (s *Store) CheckKeys(ctx context.Context) error {
	canary, err := s.sealer.SealCanary()
	if err != nil {
		return fmt.Errorf("check keys: %w", err)
	}
	var sealed []byte
	// The update changes nothing; it is there so that the row is returned.
	err = s.pool.QueryRow(ctx, `
insert into keycheck (id, sealed) values (1, $1)
on conflict (id) do update set sealed = keycheck.sealed
returning sealed`, canary).Scan(&sealed)
	if err != nil {
		return fmt.Errorf("check keys: %w", translate(err))
	}
	stale, err := s.sealer.CheckCanary(sealed)
	if err != nil {
		return fmt.Errorf("check keys: %w", err)
	}
	if stale {
		_, err := s.pool.Exec(ctx, "update keycheck set sealed = $1 where id = 1 and sealed = $2", canary, sealed)
		if err != nil {
			return fmt.Errorf("check keys: %w", translate(err))
		}
	}
	if _, err := s.ledgerKey(ctx); err != nil {
		return fmt.Errorf("check keys: %w", err)
	}
	return nil
}

// ledgerKey gives the key of the ledger's digests, which the first process to
// ask draws. It is read once: it never changes.
func (s *Store) ledgerKey(ctx context.Context) (record.LedgerKey, error) {
	if key := s.ledger.Load(); key != nil {
		return *key, nil
	}
	fresh, err := s.sealer.NewLedgerKey()
	if err != nil {
		return nil, err
	}
	var sealed []byte
	err = s.pool.QueryRow(ctx, `
insert into ledgerkey (id, sealed) values (1, $1)
on conflict (id) do update set sealed = ledgerkey.sealed
returning sealed`, fresh).Scan(&sealed)
	if err != nil {
		return nil, fmt.Errorf("read the key of the ledger: %w", translate(err))
	}
	key, stale, err := s.sealer.OpenLedgerKey(sealed)
	if err != nil {
		return nil, err
	}
	if stale {
		again, err := s.sealer.SealLedgerKey(key)
		if err != nil {
			return nil, err
		}
		if _, err := s.pool.Exec(ctx, "update ledgerkey set sealed = $1 where id = 1 and sealed = $2", again, sealed); err != nil {
			return nil, fmt.Errorf("seal the key of the ledger: %w", translate(err))
		}
	}
	s.ledger.Store(&key)
	return key, nil
}

// uuids keeps what can be the id of a row: an id in any other form is not an
// error, there is just no such row.
func uuids(ids []string) []string {
	kept := make([]string, 0, len(ids))
	for _, id := range ids {
		if record.IsUUID(id) {
			kept = append(kept, id)
		}
	}
	return kept
}

// storable keeps the texts that a text column can hold; no row has any other.
func storable(texts []string) []string {
	kept := make([]string, 0, len(texts))
	for _, t := range texts {
		if isStorable(t) {
			kept = append(kept, t)
		}
	}
	return kept
}

func isStorable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsRune(text, 0)
}

// collect runs a query and gathers its rows.
func collect[T any](ctx context.Context, q querier, row pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, translate(err)
	}
	all, err := pgx.CollectRows(rows, row)
	if err != nil {
		return nil, translate(err)
	}
	return all, nil
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}
