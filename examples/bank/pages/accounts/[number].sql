-- A statement. Another customer's account is not there: 404.

-- use: /_statement.sql
-- :page  int  min=1 max=10000 default=1

-- name: held :with
select id from accounts where number = :number and user_id = @user_id;

-- name: account :one
select number, holder, nickname, balance, overdraft, balance + overdraft as available, opened_at
from accounts where number = :number and user_id = @user_id;

-- name: months :list
select distinct month from lines order by month desc;

-- name: booked :many more=20
select code, kind, at, text, amount, balance, other_holder, other_number
from found order by transfer_id desc limit 21 offset (:page - 1) * 20;

-- name: sums :one
select count(*) as lines,
       coalesce(sum(case when amount > 0 then amount end), 0) as received,
       coalesce(sum(case when amount < 0 then amount end), 0) as paid
from found;
