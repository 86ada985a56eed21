-- One page of stickers in the order that the visitor picks. The file that uses this one says which stickers: its query
-- `chosen` gives the columns below and `place`, their own best order.

-- :sort  text  in=best,newest,name,cheap,dear default=best
-- :page  int   min=1 max=1000 default=1

-- name: total :value
select count(*) from chosen;

-- name: stickers :many more=24 when=:sort=best
select slug, name, hexcode, group_slug, price, stock from chosen
order by place, id limit 25 offset (:page - 1) * 24;

-- name: stickers :many more=24 when=:sort=newest
select slug, name, hexcode, group_slug, price, stock from chosen
order by drawn_on desc, id limit 25 offset (:page - 1) * 24;

-- name: stickers :many more=24 when=:sort=name
select slug, name, hexcode, group_slug, price, stock from chosen
order by lower(name), id limit 25 offset (:page - 1) * 24;

-- name: stickers :many more=24 when=:sort=cheap
select slug, name, hexcode, group_slug, price, stock from chosen
order by price, id limit 25 offset (:page - 1) * 24;

-- name: stickers :many more=24 when=:sort=dear
select slug, name, hexcode, group_slug, price, stock from chosen
order by price desc, id limit 25 offset (:page - 1) * 24;
