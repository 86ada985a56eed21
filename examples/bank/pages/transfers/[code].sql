-- The confirmation, for both sides. For everybody else there is none.

-- name: transfer :one
select id, code, kind, at, text from transfers
where code = :code
  and exists (select 1 from entries e join accounts a on a.id = e.account_id
              where e.transfer_id = transfers.id and a.user_id = @user_id);

-- name: sides :many
select a.number, a.holder, a.kind, e.amount, a.user_id = @user_id as is_mine
from entries e join accounts a on a.id = e.account_id
where e.transfer_id = @transfer.id
order by e.amount;
