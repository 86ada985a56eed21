-- The visitor's cart with today's prices, and the bill. Postage is 1.90 and free from 15.00.

-- name: cart :with
select s.id, s.slug, s.name, s.hexcode, s.group_slug, s.price, s.stock, l.qty, l.qty * s.price as amount, l.added_at
from cart_lines l join stickers s on s.id = l.sticker_id
where l.session_id = @session_id;

-- name: bill :one
select pieces, goods, postage, goods + postage as total
from (
    select coalesce(sum(qty), 0) as pieces, coalesce(sum(amount), 0) as goods,
           case when coalesce(sum(amount), 0) >= 1500 then 0 else 190 end as postage
    from cart
) sums;
