-- The tables of a site with accounts.

-- People with an account. Authors read all of it and write the name.
create table if not exists users (
    id integer primary key autoincrement,
    email text not null unique,
    name text,
    created_at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

-- What only the server knows of them.
create table if not exists _accounts (
    user_id integer primary key references users (id) on delete cascade,
    password_hash text,
    password_at text,
    confirmed_at text,
    totp_secret text,
    totp_at text,
    totp_step integer
);

create table if not exists _roles (
    user_id integer not null references users (id) on delete cascade,
    role text not null,
    primary key (user_id, role)
) without rowid;

-- Links of mails, each good for one use: `confirm`, `reset`, `email`, `invite`.
create table if not exists _links (
    token_hash text primary key not null,
    purpose text not null,
    user_id integer references users (id) on delete cascade,
    email text not null,
    expires_at text not null
) without rowid;
create index if not exists _links_user on _links (user_id);

-- The roles that an invitation brings.
create table if not exists _invited_roles (
    token_hash text not null references _links (token_hash) on delete cascade,
    role text not null,
    primary key (token_hash, role)
) without rowid;

create table if not exists _recovery_codes (
    user_id integer not null references users (id) on delete cascade,
    code_hash text not null,
    primary key (user_id, code_hash)
) without rowid;

create table if not exists _passkeys (
    credential_id text primary key not null,
    user_id integer not null references users (id) on delete cascade,
    public_key text not null,
    counter integer not null,
    name text not null,
    created_at text not null,
    used_at text
) without rowid;
create index if not exists _passkeys_user on _passkeys (user_id);

-- Keys of programs that act for a user.
create table if not exists _api_tokens (
    id integer primary key autoincrement,
    user_id integer not null references users (id) on delete cascade,
    name text not null,
    token_hash text not null unique,
    access text not null check (access in ('read', 'write')),
    paths text not null default '/**',
    created_at text not null,
    expires_at text,
    used_on text
);
create index if not exists _api_tokens_user on _api_tokens (user_id);

-- Who a user is at a provider of OpenID Connect.
create table if not exists _identities (
    provider text not null,
    subject text not null,
    user_id integer not null references users (id) on delete cascade,
    created_at text not null,
    primary key (provider, subject)
) without rowid;
create index if not exists _identities_user on _identities (user_id);

-- Whom providers were asked about, until they are back: what they are sent with counts once, and only in the session
-- from which they were sent.
create table if not exists _oidc (
    state_hash text primary key not null,
    session_id text not null,
    user_id integer,
    provider text not null,
    nonce text not null,
    verifier text not null,
    next text,
    remember integer not null default 0,
    expires_at text not null
) without rowid;
create index if not exists _oidc_expires on _oidc (expires_at);

-- What happened to accounts: logins, refused ones, changes of passwords and roles.
create table if not exists _security_log (
    id integer primary key autoincrement,
    at text not null,
    event text not null,
    user_id integer,
    email text,
    address text,
    detail text
);
create index if not exists _security_log_user on _security_log (user_id);
