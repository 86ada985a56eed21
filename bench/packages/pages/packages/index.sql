-- A search that reads every row: the site's slow page.

-- :q     text  maxlength=100
-- :page  int   min=1 max=10000 default=1

-- name: total :value
select count(*) from packages
where :q is null or strpos(lower(package), lower(:q)) > 0 or strpos(lower(description), lower(:q)) > 0;

-- name: packages :many more=50
select package, version, description from packages
where :q is null or strpos(lower(package), lower(:q)) > 0 or strpos(lower(description), lower(:q)) > 0
order by package limit 51 offset (:page - 1) * 50;
