-- :page   int   min=1 max=100000 default=1
-- :kind   text  in=transfer,deposit,payout,opening
-- :day    date

-- name: chosen :with
select t.id, t.code, t.kind, t.at, t.text, t.made_by from transfers t
where (:kind is null or t.kind = :kind) and (:day is null or to_char(t.at, 'YYYY-MM-DD') = cast(:day as text))
order by t.id desc limit 26 offset (:page - 1) * 25;

-- name: transfers :many more=25
select c.id, c.code, c.kind, c.at, c.text, u.email as made_by
from chosen c left join users u on u.id = c.made_by
order by c.id desc;

-- name: lines :many
select e.transfer_id, e.amount, a.number, a.holder
from entries e join accounts a on a.id = e.account_id
where e.transfer_id in (select id from chosen)
order by e.transfer_id desc, e.amount;
