package postgres

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"dialtone/internal/secret"
	"dialtone/internal/store/record"
)

// CheckKeys is CheckKeyset of the store's own.
func (s *Store) CheckKeys(ctx context.Context) error {
	if err := s.CheckKeyset(ctx, s.sealer.Box()); err != nil {
		return err
	}
	if _, err := s.ledgerKey(ctx); err != nil {
		return fmt.Errorf("check keys: %w", err)
	}
	return nil
}

const selectFence = `
select (select c.sealed from keycheck c where c.id = 1), (select l.sealed from ledgerkey l where l.id = 1),
       exists (select from keymarks m where m.key = $1 and m.mark = 'retired')`

// CheckKeyset says whether the box opens what the store holds, by a canary that
// the first process to ask leaves there: see keyring.Fence.
func (s *Store) CheckKeyset(ctx context.Context, box *secret.Box) error {
	sealer := record.NewSealer(box)
	primary, _ := box.KeyIDs()
	for {
		var canary, ledger []byte
		var retired bool
		if err := s.pool.QueryRow(ctx, selectFence, int64(primary)).Scan(&canary, &ledger, &retired); err != nil {
			return fmt.Errorf("check keys: %w", translate(err))
		}
		if canary == nil {
			fresh, err := sealer.SealCanary()
			if err != nil {
				return fmt.Errorf("check keys: %w", err)
			}
			if _, err = s.pool.Exec(ctx, "insert into keycheck (id, sealed) values (1, $1) on conflict (id) do nothing", fresh); err != nil {
				return fmt.Errorf("check keys: %w", translate(err))
			}
			continue
		}
		return sealer.CheckFence(canary, ledger, retired)
	}
}

// proven says whether the keyset has opened something that the store holds.
// Until then nothing is claimed and nothing sealed: a process with keys of its
// own would end tests that others can make, and store what nobody can open.
func (s *Store) proven(ctx context.Context) error {
	_, err := s.ledgerKey(ctx)
	return err
}

// ledgerKey gives the key of the ledger's digests, which the first process to
// ask draws. It is read once: it never changes.
func (s *Store) ledgerKey(ctx context.Context) (record.LedgerKey, error) {
	if key := s.ledger.Load(); key != nil {
		return *key, nil
	}
	defer s.sealer.Hold()()
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
	key, err := s.sealer.OpenLedgerKey(sealed)
	if err != nil {
		return nil, err
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
