-- use: /_cart.sql

-- name: lines :many
select slug, name, hexcode, group_slug, price, stock, qty, amount from cart order by added_at, id;
