-- The server's own tables. Their names begin with `_`, except those that authors may use by name.

-- What was applied: by the site's migrations, and by the server itself.
create table if not exists _migrations (
    source text not null check (source in ('server', 'site')),
    number integer not null,
    name text not null,
    fingerprint blob not null,
    applied_at text not null,
    primary key (source, number)
) without rowid;

-- A visitor's session; the cookie's secret is kept as a hash.
create table if not exists _sessions (
    session_id text primary key not null,
    secret_hash blob not null unique,
    started_at text not null,
    seen_day text
) without rowid;

-- Answers of actions with `once:`, by the hash of the form's key.
create table if not exists _once (
    key_hash blob primary key not null,
    answer text not null,
    created_at text not null
);

-- Files that visitors sent.
create table if not exists uploads (
    id text primary key not null,
    name text not null,
    type text not null,
    size integer not null,
    sha256 text not null,
    created_at text not null
);
