-- name: total :value
select count(*) from packages;

-- name: sections :many
select section, count(*) as packages from packages group by section order by section;
