select 'shell-empty' as component;
select 'fortunes' as component;
select id, message from fortunes
union all
select 0, 'Additional fortune added at request time.'
order by message;
