-- name: product :one
select id, slug, name, description, stock,
  (price / 100) || '.' || right('0' || (price % 100), 2) as price
from products
where slug = :slug;
