-- Customers, by name, number or e-mail address.

-- :q     text  maxlength=100
-- :page  int   min=1 max=10000 default=1

-- name: accounts :many more=25
select a.number, a.holder, a.balance, a.overdraft, u.email
from accounts a join users u on u.id = a.user_id
where :q is null
   or lower(a.holder || ' ' || u.email || ' ') like '%' || lower(:q) || '%'
   or a.number like '%' || replace(:q, ' ', '') || '%'
order by lower(a.holder), a.number limit 26 offset (:page - 1) * 25;

-- name: vault :value
select 0 - balance from accounts where kind = 'cash';
