-- use: /_search.sql
-- use: /_sorted.sql

-- :group  text  maxlength=40

-- name: chosen :with
select * from matches where :group is null or group_slug = :group;

-- name: found_in :many
select g.slug, g.name, count(*) as stickers
from matches m join groups g on g.slug = m.group_slug
group by g.slug, g.name, g.position
order by g.position;
