-- name: sticker :one
select s.id, s.slug, s.name, s.emoji, s.hexcode, s.group_slug, s.subgroup, s.designer_slug, s.drawn_on, s.tags,
       s.price, s.stock, g.name as group_name, d.name as designer
from stickers s
join groups g on g.slug = s.group_slug
join designers d on d.slug = s.designer_slug
where s.slug = :slug;

-- name: in_cart :value
select qty from cart_lines where session_id = @session_id and sticker_id = @sticker.id;

-- The same kind first, then the neighbours on the shelf.
-- name: related :many
select slug, name, hexcode, group_slug, price, stock from stickers
where group_slug = @sticker.group_slug and id <> @sticker.id
order by case when subgroup = @sticker.subgroup then 0 else 1 end, abs(id - @sticker.id), id
limit 6;
