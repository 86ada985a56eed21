-- name: account :one
select a.id, a.number, a.holder, a.balance, a.overdraft, a.balance + a.overdraft as available, a.opened_at, u.email,
       a.user_id = @user_id as is_own
from accounts a join users u on u.id = a.user_id
where a.number = :number;

-- First values of the form below, which asks for euros.
-- name: settled :one
select holder, overdraft from accounts where id = @account.id;

-- name: address :value
select c.address from customers c join accounts a on a.user_id = c.user_id where a.id = @account.id;

-- name: latest :many
select t.at, t.kind, t.text, e.amount
from entries e join transfers t on t.id = e.transfer_id
where e.account_id = @account.id
order by t.id desc limit 8;
