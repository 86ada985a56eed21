-- What must be zero at every moment.

-- name: sums :one
select (select sum(balance) from accounts) as balances,
       (select sum(amount) from entries) as entries,
       (select count(*) from (select transfer_id from entries group by transfer_id having sum(amount) <> 0) uneven) as uneven,
       (select count(*) from accounts a
        where a.balance <> (select coalesce(sum(e.amount), 0) from entries e where e.account_id = a.id)) as adrift,
       (select count(*) from accounts where kind = 'customer' and balance < 0 - overdraft) as overdrawn;
