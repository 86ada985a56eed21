-- name: shelves :many
select slug, name, emblem from groups order by position;

-- name: cart_count :value
select coalesce(sum(qty), 0) from cart_lines where session_id = @session_id;
