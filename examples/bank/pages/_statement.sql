-- The lines of an account's statement with the balance after each. Whose account it may be stands in the file that uses
-- this one: its `held`. The other side of a line is the largest of the transfer's other entries.

-- :month  text  pattern="[0-9]{4}-[0-9]{2}"
-- :q      text  maxlength=100

-- name: lines :with
select e.transfer_id, e.amount, t.code, t.kind, t.at, t.text, other.holder as other_holder, other.number as other_number,
       to_char(t.at, 'YYYY-MM') as month,
       sum(e.amount) over (order by e.transfer_id) as balance
from entries e
join transfers t on t.id = e.transfer_id
join accounts other on other.id = (select c.account_id from entries c
                                   where c.transfer_id = e.transfer_id and c.account_id <> e.account_id
                                   order by abs(c.amount) desc, c.account_id limit 1)
where e.account_id in (select id from held);

-- name: found :with
select * from lines
where (:month is null or month = :month)
  and (:q is null or lower(coalesce(text, '') || ' ' || other_holder || ' ' || other_number) like '%' || lower(:q) || '%');
