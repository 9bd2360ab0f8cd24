-- +goose Up

create table request_keys (
    project    text    not null,
    key        text    not null,
    batch_id   text    not null,
    sealed     blob    not null,
    digest     blob    not null,
    created_at integer not null,
    held_by    text    not null,
    held_until integer not null,
    answer     blob,

    constraint request_keys_pkey primary key (project, key),
    constraint request_keys_batch foreign key (batch_id) references batches (id) on delete cascade
) strict, without rowid;

create unique index request_keys_by_batch on request_keys (batch_id);
create index request_keys_age on request_keys (created_at);
