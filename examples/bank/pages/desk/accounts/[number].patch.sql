-- What only the bank changes: the name on the account and its limit.

-- use: /desk/_account.sql
-- :holder     text     required maxlength=80 label="Name on the account"
-- :overdraft  decimal  places=2 required min=0 max=100000 label="Limit in euros"
-- fill: settled
-- redirect: /desk/accounts/{{ account.number }}
-- flash: Saved.
-- error: covered on=overdraft The account is further below zero than that.

-- name: _changed :exec
update accounts set holder = :holder, overdraft = :overdraft where id = @account.id;

-- name: _renamed :exec
insert into changes (at, account_id, made_by, what)
select @now, id, @user_id, 'name: from “' || @account.holder || '” to “' || holder || '”'
from accounts where id = @account.id and holder <> @account.holder;

-- name: _limited :exec
insert into changes (at, account_id, made_by, what)
select @now, id, @user_id, 'limit: now ' || (overdraft / 100) || '.' || right('0' || (overdraft % 100), 2)
from accounts where id = @account.id and overdraft <> @account.overdraft;
