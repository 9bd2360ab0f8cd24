-- +goose Up

create table jobs (
    project     text    not null,
    id          text    not null,
    name        text    not null,
    name_key    text    not null,
    status      text    not null,
    role        text    not null,
    parent_id   text    not null,
    mirrored    integer not null,
    db_use_type text    not null,
    engine_type text    not null,
    direction   text    not null,
    net_type    text    not null,
    task_type   text    not null,
    node_type   text    not null,
    description text    not null,
    detail      text,
    sealed      blob,
    created_at  integer not null,
    updated_at  integer not null,

    constraint jobs_pkey primary key (project, id),
    constraint jobs_role_known check (role in ('standalone', 'parent', 'forward', 'backward')),
    constraint jobs_mirrored_bool check (mirrored in (0, 1))
) strict;

create unique index jobs_name on jobs (project, name_key) where status <> 'DELETED' and mirrored = 0 and name_key <> '';
create index jobs_by_project on jobs (project, created_at, id);
create index jobs_children on jobs (project, parent_id) where parent_id <> '';
create index jobs_creating on jobs (created_at) where status = 'CREATING' and mirrored = 0;
