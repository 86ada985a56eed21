-- name: package :one
select package, version, section, size, description from packages where package = :package;

-- name: neighbours :many
select package from packages
where section = @package.section and package > @package.package
order by package limit 10;
