-- The account that a teller serves. Tellers don't serve themselves.

-- name: account :one
select id, number, holder, overdraft, balance from accounts where number = :number and kind = 'customer' and closed_at is null;

-- name: another :require 403 Your own accounts are served by a colleague.
select 1 from accounts where id = @account.id and user_id <> @user_id;

-- name: _cash :one
select id from accounts where kind = 'cash';
