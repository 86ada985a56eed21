-- The trial balance: one query sees one moment, so both columns agree whatever is being transferred.

-- use: /audit/_sums.sql
-- :page  int  min=1 max=10000 default=1

-- name: kinds :many
select kind, count(*) as accounts,
       coalesce(sum(case when balance < 0 then 0 - balance end), 0) as debit,
       coalesce(sum(case when balance > 0 then balance end), 0) as credit
from accounts group by kind
order by case kind when 'cash' then 1 when 'customer' then 2 when 'fees' then 3 else 4 end;

-- name: totals :one
select coalesce(sum(case when balance < 0 then 0 - balance end), 0) as debit,
       coalesce(sum(case when balance > 0 then balance end), 0) as credit
from accounts;

-- name: accounts :many more=50
select number, kind, holder, balance, overdraft, closed_at
from accounts order by case kind when 'customer' then 2 else 1 end, id limit 51 offset (:page - 1) * 50;
