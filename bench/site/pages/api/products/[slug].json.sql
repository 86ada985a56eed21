-- name: body :one
select id, slug, name, description, stock, price from products where slug = :slug;
