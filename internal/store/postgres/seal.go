package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

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
	var sealed []byte
	// The update changes nothing; it is there so that the row is returned.
	err = s.pool.QueryRow(ctx, `
insert into keycheck (id, sealed) values (1, $1)
on conflict (id) do update set sealed = keycheck.sealed
returning sealed`, canary).Scan(&sealed)
	if err != nil {
		return fmt.Errorf("check keys: %w", translate(err))
	}
	if _, err := s.box.Open(sealed, canaryPlace()); err != nil {
		return fmt.Errorf("check keys: the store was filled under another keyset: %w", err)
	}
	// The canary must not hold an old key in use.
	primary, _ := s.box.KeyIDs()
	if by, ok := secret.SealedBy(sealed); ok && by != primary {
		_, err := s.pool.Exec(ctx, "update keycheck set sealed = $1 where id = 1 and sealed = $2", canary, sealed)
		if err != nil {
			return fmt.Errorf("check keys: %w", translate(err))
		}
	}
	return nil
}

// uuids keeps what can be the id of a row: an id in any other form is not an
// error, there is just no such row.
func uuids(ids []string) []string {
	kept := make([]string, 0, len(ids))
	for _, id := range ids {
		if isUUID(id) {
			kept = append(kept, id)
		}
	}
	return kept
}

// isUUID accepts the canonical form only.
func isUUID(id string) bool {
	if len(id) != 36 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
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
