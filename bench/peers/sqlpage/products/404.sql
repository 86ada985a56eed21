-- SQLPage asks this file for every address below /products/ that has no file of its own.
set slug = replace(sqlpage.path(), '/products/', '');
select 'status_code' as component, 404 as status where not exists (select 1 from products where slug = $slug);
select 'shell-empty' as component;
select 'product' as component;
select id, slug, name, description, stock,
  (price / 100) || '.' || substr(cast(100 + price % 100 as text), 2) as price
from products
where slug = $slug;
