package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"dialtone/internal/batch"
	"dialtone/internal/store/record"
)

// A key whose time is over makes room for a new one.
const dropOldKey = `
delete from request_keys where project = $1 and key = $2 and created_at <= clock_timestamp() - $3::interval`

const insertKey = `
insert into request_keys (project, key, batch_id, sealed, digest, created_at, held_by, held_until)
values ($1, $2, $3, $4, $5, clock_timestamp(), $6, clock_timestamp() + $7::interval)`

// CreateOnce stores the batch, its tests and its key: see batch.Creator. Of two
// that come at once the second waits for the first's transaction.
func (s *Store) CreateOnce(ctx context.Context, b batch.Batch, tests []batch.Test, o batch.Once) (batch.Batch, error) {
	defer s.sealer.Hold()()
	digest, err := s.sealer.DigestRequest(b.Project, o)
	if err != nil {
		return batch.Batch{}, fmt.Errorf("create batch: %w", err)
	}
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return batch.Batch{}, fmt.Errorf("create batch: %w", translate(err))
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing to undo after a commit
	if b, err = s.create(ctx, tx, b, tests); err != nil {
		return batch.Batch{}, err
	}
	var both pgx.Batch
	both.Queue(dropOldKey, b.Project, o.Key, o.Life)
	both.Queue(insertKey, b.Project, o.Key, b.ID, digest.Sealed, digest.Sum, o.Holder, o.Hold)
	if err = tx.SendBatch(ctx, &both).Close(); err == nil {
		err = tx.Commit(ctx)
	}
	if err != nil {
		return batch.Batch{}, fmt.Errorf("create batch: %w", translate(err))
	}
	return b, nil
}

const selectKey = `
select k.batch_id, k.sealed, k.digest, k.answer, k.held_until > clock_timestamp(),
       (extract(epoch from b.deadline - clock_timestamp()) * 1000000)::bigint
  from request_keys k join batches b on b.id = k.batch_id
 where k.project = $1 and k.key = $2 and (k.created_at > clock_timestamp() - $3::interval) is true`

const takeKey = `
update request_keys set held_by = $3, held_until = clock_timestamp() + $4::interval
 where project = $1 and key = $2 and (answer is null and held_until <= clock_timestamp()) is true`

// RecallKey says what is known of a key: see batch.KeyStore.
func (s *Store) RecallKey(ctx context.Context, project string, o batch.Once) (batch.Recalled, error) {
	if !isStorable(project) || !isStorable(o.Key) {
		return batch.Recalled{State: batch.KeyFree}, nil
	}
	var row record.KeyRow
	err := s.pool.QueryRow(ctx, selectKey, project, o.Key, o.Life).
		Scan(&row.BatchID, &row.Digest.Sealed, &row.Digest.Sum, &row.Answer, &row.Held, &row.Remaining)
	if errors.Is(err, pgx.ErrNoRows) {
		return batch.Recalled{State: batch.KeyFree}, nil
	}
	if err != nil {
		return batch.Recalled{}, fmt.Errorf("look up a key: %w", translate(err))
	}
	known, err := s.sealer.Recall(project, o, row)
	if err != nil || known.State != batch.KeyYours {
		return known, err
	}
	taken, err := s.pool.Exec(ctx, takeKey, project, o.Key, o.Holder, o.Hold)
	if err != nil {
		return batch.Recalled{}, fmt.Errorf("take a key over: %w", translate(err))
	}
	if taken.RowsAffected() == 0 { // somebody was quicker
		known.State, known.Remaining = batch.KeyHeld, 0
	}
	return known, nil
}

const keepAnswer = `
update request_keys set answer = $3 where project = $1 and key = $2 and (answer is null) is true`

// AnswerKey keeps an answer: see batch.KeyStore.
func (s *Store) AnswerKey(ctx context.Context, project, key string, answer []byte) error {
	if _, err := s.pool.Exec(ctx, keepAnswer, project, key, answer); err != nil {
		return fmt.Errorf("keep an answer: %w", translate(err))
	}
	return nil
}

const renewKeys = `
update request_keys set held_until = clock_timestamp() + $3::interval
 where batch_id = any($2::text[]::uuid[]) and (held_by = $1 and answer is null) is true`

// RenewKeys extends holds: see batch.KeyStore.
func (s *Store) RenewKeys(ctx context.Context, holder string, batchIDs []string, hold time.Duration) error {
	if _, err := s.pool.Exec(ctx, renewKeys, holder, uuids(batchIDs), hold); err != nil {
		return fmt.Errorf("renew holds: %w", translate(err))
	}
	return nil
}

const releaseKey = `
update request_keys set held_until = clock_timestamp()
 where project = $1 and key = $2 and (held_by = $3 and answer is null) is true`

// ReleaseKey ends a hold: see batch.KeyStore.
func (s *Store) ReleaseKey(ctx context.Context, project, key, holder string) error {
	if _, err := s.pool.Exec(ctx, releaseKey, project, key, holder); err != nil {
		return fmt.Errorf("release a key: %w", translate(err))
	}
	return nil
}
