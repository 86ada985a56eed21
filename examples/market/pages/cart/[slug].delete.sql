-- Takes a sticker out of the cart.

-- redirect: /cart
-- flash: Taken out of your cart: {{ sticker.name }}.

-- name: sticker :one
select id, name from stickers where slug = :slug;

-- name: removed :exec
delete from cart_lines where session_id = @session_id and sticker_id = @sticker.id;
