-- +goose Up

-- The notes are those of the Postgres dialect. Lists are JSON arrays.
create table keyholders (
    process     text    not null,
    primary_key integer not null,
    keys        text    not null,
    sealing     text    not null,
    needed      text    not null,
    reloads     integer not null,
    seen_at     integer not null,

    constraint keyholders_pkey primary key (process)
) strict, without rowid;

create table keymarks (
    key       integer not null,
    mark      text    not null,
    marked_at integer not null,

    constraint keymarks_pkey primary key (key),
    constraint keymarks_mark_known check (mark in ('rotating', 'retired'))
) strict;

create unique index keymarks_one_rotation on keymarks (mark) where mark = 'rotating';
