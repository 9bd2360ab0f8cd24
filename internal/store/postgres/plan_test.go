package postgres_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"dialtone/internal/batch"
	"dialtone/internal/store/postgres"
)

// fill makes 2,000 batches of 10 tests, of which one in twenty is open and one
// in a hundred is being probed, and as many jobs.
const fill = `
insert into batches (id, project, call, lane, entries, total, open, caller, reply_to, trace, created_at, deadline, finished_at)
select gen_random_uuid(), 'project-' || i % 10, 'connection', 'interactive', 10, 10, case when i % 20 = 0 then 10 else 0 end,
       '', '', '', now() - i * interval '1 s', now() + i * interval '1 s', case when i % 20 = 0 then null else now() end
  from generate_series(1, 2000) i;

insert into batch_jobs (project, job_id, created_at, batch_id)
select b.project, 'job-' || e, b.created_at, b.id from batches b, generate_series(0, 9) e;

insert into tests (id, batch_id, project, entry, object, job_id, end_point_type, endpoint, secrets_set, lane, network, attempt,
                   created_at, deadline, idle_since, finished_at, seq, report, started_at, lease_id, lease_until,
                   peer, peers, account, credentials, share, same_as, held_since)
select gen_random_uuid(), b.id, b.project, e, 0, 'job-' || e, 'so', '{}', '{}', 'interactive', 'eip', 1,
       b.created_at, b.deadline, b.created_at, b.finished_at, case when b.open > 0 then 0 else e + 1 end,
       case when b.open = 0 then '{}'::json end, case when e < 2 then now() end,
       case when e < 2 and b.open > 0 then gen_random_uuid() end, case when e < 2 and b.open > 0 then now() + e * interval '1 m' end,
       b.peer, case when e = 1 then array[b.peer, gen_random_uuid()] else array[b.peer] end, gen_random_uuid(),
       case when b.open > 0 then array[gen_random_uuid()] end, gen_random_uuid(),
       case when e = 9 then gen_random_uuid() end, case when e between 2 and 3 and b.open > 0 then now() end
  from (select b.*, gen_random_uuid() as peer from batches b) b, generate_series(0, 9) e;

insert into logins (lease_id, peer, account, credential, at, outcome, code)
select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), now() - i * interval '1 s', 'refused', 'auth_failed'
  from generate_series(1, 5000) i;

insert into rests (peer, until) select gen_random_uuid(), now() from generate_series(1, 5000) i;

insert into jobs (project, id, name, name_key, status, role, parent_id, mirrored, db_use_type, engine_type, direction,
                  net_type, task_type, node_type, description, created_at, updated_at)
select 'project-' || i % 10, 'job-' || i, i, i, case when i % 100 = 0 then 'CREATING' else 'CONFIGURATION' end, 'standalone', '',
       false, case when i / 10 % 2 = 0 then 'sync' else 'migration' end, '', '', '', '', '', '', now() - i * interval '1 s', now()
  from generate_series(1, 20000) i;

insert into request_keys (project, key, batch_id, sealed, digest, created_at, held_by, held_until)
select b.project, b.id, b.id, '', '', b.created_at, 'api', now() from batches b;

analyze;`

func TestPlansOfFullTables(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	// A connection of its own: the store's forbid what is looked for here.
	conn := connect(t, newDatabase(t))
	if _, err := conn.Exec(ctx, fill); err != nil {
		t.Fatal(err)
	}
	var project, batchID, testID string
	err := conn.QueryRow(ctx, "select project, batch_id, id from tests where lease_id is not null limit 1").Scan(&project, &batchID, &testID)
	if err != nil {
		t.Fatal(err)
	}
	for name, q := range postgres.HotQueries(project, batchID, testID, batch.NewID(), time.Now()) {
		checkPlan(t, conn, name, q, "explain "+q.SQL, q.Args...)
	}
}

// TestPlansOfNewTables looks at the plans that connections make on the first
// day and keep: prepared, on empty tables, under the store's own settings.
func TestPlansOfNewTables(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	conn := connect(t, newDatabase(t))
	if _, err := conn.Exec(ctx, "set enable_seqscan = off; set plan_cache_mode = force_generic_plan"); err != nil {
		t.Fatal(err)
	}
	for name, q := range postgres.HotQueries("p", batch.NewID(), batch.NewID(), batch.NewID(), time.Now()) {
		statement := strings.ReplaceAll(name, " ", "_") + "_plan"
		if _, err := conn.Exec(ctx, "prepare "+statement+" as "+q.SQL); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		nulls := strings.TrimSuffix(strings.Repeat("null, ", len(q.Args)), ", ")
		checkPlan(t, conn, name, q, "explain execute "+statement+"("+nulls+")")
	}
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// checkPlan wants the indexes named, and no others but those by batch: within
// one batch each of them will do.
func checkPlan(t *testing.T, conn *pgx.Conn, name string, q postgres.HotQuery, explain string, args ...any) {
	t.Helper()
	rows, err := conn.Query(t.Context(), explain, args...)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	plan := strings.Join(lines, "\n")
	if strings.Contains(plan, "Seq Scan") {
		t.Errorf("%s reads a table from end to end:\n%s", name, plan)
	}
	for index := range strings.FieldsSeq(q.Indexes) {
		if !strings.Contains(plan, index) {
			t.Errorf("%s does without %s:\n%s", name, index, plan)
		}
	}
}
