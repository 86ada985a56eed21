-- :to    text  maxlength=14
-- :from  text  maxlength=14

-- name: accounts :many
select number, holder, nickname, balance + overdraft as available
from accounts where user_id = @user_id
order by id;

-- name: payees :many
select a.number, a.holder
from payees p join accounts a on a.id = p.account_id
where p.user_id = @user_id and a.closed_at is null
order by lower(a.holder), a.number;

-- name: chosen :maybe
select a.number as "to", a.holder
from payees p join accounts a on a.id = p.account_id
where p.user_id = @user_id and a.number = :to and a.closed_at is null;
