-- +goose Up

create index batches_ended on batches (finished_at) where finished_at is not null;
