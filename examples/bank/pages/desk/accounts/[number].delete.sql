-- Closes an account. It stays in the books, but belongs to nobody any more.

-- use: /desk/_account.sql
-- redirect: /desk
-- flash: The account of {{ account.holder }} is closed.

-- name: empty :require 422 Only an account at zero can be closed.
select 1 from accounts where id = @account.id and balance = 0;

-- name: _closed :exec
update accounts set closed_at = @now, user_id = null where id = @account.id;

-- name: _noted :exec
insert into changes (at, account_id, made_by, what) values (@now, @account.id, @user_id, 'closed');
