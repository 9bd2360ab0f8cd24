package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

// What is sealed is bound to its row: moved to another one it does not open.
func testPlace(batchID, testID string) []byte { return []byte(batchID + "/" + testID) }
func jobPlace(project, id string) []byte      { return []byte("job/" + project + "/" + id) }
func canaryPlace() []byte                     { return []byte("keycheck") }

// sealTest seals a test's secrets; nil when it has none.
func (s *Store) sealTest(batchID, testID string, secrets probe.Secrets) ([]byte, error) {
	if len(secrets) == 0 {
		return nil, nil
	}
	plain, err := json.Marshal(secrets)
	if err != nil {
		return nil, fmt.Errorf("encode secrets: %w", err)
	}
	sealed, err := s.box.Seal(plain, testPlace(batchID, testID))
	if err != nil {
		return nil, fmt.Errorf("seal secrets: %w", err)
	}
	return sealed, nil
}

// openTest is the reverse of sealTest.
func (s *Store) openTest(batchID, testID string, sealed []byte) (probe.Secrets, error) {
	if sealed == nil {
		return nil, nil
	}
	plain, err := s.box.Open(sealed, testPlace(batchID, testID))
	if err != nil {
		return nil, err
	}
	var secrets probe.Secrets
	if err := json.Unmarshal(plain, &secrets); err != nil {
		return nil, errors.New("sealed secrets are not what was sealed") // the decoder's text may quote them
	}
	return secrets, nil
}

// CheckKeys says whether the Box opens what the store holds, by a canary that
// the first process to ask leaves there. It errs with secret.ErrOpen when the
// store was filled under other keys.
func (s *Store) CheckKeys(ctx context.Context) error {
	canary, err := s.box.Seal([]byte("canary"), canaryPlace())
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
		if _, err := s.box.Open(sealed, canaryPlace()); err != nil {
			return fmt.Errorf("the store was filled under another keyset: %w", err)
		}
		// The canary must not hold an old key in use.
		primary, _ := s.box.KeyIDs()
		if by, ok := secret.SealedBy(sealed); ok && by != primary {
			_, err = tx.ExecContext(ctx, "update keycheck set sealed = ?1 where id = 1", canary)
		}
		return translate(err)
	})
	if err != nil {
		return fmt.Errorf("check keys: %w", err)
	}
	return nil
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
