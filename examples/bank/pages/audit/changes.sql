-- :page  int  min=1 max=100000 default=1

-- name: changes :many more=50
select c.at, c.what, a.number, a.holder, u.email as made_by
from changes c join accounts a on a.id = c.account_id join users u on u.id = c.made_by
order by c.id desc limit 51 offset (:page - 1) * 50;

-- name: people :many
select u.email, count(*) as transfers, max(t.at) as latest
from transfers t join users u on u.id = t.made_by
group by u.id, u.email
order by transfers desc, u.email limit 20;
