-- +goose Up

-- Which keys each process has, so that none is brought in or taken out that
-- somebody lacks or needs. Each tells again and again. Keys are their ids.
create table keyholders (
    process     text        not null,
    primary_key bigint      not null,
    keys        bigint[]    not null,
    -- What it may still store under, and what files of its own are sealed with.
    sealing     bigint[]    not null,
    needed      bigint[]    not null,
    reloads     boolean     not null,
    seen_at     timestamptz not null,

    constraint keyholders_pkey primary key (process)
);

-- The key that a rotation under way brings in, and those that were taken out.
create table keymarks (
    key       bigint      not null,
    mark      text        not null,
    marked_at timestamptz not null,

    constraint keymarks_pkey primary key (key),
    constraint keymarks_mark_known check (mark in ('rotating', 'retired'))
);

create unique index keymarks_one_rotation on keymarks (mark) where mark = 'rotating';
