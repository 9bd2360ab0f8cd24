-- +goose Up

-- The notes are those of the Postgres dialect. Digests are texts, lists of them
-- JSON arrays.
alter table tests add column peer text;
alter table tests add column peers text;
alter table tests add column account text;
alter table tests add column credentials text;
alter table tests add column share text;
alter table tests add column same_as text;
alter table tests add column followed integer not null default 0;
alter table tests add column force integer not null default 0;
alter table tests add column held_since integer;
alter table tests add column slot_wait integer not null default 0;
alter table tests add column share_wait integer not null default 0;
alter table tests add column refusal text;

create index tests_running on tests (peer) where lease_id is not null;
create index tests_running_lists on tests (id) where lease_id is not null and json_array_length(peers) > 1;
create index tests_held on tests (peer) where held_since is not null;

create table logins (
    lease_id        text    not null,
    peer            text    not null,
    account         text    not null,
    credential      text    not null,
    at              integer not null,
    outcome         text    not null,
    code            text    not null,
    in_flight_until integer,

    constraint logins_pkey primary key (lease_id, peer),
    constraint logins_outcome_known check (outcome in ('refused', 'unknown', 'passed'))
) strict, without rowid;

create index logins_by_account on logins (peer, account, at);
create index logins_by_age on logins (at);

create table rests (
    peer     text    not null,
    until    integer not null,

    constraint rests_pkey primary key (peer)
) strict, without rowid;

create table ledgerkey (
    id     integer not null,
    sealed blob    not null,

    constraint ledgerkey_pkey primary key (id),
    constraint ledgerkey_one_row check (id = 1)
) strict;
