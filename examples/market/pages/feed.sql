-- name: entries :many
select s.slug, s.name, s.hexcode, s.drawn_on, s.price, d.name as designer, g.name as group_name
from stickers s
join designers d on d.slug = s.designer_slug
join groups g on g.slug = s.group_slug
order by s.drawn_on desc, s.id
limit 30;
