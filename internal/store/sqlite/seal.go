package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

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
	err = s.write(ctx, func(tx *sql.Tx, _ int64) error {
		_, err := tx.ExecContext(ctx, "insert into keycheck (id, sealed) values (1, ?1) on conflict (id) do nothing", canary)
		if err != nil {
			return translate(err)
		}
		var sealed []byte
		if err := tx.QueryRowContext(ctx, "select sealed from keycheck where id = 1").Scan(&sealed); err != nil {
			return translate(err)
		}
		stale, err := s.sealer.CheckCanary(sealed)
		if err != nil {
			return err
		}
		if stale {
			_, err = tx.ExecContext(ctx, "update keycheck set sealed = ?1 where id = 1", canary)
		}
		return translate(err)
	})
	if err != nil {
		return fmt.Errorf("check keys: %w", err)
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
		var stale bool
		if key, stale, err = s.sealer.OpenLedgerKey(sealed); err != nil || !stale {
			return err
		}
		again, err := s.sealer.SealLedgerKey(key)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "update ledgerkey set sealed = ?1 where id = 1", again)
		return translate(err)
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
