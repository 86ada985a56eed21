-- use: /_statement.sql
-- :page  int  min=1 max=10000 default=1

-- name: held :with
select id from accounts where number = :number;

-- name: account :one
select a.number, a.holder, a.kind, a.balance, a.overdraft, a.opened_at, a.closed_at, u.email
from accounts a left join users u on u.id = a.user_id
where a.number = :number;

-- name: booked :many more=50
select code, kind, at, text, amount, balance, other_holder, other_number
from found order by transfer_id desc limit 51 offset (:page - 1) * 50;
