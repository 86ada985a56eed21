-- name: size :one
select (select count(*) from stickers) as stickers, (select count(*) from designers) as designers;

-- name: window :many
select slug, name, hexcode, group_slug from stickers
where slug in ('fox', 'rocket', 'avocado', 'red-heart', 'octopus', 'cactus', 'locomotive', 'spouting-orca', 'sunflower')
order by (id * 13) % 17, id;

-- name: groups :many
select g.slug, g.name, g.emblem, count(s.id) as stickers, min(s.price) as lowest
from groups g join stickers s on s.group_slug = g.slug
group by g.slug, g.name, g.emblem, g.position
order by g.position;

-- name: newest :many
select slug, name, hexcode, group_slug, price, stock from stickers
where subgroup <> 'brand'
order by drawn_on desc, id limit 12;

-- name: last_copies :many
select slug, name, hexcode, group_slug, price, stock from stickers
where stock = 1 and subgroup <> 'brand'
order by drawn_on desc, id limit 6;

-- name: busiest :many
select d.slug, d.name, count(*) as stickers
from designers d join stickers s on s.designer_slug = d.slug
group by d.slug, d.name
order by stickers desc, d.name limit 12;
