-- What a session knows of a login, and the messages that wait to be sent.

-- Whose session it is, and until when; null for a visitor who is not logged in.
alter table _sessions add column user_id integer;
alter table _sessions add column login_at text;
alter table _sessions add column seen_at text;
alter table _sessions add column ends_at text;
alter table _sessions add column remember integer not null default 0;
alter table _sessions add column handle text;
alter table _sessions add column device text;
alter table _sessions add column address text;
-- Who has told a password and still owes the second factor.
alter table _sessions add column waiting_user_id integer;
alter table _sessions add column waiting_until text;
-- What a passkey or a provider is asked to sign, once, and until when.
alter table _sessions add column challenge text;
alter table _sessions add column challenge_until text;
-- The cookie before the one that counts: requests that were under way when it was renewed still bring it.
alter table _sessions add column secret_before blob;
alter table _sessions add column renewed_at text;
-- Whether the cookie's secret is to be renewed at the next request.
alter table _sessions add column renew integer not null default 0;
create index if not exists _sessions_before on _sessions (secret_before) where secret_before is not null;
create index if not exists _sessions_user on _sessions (user_id) where user_id is not null;

-- Messages to people: written by actions, delivered after their commit.
create table if not exists outbox (
    id integer primary key autoincrement,
    channel text not null,
    recipient text not null,
    template text not null,
    data text not null default '{}',
    created_at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

-- How often something was tried of late: logins by account and address, and what `limit:` counts.
create table if not exists _attempts (
    key_hash text primary key not null,
    count integer not null,
    since text not null
) without rowid;
