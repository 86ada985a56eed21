-- name: designers :many
select d.slug, d.name, count(*) as stickers, min(s.hexcode) as hexcode, min(s.group_slug) as group_slug
from designers d join stickers s on s.designer_slug = d.slug
group by d.slug, d.name
order by lower(d.name);
