-- The catalogue for programs: /api/products?q=cat&group=animals-nature&page=2

-- use: /_search.sql

-- :group  text  maxlength=40
-- :page   int   min=1 max=1000 default=1

-- name: total :value
select count(*) from matches where :group is null or group_slug = :group;

-- name: products :many more=50
select m.slug, m.name, m.hexcode, m.price, m.stock, m.stock > 0 as available_bool, m.drawn_on,
       g.slug as "group.slug", g.name as "group.name", d.slug as "designer.slug", d.name as "designer.name"
from matches m
join groups g on g.slug = m.group_slug
join designers d on d.slug = m.designer_slug
where :group is null or m.group_slug = :group
order by m.place, m.id
limit 51 offset (:page - 1) * 50;
