-- name: lines :many
select p.slug, p.name, l.qty,
  (l.qty * p.price / 100) || '.' || right('0' || (l.qty * p.price % 100), 2) as amount
from cart_lines l
join products p on p.id = l.product_id
where l.session_id = @session_id
order by p.id;
