-- Some sections hold a slash: contrib/games.

-- :after  text  maxlength=200

-- name: known :require 404 There is no such section.
select 1 from packages where section = :section;

-- name: packages :many more=50
select package, version, description from packages
where section = :section and package > coalesce(:after, '')
order by package limit 51;
