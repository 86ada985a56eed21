-- The page /. `entries` is what index.html loops over.
-- :page  int  min=1 max=1000 default=1
-- name: entries :many more=20
select name, message, written_at from entries order by id desc limit 21 offset (:page - 1) * 20;
