-- name: groups :many
select g.slug, g.name, g.base_price, count(*) as stickers, min(s.price) as lowest, max(s.price) as highest
from groups g join stickers s on s.group_slug = g.slug
group by g.slug, g.name, g.base_price, g.position
order by g.position;
