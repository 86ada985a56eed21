-- use: /_sorted.sql

-- name: designer :one
select slug, name from designers where slug = :slug;

-- name: years :one
select min(drawn_on) as since, max(drawn_on) as latest from stickers where designer_slug = :slug;

-- name: chosen :with
select id, slug, name, hexcode, group_slug, price, stock, drawn_on, id as place
from stickers where designer_slug = :slug;
