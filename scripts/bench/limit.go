package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

// limit makes the probes of a batch with one goroutine each, and writes what
// came of them with one insert. With accept it first stores the batch and its
// tests, secrets sealed, in one transaction: less than that nobody may do who
// answers for a batch once it is accepted.
type limit struct {
	pool    *pgxpool.Pool
	box     *secret.Box
	runner  *probe.Runner
	targets []probe.Target
	accept  bool
}

const limitTables = `
create table if not exists limit_batches (
    id         uuid        not null primary key,
    project    text        not null,
    entries    integer     not null,
    created_at timestamptz not null,
    deadline   timestamptz not null
);
create table if not exists limit_tests (
    id         uuid        not null primary key,
    batch_id   uuid        not null,
    entry      integer     not null,
    job_id     text        not null,
    endpoint   json        not null,
    sealed     bytea       not null,
    created_at timestamptz not null
);
create table if not exists limit_results (
    test_id     uuid        not null primary key,
    batch_id    uuid        not null,
    ok          boolean     not null,
    report      json        not null,
    finished_at timestamptz not null
);`

const acceptBatch = `
insert into limit_batches (id, project, entries, created_at, deadline)
values ($1, $2, $3, now(), now() + interval '1 minute')`

const acceptTests = `
insert into limit_tests (id, batch_id, entry, job_id, endpoint, sealed, created_at)
select n.id::uuid, $1, n.entry, n.job_id, n.endpoint::json, n.sealed, now()
  from unnest($2::text[], $3::integer[], $4::text[], $5::text[], $6::bytea[]) as n (id, entry, job_id, endpoint, sealed)`

const insertResults = `
insert into limit_results (test_id, batch_id, ok, report, finished_at)
select n.id::uuid, $1, n.ok, n.report::json, now()
  from unnest($2::text[], $3::boolean[], $4::text[]) as n (id, ok, report)`

func newLimit(ctx context.Context, g *ground, pool *pgxpool.Pool, s subject, size int, accept bool) (*limit, error) {
	if _, err := pool.Exec(ctx, limitTables); err != nil {
		return nil, err
	}
	l := &limit{pool: pool, box: g.box, runner: s.runner, accept: accept}
	for range size {
		l.targets = append(l.targets, s.endpoint.Target(project, probe.VerifyCA))
	}
	return l, nil
}

// once does what a batch needs.
func (l *limit) once(ctx context.Context) error { return l.do(ctx, l.targets) }

func (l *limit) do(ctx context.Context, targets []probe.Target) error {
	batchID := batch.NewID()
	ids := make([]string, len(targets))
	for i := range ids {
		ids[i] = batch.NewID()
	}
	if l.accept {
		if err := l.store(ctx, batchID, ids, targets); err != nil {
			return err
		}
	}
	reports := make([]probe.Report, len(ids))
	faults := make([]error, len(ids))
	var probing sync.WaitGroup
	for i := range ids {
		probing.Go(func() { reports[i], faults[i] = l.runner.Run(ctx, targets[i]) })
	}
	probing.Wait()
	ok, texts := make([]bool, len(ids)), make([]string, len(ids))
	for i, r := range reports {
		if faults[i] != nil || !r.OK() {
			return fmt.Errorf("a probe ended as %s: %w", r.Code, errors.Join(faults...))
		}
		text, err := json.Marshal(r)
		if err != nil {
			return err
		}
		ok[i], texts[i] = r.OK(), string(text)
	}
	_, err := l.pool.Exec(ctx, insertResults, batchID, ids, ok, texts)
	return err
}

// store accepts a batch: one round trip, one transaction.
func (l *limit) store(ctx context.Context, batchID string, ids []string, targets []probe.Target) error {
	entries, jobs := make([]int, len(ids)), make([]string, len(ids))
	endpoints, sealed := make([]string, len(ids)), make([][]byte, len(ids))
	for i, id := range ids {
		open, secrets := targets[i].Split()
		endpoint, err := json.Marshal(open)
		if err != nil {
			return err
		}
		plain, err := json.Marshal(secrets)
		if err != nil {
			return err
		}
		if sealed[i], err = l.box.Seal(plain, []byte(batchID+"/"+id)); err != nil {
			return err
		}
		entries[i], jobs[i], endpoints[i] = i, jobID(i), string(endpoint)
	}
	var both pgx.Batch
	both.Queue(acceptBatch, batchID, project, len(ids))
	both.Queue(acceptTests, batchID, ids, entries, jobs, endpoints, sealed)
	return l.pool.SendBatch(ctx, &both).Close()
}
