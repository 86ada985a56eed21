-- The server's own tables; see ../system.sql, which is the same for SQLite. Authors read the times of `uploads`, so
-- that is of a type that PostgreSQL can reckon with; the others are only compared.

create table if not exists _migrations (
    source text not null check (source in ('server', 'site')),
    number bigint not null,
    name text not null,
    fingerprint bytea not null,
    applied_at text not null,
    primary key (source, number)
);

create table if not exists _sessions (
    session_id text primary key not null,
    secret_hash bytea not null unique,
    started_at text not null,
    seen_day text
);

create table if not exists _once (
    key_hash bytea primary key not null,
    answer text not null,
    created_at text not null
);

create table if not exists uploads (
    id text primary key not null,
    name text not null,
    type text not null,
    size bigint not null,
    sha256 text not null,
    created_at timestamptz not null
);
