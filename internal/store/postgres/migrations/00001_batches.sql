-- +goose Up

-- One row per accepted request. Its lock is what orders the ends of its tests:
-- whoever finishes tests holds it.
create table batches (
    id          uuid        not null,
    project     text        not null,
    call        text        not null,
    lane        text        not null,
    entries     integer     not null,
    total       integer     not null,
    open        integer     not null,
    caller      text        not null,
    reply_to    text        not null,
    trace       text        not null,
    created_at  timestamptz not null,
    deadline    timestamptz not null,
    finished_at timestamptz,

    constraint batches_pkey primary key (id),
    constraint batches_call_known check (call in ('connection', 'cluster')),
    constraint batches_lane_known check (lane in ('interactive', 'bulk')),
    constraint batches_open_within_total check (open between 0 and total),
    constraint batches_finished_when_none_open check ((finished_at is null) = (open > 0))
) with (fillfactor = 80);

create index batches_by_project on batches (project, created_at, id);
create index batches_running on batches (project, created_at, id) where finished_at is null;

-- Which jobs a batch has entries for: insert-only, so that the tests, which
-- change four times each, need no index for it.
create table batch_jobs (
    project    text        not null,
    job_id     text        not null,
    created_at timestamptz not null,
    batch_id   uuid        not null,

    constraint batch_jobs_pkey primary key (project, job_id, created_at, batch_id),
    constraint batch_jobs_batch foreign key (batch_id) references batches (id) on delete cascade
);

create index batch_jobs_by_batch on batch_jobs (batch_id);

-- endpoint and report are json, not jsonb: they are read whole and never
-- searched, and jsonb refuses the escape for the character 0, which a caller
-- may well put into a user name.
create table tests (
    id             uuid        not null,
    batch_id       uuid        not null,
    project        text        not null,
    entry          integer     not null,
    object         integer     not null,
    job_id         text        not null,
    end_point_type text        not null,
    endpoint       json        not null,
    secrets_set    text[]      not null,
    sealed         bytea,
    lane           text        not null,
    network        text        not null,
    attempt        integer     not null,
    probes         integer     not null default 0,
    worker         text        not null default '',
    created_at     timestamptz not null,
    deadline       timestamptz not null,
    not_before     timestamptz,
    -- Since when nobody has taken care of the test: due, or last looked for.
    idle_since     timestamptz not null,
    started_at     timestamptz,
    login_at       timestamptz,
    lease_id       uuid,
    lease_until    timestamptz,
    finished_at    timestamptz,
    seq            integer     not null default 0,
    report         json,

    constraint tests_pkey primary key (id),
    constraint tests_batch foreign key (batch_id) references batches (id) on delete cascade,
    constraint tests_place unique (batch_id, entry, object),
    constraint tests_counts check (attempt >= 1 and probes >= 0 and seq >= 0),
    constraint tests_sealed_until_finished check (finished_at is null or sealed is null),
    constraint tests_sealed_if_open check (finished_at is not null or sealed is not null or cardinality(secrets_set) = 0),
    constraint tests_lease_whole check ((lease_id is null) = (lease_until is null)),
    constraint tests_no_lease_when_finished check (finished_at is null or lease_id is null),
    constraint tests_login_under_lease check (login_at is null or finished_at is not null or lease_id is not null),
    constraint tests_report_when_finished check ((finished_at is null) = (report is null)),
    constraint tests_numbered_when_finished check ((finished_at is null) = (seq = 0))
) with (fillfactor = 80);

create unique index tests_seq on tests (batch_id, seq) where seq > 0;
create index tests_deadline on tests (deadline) where finished_at is null;
create index tests_idle on tests (idle_since) where finished_at is null and lease_id is null;
create index tests_lease on tests (lease_until) where lease_id is not null;

create table workers (
    id       text        not null,
    networks text[]      not null,
    seen_at  timestamptz not null,

    constraint workers_pkey primary key (id)
);

create index workers_seen on workers (seen_at);

-- One sealed value that every process must be able to open.
create table keycheck (
    id     smallint not null,
    sealed bytea    not null,

    constraint keycheck_pkey primary key (id),
    constraint keycheck_one_row check (id = 1)
);
