package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

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
select (select sealed from keycheck where id = 1), (select sealed from ledgerkey where id = 1),
       exists (select 1 from keymarks where key = ?1 and mark = 'retired')`

// CheckKeyset says whether the box opens what the store holds, by a canary that
// the first process to ask leaves there: see keyring.Fence.
func (s *Store) CheckKeyset(ctx context.Context, box *secret.Box) error {
	sealer := record.NewSealer(box)
	primary, _ := box.KeyIDs()
	for {
		var canary, ledger []byte
		var retired bool
		if err := s.reader.QueryRowContext(ctx, selectFence, int64(primary)).Scan(&canary, &ledger, &retired); err != nil {
			return fmt.Errorf("check keys: %w", translate(err))
		}
		if canary == nil {
			fresh, err := sealer.SealCanary()
			if err != nil {
				return fmt.Errorf("check keys: %w", err)
			}
			_, err = s.changeRows(ctx, func(int64) (string, []any) {
				return "insert into keycheck (id, sealed) values (1, ?1) on conflict (id) do nothing", []any{fresh}
			})
			if err != nil {
				return fmt.Errorf("check keys: %w", err)
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
	var key record.LedgerKey
	err = s.write(ctx, func(tx *sql.Tx, _ int64) error {
		_, err := tx.ExecContext(ctx, "insert into ledgerkey (id, sealed) values (1, ?1) on conflict (id) do nothing", fresh)
		if err != nil {
			return translate(err)
		}
		var sealed []byte
		if err := tx.QueryRowContext(ctx, "select sealed from ledgerkey where id = 1").Scan(&sealed); err != nil {
			return translate(err)
		}
		key, err = s.sealer.OpenLedgerKey(sealed)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("key of the ledger: %w", err)
	}
	s.ledger.Store(&key)
	return key, nil
}

// jsonList is how a list gets into a statement, for json_each.
func jsonList(texts []string) (string, error) {
	if texts == nil {
		texts = []string{}
	}
	list, err := json.Marshal(texts)
	if err != nil {
		return "", fmt.Errorf("encode list: %w", err)
	}
	return string(list), nil
}
