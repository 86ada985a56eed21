-- The row that TechEmpower's rules add at request time is added by the query.
-- name: fortunes :many
select id, message from fortunes
union all
select 0, 'Additional fortune added at request time.'
order by message;
