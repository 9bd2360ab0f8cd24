-- +goose Up

-- What a list of jobs shows and counts: all but sub-jobs and deleted ones.
create index jobs_shown on jobs (project, db_use_type, created_at, id) where parent_id = '' and status <> 'DELETED';
