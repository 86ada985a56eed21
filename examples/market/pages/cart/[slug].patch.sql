-- Changes how many of a sticker are in the cart.

-- :qty  int  required min=1 max=99
-- page: /cart
-- redirect: /cart
-- flash: Your cart is up to date.

-- name: line :one
select s.id, s.stock
from cart_lines l join stickers s on s.id = l.sticker_id
where l.session_id = @session_id and s.slug = :slug;

-- name: enough :require 422 on=qty There are not that many left.
select 1 from stickers where id = @line.id and stock >= :qty;

-- name: changed :exec
update cart_lines set qty = :qty where session_id = @session_id and sticker_id = @line.id;
