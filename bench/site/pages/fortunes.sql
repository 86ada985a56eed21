-- The row that TechEmpower's rules add at request time is added by the query; the
-- template sorts, because by the same rules the database must not.
-- name: fortunes :many
select id, message from fortunes
union all
select 0, 'Additional fortune added at request time.';
