-- use: /_sorted.sql

-- :kind  text  maxlength=40

-- name: group :one
select slug, name, emblem, about from groups where slug = :slug;

-- name: kinds :many
select subgroup, count(*) as stickers from stickers where group_slug = :slug group by subgroup order by min(id);

-- name: chosen :with
select id, slug, name, hexcode, group_slug, price, stock, drawn_on, id as place
from stickers where group_slug = :slug and (:kind is null or subgroup = :kind);
