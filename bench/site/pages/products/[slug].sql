-- name: product :one
select id, slug, name, description, stock,
  (price / 100) || '.' || substr(cast(100 + price % 100 as text), 2) as price
from products
where slug = :slug;
