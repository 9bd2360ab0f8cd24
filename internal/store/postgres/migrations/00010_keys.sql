-- +goose Up

-- What requests with an Idempotency-Key became. The row is made with its batch
-- and goes with it; it counts for a day.
create table request_keys (
    project    text        not null,
    key        text        not null,
    batch_id   uuid        not null,
    -- What was asked, as an HMAC, and its key, sealed. The body holds passwords.
    sealed     bytea       not null,
    digest     bytea       not null,
    created_at timestamptz not null,
    -- Which process is at work on the answer, and until when that is believed.
    held_by    text        not null,
    held_until timestamptz not null,
    answer     bytea,

    constraint request_keys_pkey primary key (project, key),
    constraint request_keys_batch foreign key (batch_id) references batches (id) on delete cascade
);

create unique index request_keys_by_batch on request_keys (batch_id);
create index request_keys_age on request_keys (created_at);
