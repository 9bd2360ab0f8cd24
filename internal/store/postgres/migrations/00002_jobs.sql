-- +goose Up

create table jobs (
    project     text        not null,
    id          text        not null,
    name        text        not null,
    -- The name folded by the program: a database folds by its locale.
    name_key    text        not null,
    status      text        not null,
    role        text        not null,
    parent_id   text        not null,
    mirrored    boolean     not null,
    db_use_type text        not null,
    engine_type text        not null,
    direction   text        not null,
    net_type    text        not null,
    task_type   text        not null,
    node_type   text        not null,
    description text        not null,
    detail      json,
    sealed      bytea,
    created_at  timestamptz not null,
    updated_at  timestamptz not null,

    constraint jobs_pkey primary key (id, project),
    constraint jobs_role_known check (role in ('standalone', 'parent', 'forward', 'backward'))
);

-- A mirrored job keeps whatever name it has where it lives.
create unique index jobs_name on jobs (project, name_key) where status <> 'DELETED' and not mirrored and name_key <> '';
create index jobs_by_project on jobs (project, created_at, id);
create index jobs_children on jobs (parent_id, project) where parent_id <> '';
create index jobs_creating on jobs (created_at) where status = 'CREATING' and not mirrored;
