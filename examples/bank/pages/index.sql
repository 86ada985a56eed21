-- What anybody may know: how many there are, and that the books come to zero.

-- name: books :one
select (select count(*) from accounts where kind = 'customer' and closed_at is null) as accounts,
       (select count(*) from transfers) as transfers,
       (select coalesce(sum(amount), 0) from entries) as total;
