-- redirect: /transfer
-- flash: {{ payee.holder }} is no payee of yours any more.
-- page: /transfer

-- name: payee :one
select a.id, a.holder from payees p join accounts a on a.id = p.account_id
where p.user_id = @user_id and a.number = :number;

-- name: removed :exec
delete from payees where user_id = @user_id and account_id = @payee.id;
