-- use: /_number.sql
-- :email      email    required maxlength=254 label="E-mail address"
-- :holder     text     required maxlength=80 label="Name on the account"
-- :overdraft  decimal  places=2 required min=0 max=100000 default=0 label="Limit in euros"
-- once: 24h
-- redirect: /desk/accounts/{{ opened.number }}
-- flash: The account is open.

-- name: known :require 422 on=email Nobody with this address has a login here.
select 1 from users where email = lower(:email);

-- name: another :require 422 on=email Your own accounts are a colleague's to open.
select 1 from users where email = lower(:email) and id <> @user_id;

-- name: _person :one
select id from users where email = lower(:email);

-- name: opened :one
insert into accounts (number, kind, user_id, holder, overdraft, opened_at)
select number, 'customer', @_person.id, :holder, :overdraft, @now from next_number
returning id, number;

-- name: _noted :exec
insert into changes (at, account_id, made_by, what) values (@now, @opened.id, @user_id, 'opened');
