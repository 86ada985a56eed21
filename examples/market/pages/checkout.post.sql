-- Turns the cart into an order: the order with its lines, the stock and the emptied cart, all or nothing.

-- use: /_cart.sql

-- :name      text   required maxlength=80
-- :email     email  required maxlength=120
-- :street    text   required maxlength=120
-- :postcode  text   required maxlength=12
-- :city      text   required maxlength=80
-- :country   text   required maxlength=60
-- :note      text   maxlength=300
-- @code = random(12)
-- once: 24h
-- redirect: /orders/{{ placed.code }}
-- flash: Thank you! Your order is in.

-- name: filled :require 409 Your cart is empty. Perhaps the order went through already?
select 1 from cart;

-- name: enough :require 422 We no longer have that many of what is marked. Please change your cart.
select 1 where not exists (select 1 from cart where qty > stock);

-- name: placed :one
insert into orders (code, session_id, name, email, street, postcode, city, country, note, goods, postage, ordered_at)
values (@code, @session_id, :name, :email, :street, :postcode, :city, :country, :note, @bill.goods, @bill.postage, @now)
returning id, code;

-- name: lines :exec
insert into order_lines (order_id, sticker_id, qty, price)
select @placed.id, id, qty, price from cart;

-- name: taken :exec
update stickers set stock = stock - (select qty from cart where cart.id = stickers.id)
where id in (select id from cart);

-- name: emptied :exec
delete from cart_lines where session_id = @session_id;
