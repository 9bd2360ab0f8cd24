package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/store/record"
)

const dropOldKey = `
delete from request_keys where project = ?1 and key = ?2 and created_at <= ?3`

const insertKey = `
insert into request_keys (project, key, batch_id, sealed, digest, created_at, held_by, held_until)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)`

// CreateOnce stores the batch, its tests and its key: see batch.Creator.
func (s *Store) CreateOnce(ctx context.Context, b batch.Batch, tests []batch.Test, o batch.Once) (batch.Batch, error) {
	defer s.sealer.Hold()()
	digest, err := s.sealer.DigestRequest(b.Project, o)
	if err != nil {
		return batch.Batch{}, fmt.Errorf("create batch: %w", err)
	}
	return s.create(ctx, b, tests, func(tx *sql.Tx, now int64) error {
		if _, err := tx.ExecContext(ctx, dropOldKey, b.Project, o.Key, now-o.Life.Microseconds()); err != nil {
			return translate(err)
		}
		_, err := tx.ExecContext(ctx, insertKey, b.Project, o.Key, b.ID, digest.Sealed, digest.Sum, now, o.Holder, now+o.Hold.Microseconds())
		return translate(err)
	})
}

const selectKey = `
select k.batch_id, k.sealed, k.digest, k.answer, k.held_until > ?3, b.deadline - ?3
  from request_keys k join batches b on b.id = k.batch_id
 where k.project = ?1 and k.key = ?2 and k.created_at > ?4`

const takeKey = `
update request_keys set held_by = ?3, held_until = ?4
 where project = ?1 and key = ?2 and answer is null and held_until <= ?5`

// RecallKey says what is known of a key: see batch.KeyStore.
func (s *Store) RecallKey(ctx context.Context, project string, o batch.Once) (batch.Recalled, error) {
	var row record.KeyRow
	now := time.Now().UnixMicro()
	err := s.reader.QueryRowContext(ctx, selectKey, project, o.Key, now, now-o.Life.Microseconds()).
		Scan(&row.BatchID, &row.Digest.Sealed, &row.Digest.Sum, &row.Answer, &row.Held, &row.Remaining)
	if errors.Is(err, sql.ErrNoRows) {
		return batch.Recalled{State: batch.KeyFree}, nil
	}
	if err != nil {
		return batch.Recalled{}, fmt.Errorf("look up a key: %w", translate(err))
	}
	known, err := s.sealer.Recall(project, o, row)
	if err != nil || known.State != batch.KeyYours {
		return known, err
	}
	taken, err := s.changeRows(ctx, func(now int64) (string, []any) {
		return takeKey, []any{project, o.Key, o.Holder, now + o.Hold.Microseconds(), now}
	})
	if err != nil {
		return batch.Recalled{}, fmt.Errorf("take a key over: %w", err)
	}
	if taken == 0 { // somebody was quicker
		known.State, known.Remaining = batch.KeyHeld, 0
	}
	return known, nil
}

const keepAnswer = `
update request_keys set answer = ?3 where project = ?1 and key = ?2 and answer is null`

// AnswerKey keeps an answer: see batch.KeyStore.
func (s *Store) AnswerKey(ctx context.Context, project, key string, answer []byte) error {
	_, err := s.changeRows(ctx, func(int64) (string, []any) { return keepAnswer, []any{project, key, answer} })
	if err != nil {
		return fmt.Errorf("keep an answer: %w", err)
	}
	return nil
}

const renewKeys = `
update request_keys set held_until = ?3
 where batch_id in (select value from json_each(?2)) and held_by = ?1 and answer is null`

// RenewKeys extends holds: see batch.KeyStore.
func (s *Store) RenewKeys(ctx context.Context, holder string, batchIDs []string, hold time.Duration) error {
	list, err := jsonList(batchIDs)
	if err == nil {
		_, err = s.changeRows(ctx, func(now int64) (string, []any) {
			return renewKeys, []any{holder, list, now + hold.Microseconds()}
		})
	}
	if err != nil {
		return fmt.Errorf("renew holds: %w", err)
	}
	return nil
}

const releaseKey = `
update request_keys set held_until = ?4 where project = ?1 and key = ?2 and held_by = ?3 and answer is null`

// ReleaseKey ends a hold: see batch.KeyStore.
func (s *Store) ReleaseKey(ctx context.Context, project, key, holder string) error {
	_, err := s.changeRows(ctx, func(now int64) (string, []any) { return releaseKey, []any{project, key, holder, now} })
	if err != nil {
		return fmt.Errorf("release a key: %w", err)
	}
	return nil
}

// changeRows makes one statement, and says how many rows it changed.
func (s *Store) changeRows(ctx context.Context, statement func(now int64) (string, []any)) (n int64, err error) {
	err = s.write(ctx, func(tx *sql.Tx, now int64) error {
		query, args := statement(now)
		result, err := tx.ExecContext(ctx, query, args...)
		if err != nil {
			return translate(err)
		}
		n, err = result.RowsAffected()
		return translate(err)
	})
	return n, err
}
