-- +goose Up

-- In which order batches go.
create index batches_ended on batches (finished_at) where finished_at is not null;
