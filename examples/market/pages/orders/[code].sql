-- Only the visitor who ordered sees an order; for everybody else there is none.

-- name: placed :one
select id, code, name, email, street, postcode, city, country, note, goods, postage, goods + postage as total, ordered_at
from orders
where code = :code and session_id = @session_id;

-- name: lines :many
select s.slug, s.name, s.hexcode, s.group_slug, l.qty, l.price, l.qty * l.price as amount
from order_lines l join stickers s on s.id = l.sticker_id
where l.order_id = @placed.id
order by s.id;
