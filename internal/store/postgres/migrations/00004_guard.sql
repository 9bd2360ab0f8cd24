-- +goose Up

-- What keeps probes from doing harm. A test that runs is its own slot: it holds
-- its endpoint, and the account that it logs in to, as long as its lease is in
-- force or its login is out. Endpoints and accounts are digests, because a
-- user's name may hold what no text can.
alter table tests
    -- Whom the probe meets: its endpoints, and the first of them for the index.
    add column peer        uuid,
    add column peers       uuid[],
    add column account     uuid,
    -- One keyed digest of the credential for each peer; wiped at the end.
    add column credentials uuid[],
    -- What a failure to connect is shared by, within the batch.
    add column share       uuid,
    -- The test that is made in this one's place, and whether this one is such.
    add column same_as     uuid,
    add column followed    boolean not null default false,
    add column force       boolean not null default false,
    -- Since when the test waits for a slot; the waits that are over, and the
    -- wait for its project's share, in microseconds.
    add column held_since  timestamptz,
    add column slot_wait   bigint  not null default 0,
    add column share_wait  bigint  not null default 0,
    -- The ledger's reason why the claimed test must not log in.
    add column refusal     json;

create index tests_running on tests (peer) where lease_id is not null;
create index tests_running_lists on tests ((cardinality(peers))) where lease_id is not null and cardinality(peers) > 1;
create index tests_held on tests (peer) where held_since is not null;

-- Logins that were refused or of which nobody knows what became; a late report
-- may turn one of the latter into one that passed. What passed at once is not
-- written down.
create table logins (
    lease_id        uuid        not null,
    peer            uuid        not null,
    account         uuid        not null,
    credential      uuid        not null,
    at              timestamptz not null,
    outcome         text        not null,
    code            text        not null,
    -- Until when the login may still be under way, though its test is over.
    in_flight_until timestamptz,

    constraint logins_pkey primary key (lease_id, peer),
    constraint logins_outcome_known check (outcome in ('refused', 'unknown', 'passed'))
);

create index logins_by_account on logins (peer, account, at);
create index logins_by_age on logins (at);

-- Endpoints that said they were full.
create table rests (
    peer     uuid        not null,
    until    timestamptz not null,

    constraint rests_pkey primary key (peer)
);

-- The key of the credentials' digests, sealed: it outlives the keys of the keyset.
create table ledgerkey (
    id     smallint not null,
    sealed bytea    not null,

    constraint ledgerkey_pkey primary key (id),
    constraint ledgerkey_one_row check (id = 1)
);
