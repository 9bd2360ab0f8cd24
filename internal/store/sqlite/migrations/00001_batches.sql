-- +goose Up

-- Times are microseconds since 1970. The notes on the tables are those of the
-- Postgres dialect; the two are kept equal by one contract.
create table batches (
    id          text    not null,
    project     text    not null,
    call        text    not null,
    lane        text    not null,
    entries     integer not null,
    total       integer not null,
    open        integer not null,
    caller      text    not null,
    reply_to    text    not null,
    trace       text    not null,
    created_at  integer not null,
    deadline    integer not null,
    finished_at integer,

    constraint batches_pkey primary key (id),
    constraint batches_call_known check (call in ('connection', 'cluster')),
    constraint batches_lane_known check (lane in ('interactive', 'bulk')),
    constraint batches_open_within_total check (open between 0 and total),
    constraint batches_finished_when_none_open check ((finished_at is null) = (open > 0))
) strict, without rowid;

create index batches_by_project on batches (project, created_at, id);
create index batches_running on batches (project, created_at, id) where finished_at is null;

create table batch_jobs (
    project    text    not null,
    job_id     text    not null,
    created_at integer not null,
    batch_id   text    not null,

    constraint batch_jobs_pkey primary key (project, job_id, created_at, batch_id),
    constraint batch_jobs_batch foreign key (batch_id) references batches (id) on delete cascade
) strict, without rowid;

create index batch_jobs_by_batch on batch_jobs (batch_id);

create table tests (
    id             text    not null,
    batch_id       text    not null,
    project        text    not null,
    entry          integer not null,
    object         integer not null,
    job_id         text    not null,
    end_point_type text    not null,
    endpoint       text    not null,
    -- The names of the secrets that were given, as a JSON array.
    secrets_set    text    not null,
    sealed         blob,
    lane           text    not null,
    network        text    not null,
    attempt        integer not null,
    probes         integer not null default 0,
    worker         text    not null default '',
    created_at     integer not null,
    deadline       integer not null,
    not_before     integer,
    idle_since     integer not null,
    started_at     integer,
    login_at       integer,
    lease_id       text,
    lease_until    integer,
    finished_at    integer,
    seq            integer not null default 0,
    report         text,

    constraint tests_pkey primary key (id),
    constraint tests_batch foreign key (batch_id) references batches (id) on delete cascade,
    constraint tests_place unique (batch_id, entry, object),
    constraint tests_counts check (attempt >= 1 and probes >= 0 and seq >= 0),
    constraint tests_sealed_until_finished check (finished_at is null or sealed is null),
    constraint tests_sealed_if_open check (finished_at is not null or sealed is not null or secrets_set = '[]'),
    constraint tests_lease_whole check ((lease_id is null) = (lease_until is null)),
    constraint tests_no_lease_when_finished check (finished_at is null or lease_id is null),
    constraint tests_login_under_lease check (login_at is null or finished_at is not null or lease_id is not null),
    constraint tests_report_when_finished check ((finished_at is null) = (report is null)),
    constraint tests_numbered_when_finished check ((finished_at is null) = (seq = 0))
) strict;

create unique index tests_seq on tests (batch_id, seq) where seq > 0;
create index tests_deadline on tests (deadline) where finished_at is null;
create index tests_idle on tests (idle_since) where finished_at is null and lease_id is null;
create index tests_lease on tests (lease_until) where lease_id is not null;

create table workers (
    id       text    not null,
    -- A JSON array.
    networks text    not null,
    seen_at  integer not null,

    constraint workers_pkey primary key (id)
) strict, without rowid;

create index workers_seen on workers (seen_at);

create table keycheck (
    id     integer not null,
    sealed blob    not null,

    constraint keycheck_pkey primary key (id),
    constraint keycheck_one_row check (id = 1)
) strict;
