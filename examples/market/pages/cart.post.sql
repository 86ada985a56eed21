-- Puts stickers into the cart; what is in it already stays.

-- :slug  text  required maxlength=120
-- :qty   int   required min=1 max=99 default=1
-- page: /stickers/[slug]
-- redirect: /cart
-- flash: Added to your cart: {{ wanted.name }}.

-- name: wanted :one
select id, name from stickers where slug = :slug;

-- name: enough :require 422 on=qty There are not that many left, counting those in your cart.
select 1
from stickers s left join cart_lines l on l.sticker_id = s.id and l.session_id = @session_id
where s.id = @wanted.id and s.stock >= :qty + coalesce(l.qty, 0);

-- name: line :exec
insert into cart_lines (session_id, sticker_id, qty, added_at) values (@session_id, @wanted.id, :qty, @now)
on conflict (session_id, sticker_id) do update set qty = cart_lines.qty + excluded.qty;
