-- :limit  int  min=1 max=1000 default=100

-- name: body :many
select package, version, section, size from packages order by size desc, package limit :limit;
