-- :product  int  required
-- :qty      int  required min=1 max=99 default=1
-- redirect: /cart
-- flash: Added to your cart.
-- name: in_stock :require 422 on=qty There are not that many left.
select 1 from products where id = :product and stock >= :qty;
-- name: line :exec
insert into cart_lines (session_id, product_id, qty) values (@session_id, :product, :qty)
on conflict (session_id, product_id) do update set qty = cart_lines.qty + excluded.qty;
