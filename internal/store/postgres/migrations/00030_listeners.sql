-- +goose Up

-- Where processes of this service listen, so that no worker tests them. Each
-- announces itself, again and again.
create table listeners (
    process text        not null,
    address text        not null, -- IP:port
    seen_at timestamptz not null,

    constraint listeners_pkey primary key (process, address)
);
