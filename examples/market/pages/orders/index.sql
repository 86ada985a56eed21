-- name: orders :many
select o.code, o.ordered_at, o.goods + o.postage as total,
       (select sum(qty) from order_lines l where l.order_id = o.id) as pieces
from orders o
where o.session_id = @session_id
order by o.id desc;
