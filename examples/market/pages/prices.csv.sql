-- name: prices :many
select s.hexcode as code, s.name, g.name as "group", d.name as designer,
       (s.price / 100) || '.' || right('0' || (s.price % 100), 2) as price_eur, s.stock
from stickers s
join groups g on g.slug = s.group_slug
join designers d on d.slug = s.designer_slug
order by g.position, s.id;
