-- Double entry. Money is in cents. What is owed to somebody is positive, what the bank holds or is owed is negative, so
-- all accounts together come to zero, always.

-- What the bank knows of a person beside the login. The person may change it.
create table customers (
    user_id  bigint primary key references users (id) on delete restrict,
    address  text not null,
    since    timestamptz not null
);

create table accounts (
    id         integer primary key,
    number     text not null unique,
    kind       text not null check (kind in ('customer', 'cash', 'fees', 'equity')),
    -- Nobody's for the bank's own accounts, and for a customer's that was closed.
    user_id    bigint references users (id) on delete restrict,
    holder     text not null,
    nickname   text,
    -- How far the account may go below zero.
    overdraft  bigint not null default 0 constraint overdraft_sign check (overdraft >= 0),
    -- The sum of its entries, kept by the transaction that makes them.
    balance    bigint not null default 0,
    opened_at  timestamptz not null,
    closed_at  timestamptz,
    constraint covered check (kind <> 'customer' or balance >= 0 - overdraft),
    constraint cash_at_hand check (kind <> 'cash' or balance <= 0),
    constraint owned check ((user_id is not null) = (kind = 'customer' and closed_at is null)),
    constraint closed_empty check (closed_at is null or balance = 0)
);
create index accounts_by_user on accounts (user_id);

create table transfers (
    id       integer primary key,
    code     text not null unique,
    kind     text not null check (kind in ('opening', 'transfer', 'deposit', 'payout')),
    at       timestamptz not null,
    text     text,
    -- Who did it; nobody for what came with the bank. The books keep it, so whoever stands here can't be deleted.
    made_by  bigint references users (id) on delete restrict
);

create table entries (
    transfer_id  bigint not null references transfers (id),
    account_id   bigint not null references accounts (id),
    amount       bigint not null check (amount <> 0),
    primary key (transfer_id, account_id)
);
create index entries_by_account on entries (account_id, transfer_id);

-- Whom a customer often pays.
create table payees (
    user_id     bigint not null references users (id) on delete cascade,
    account_id  bigint not null references accounts (id),
    primary key (user_id, account_id)
);

-- What tellers did to accounts beside moving money.
create table changes (
    id          integer primary key,
    at          timestamptz not null,
    account_id  bigint not null references accounts (id),
    made_by     bigint not null references users (id) on delete restrict,
    what        text not null
);
