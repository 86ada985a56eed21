-- Whoever registers gets an account at once. There is nothing in it: money never comes from nowhere.
-- It may go 100.00 below zero.

-- use: /_number.sql
-- :name     text  required maxlength=80 autocomplete=name label="Your name"
-- :address  text  required maxlength=200 autocomplete=street-address label="Your postal address"

-- name: customer :exec
insert into customers (user_id, address, since) values (@user_id, :address, @now);

-- name: account :exec
insert into accounts (number, kind, user_id, holder, overdraft, opened_at)
select number, 'customer', @user_id, :name, 10000, @now from next_number;
